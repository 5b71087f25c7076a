// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <vector>

#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::migrate {

// Which of the addresses answer no ICMP echo: each is asked three times, half a second apart. The way is the routing
// table's. An address with no route counts as silent. An error: no raw socket (EPERM).
[[nodiscard]] Result<std::set<Ipv4Address>> silent_among(const std::vector<Ipv4Address>& addresses);

}  // namespace podlane::migrate
