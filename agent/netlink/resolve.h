// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/netlink/socket.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::netlink {

// The way that the kernel's FIB has to a destination now, for a packet of the host itself.
struct ResolvedRoute {
    std::uint32_t oif = 0;                 // ifindex
    std::optional<Ipv4Address> gateway{};  // nothing: the destination is on the link
    std::optional<Ipv4Address> source{};   // that the kernel would choose
    std::uint32_t mtu = 0;                 // bytes, of the route; 0: it has none of its own, the device's holds

    bool operator==(const ResolvedRoute&) const = default;
};

// One result per destination, in their order. An error of one (no route, unreachable, an address of this node, a
// gateway that is not IPv4, no answer) leaves the others alone.
//
// A route that leads into the device `overlay_ifindex` (0: none) is an error too: it is the peer's InternalIP that is
// resolved, and a peer whose address lies inside some node's podCIDR would be reached through its own tunnel.
[[nodiscard]] std::vector<Result<ResolvedRoute>> resolve(Socket& socket, std::span<const Ipv4Address> destinations,
                                                         std::uint32_t overlay_ifindex);
[[nodiscard]] Result<ResolvedRoute> resolve(Socket& socket, Ipv4Address destination, std::uint32_t overlay_ifindex);

// Whether an error of resolve() is what the kernel says of the destination: there is no way. Otherwise nothing is known
// of it: the question or its answer was lost (ETIMEDOUT, ENOBUFS).
[[nodiscard]] bool is_verdict(const Error& error);

}  // namespace podlane::netlink
