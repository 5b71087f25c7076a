// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane {

// The address that this node is reached at, by flannel's rule, for a cluster's state that does not name it: the first
// one of global scope of `device`, or of the shim that carries the host in its place; without a device what the default
// route's packets carry. Of the network namespace of the process.
[[nodiscard]] Result<Ipv4Address> find_own_address(const std::string& device);

}  // namespace podlane
