// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/rtnetlink.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/netlink/message.h"
#include "agent/netlink/socket.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::netlink {

// An IPv4 route with at most one next hop. A multipath route decodes without device and gateway.
struct Route {
    Ipv4Prefix destination;
    std::uint8_t type = RTN_UNICAST;  // RTN_*
    std::uint32_t oif = 0;            // ifindex; 0: none (unreachable)
    std::optional<Ipv4Address> gateway{};
    std::optional<Ipv4Address> source{};     // preferred source address of the host's own packets
    std::uint8_t scope = RT_SCOPE_UNIVERSE;  // RT_SCOPE_*
    std::uint8_t protocol = 0;               // RTPROT_*: who installed it
    std::uint32_t metric = 0;                // lower wins, among routes to one destination
    std::uint32_t table = RT_TABLE_MAIN;
    bool on_link = false;   // the gateway is taken to be on the link, whatever the routes say
    std::uint32_t mtu = 0;  // bytes; 0: the device's

    // As iproute2 writes it, the device as "dev #3".
    [[nodiscard]] std::string to_string() const;
    auto operator<=>(const Route&) const = default;
};

// Which routes list_routes returns; 0 stands for all.
struct RouteFilter {
    std::uint8_t protocol = 0;
    std::uint32_t table = 0;
    std::uint32_t oif = 0;
};

// Requests. The kernel knows a route by table, destination and metric: add fails with EEXIST where one is there,
// whoever it belongs to; replace overwrites it, whoever it belongs to; delete wants all fields to match.
[[nodiscard]] Message add_route(const Route& route);
[[nodiscard]] Message replace_route(const Route& route);
[[nodiscard]] Message delete_route(const Route& route);

[[nodiscard]] Result<std::vector<Route>> list_routes(Socket& socket, const RouteFilter& filter);

// RTM_NEWROUTE and RTM_DELROUTE of IPv4; nothing for anything else and for cache entries (RTM_F_CLONED).
[[nodiscard]] std::optional<Route> decode_route(const nlmsghdr& message);

}  // namespace podlane::netlink
