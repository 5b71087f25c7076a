// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/flannel_network.h"

#include <algorithm>

#include "agent/netlink/link.h"

namespace podlane::migrate {
namespace {

std::string what_it_is(const netlink::Link& link) {
    if (!link.vxlan) {
        return link.kind.empty() ? "no VXLAN device" : fmt::format("no VXLAN device but of kind {}", link.kind);
    }
    return "an external VXLAN device";
}

Result<std::string> name_of_lower(netlink::Socket& socket, const netlink::Link& link) {
    const auto index = link.vxlan->lower;
    if (index == 0) {
        return std::string();
    }
    if (link.link_netnsid) {
        return fail("{}: the device that carries it is in another namespace", link.name);
    }
    const auto lower = netlink::find_link(socket, index);
    if (!lower) {
        return std::unexpected(lower.error());
    }
    return *lower ? Result<std::string>((*lower)->name)
                  : fail("{}: the device that carries it, #{}, is gone", link.name, index);
}

Result<FlannelDevice> read_device(netlink::Socket& socket, const netlink::Link& link) {
    if (!link.vxlan || link.vxlan->external || !link.mac) {
        return fail("{} is {}: flannel's has one VNI", link.name, what_it_is(link));
    }
    auto lower = name_of_lower(socket, link);
    if (!lower) {
        return std::unexpected(lower.error());
    }
    return FlannelDevice{.name = link.name,
                         .vni = link.vxlan->vni,
                         .port = link.vxlan->port,
                         .mac = *link.mac,
                         .mtu = link.mtu,
                         .local = link.vxlan->local,
                         .lower = std::move(*lower),
                         .learning = link.vxlan->learning,
                         .udp_checksum = link.vxlan->udp_checksum};
}

// Those that the kernel makes of addresses come with them.
Result<std::vector<FlannelRoute>> read_routes(netlink::Socket& socket, std::uint32_t ifindex,
                                              const std::string& device) {
    const auto listed = netlink::list_routes(socket, {.oif = ifindex});
    if (!listed) {
        return std::unexpected(listed.error());
    }
    std::vector<FlannelRoute> routes;
    for (auto route : *listed) {
        if (route.type == RTN_UNICAST && route.protocol != RTPROT_KERNEL) {
            route.oif = 0;
            routes.push_back({.device = device, .route = route});
        }
    }
    return routes;
}

// Takes the device's number out of what is on it alone.
template <typename T>
void forget_ifindex(std::vector<T>& entries) {
    for (auto& entry : entries) {
        entry.ifindex = 0;
    }
    std::ranges::sort(entries);
}

Result<FlannelNetwork> read_network(netlink::Socket& socket, const netlink::Link& link) {
    auto device = read_device(socket, link);
    if (!device) {
        return std::unexpected(device.error());
    }
    auto addresses = netlink::list_addresses(socket, link.ifindex);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    auto routes = read_routes(socket, link.ifindex, link.name);
    if (!routes) {
        return std::unexpected(routes.error());
    }
    auto neighbours = netlink::list_neighbours(socket, link.ifindex);
    if (!neighbours) {
        return std::unexpected(neighbours.error());
    }
    auto fdb = netlink::list_fdb(socket, link.ifindex);
    if (!fdb) {
        return std::unexpected(fdb.error());
    }
    std::erase_if(*neighbours, [](const auto& entry) { return entry.state != NUD_PERMANENT || !entry.mac; });
    std::erase_if(*fdb,
                  [](const auto& entry) { return !entry.remote || (entry.state & (NUD_PERMANENT | NUD_NOARP)) == 0; });
    forget_ifindex(*addresses);
    forget_ifindex(*neighbours);
    forget_ifindex(*fdb);
    std::ranges::sort(*routes, {}, &FlannelRoute::route);
    return FlannelNetwork{.device = std::move(*device),
                          .addresses = std::move(*addresses),
                          .routes = std::move(*routes),
                          .neighbours = std::move(*neighbours),
                          .fdb = std::move(*fdb)};
}

}  // namespace

Result<std::optional<FlannelNetwork>> read_flannel_network(netlink::Socket& socket, const std::string& device) {
    const auto link = netlink::find_link(socket, device);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (!*link) {
        return std::nullopt;
    }
    auto network = read_network(socket, **link);
    if (!network) {
        return std::unexpected(network.error());
    }
    return std::move(*network);
}

Result<std::vector<FlannelRoute>> read_direct_routes(netlink::Socket& socket, const FlannelNetwork& network,
                                                     std::span<const Ipv4Prefix> pod_networks) {
    const auto lower = netlink::find_link(socket, network.device.lower);
    if (network.device.lower.empty() || (lower && !*lower)) {
        return std::vector<FlannelRoute>{};
    }
    if (!lower) {
        return std::unexpected(lower.error());
    }
    auto routes = read_routes(socket, (*lower)->ifindex, (*lower)->name);
    if (!routes) {
        return std::unexpected(routes.error());
    }
    std::erase_if(*routes, [&](const FlannelRoute& entry) {
        const auto holds_it = [&](const Ipv4Prefix& pods) { return pods.contains(entry.route.destination); };
        return !entry.route.gateway || entry.route.protocol != RTPROT_BOOT || entry.route.table != RT_TABLE_MAIN ||
               std::ranges::none_of(pod_networks, holds_it);
    });
    return routes;
}

std::vector<FlannelPeer> peers_of(const FlannelNetwork& network) {
    std::vector<FlannelPeer> peers;
    for (const auto& [device, route] : network.routes) {
        if (!route.gateway) {
            continue;
        }
        FlannelPeer peer{.pod_cidr = route.destination, .gateway = *route.gateway, .mac = {}};
        if (device != network.device.name) {
            peer.vtep = peer.gateway;
        }
        const auto neighbour = std::ranges::find(network.neighbours, peer.gateway, &netlink::Neighbour::address);
        if (device == network.device.name && neighbour != network.neighbours.end() && neighbour->mac) {
            peer.mac = *neighbour->mac;
            const auto entry = std::ranges::find(network.fdb, peer.mac, &netlink::FdbEntry::mac);
            peer.vtep = entry == network.fdb.end() ? std::nullopt : entry->remote;
        }
        peers.push_back(peer);
    }
    std::ranges::sort(peers, {}, &FlannelPeer::pod_cidr);
    return peers;
}

}  // namespace podlane::migrate
