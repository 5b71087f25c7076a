// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "agent/netlink/link.h"

namespace podlane {

// flannel's overlay device on a node that podlane takes over. While it is up it has the overlay's UDP port, which a
// second VXLAN device of another kind cannot share (vxlan_find_sock() in drivers/net/vxlan/vxlan_core.c goes by the
// receive flags, EADDRINUSE). It is used as it is then: as the socket, and as the way of what the host's stack sends;
// its address and flannel's routes, neighbours and FDB entries on it are left alone.
//
// Nothing: there is no such device. One that is down has no socket and is nothing to borrow.
[[nodiscard]] std::optional<netlink::Link> find_flannel_overlay(const std::vector<netlink::Link>& links,
                                                                std::uint32_t vni, std::uint16_t port);

}  // namespace podlane
