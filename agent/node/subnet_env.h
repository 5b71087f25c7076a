// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "maps/base/address.h"

namespace podlane {

// What flannel's CNI plugin, and others, read of a node (flannel, pkg/subnet/subnet.go): the pod network, this node's
// part of it with the gateway's address, and the bytes of a pod's IP packet. Who reads it is not to masquerade:
// podlane does, or nobody shall.
[[nodiscard]] std::string subnet_env(const Ipv4Prefix& network, const Ipv4Prefix& pod_cidr, std::uint32_t mtu);

}  // namespace podlane
