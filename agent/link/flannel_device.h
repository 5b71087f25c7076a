// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "agent/netlink/link.h"

namespace podlane {

// Of one VNI, which is what flannel makes: podlane's own is external.
[[nodiscard]] bool is_plain_vxlan(const netlink::Link& link);

// flannel's overlay device by what it is for, whatever its name and whether it is up: VNI and UDP port are the
// overlay's, and podlane did not make it.
[[nodiscard]] bool is_flannel_device(const netlink::Link& link, std::uint32_t vni, std::uint16_t port);

}  // namespace podlane
