// SPDX-License-Identifier: Apache-2.0
#include "agent/node/underlay.h"

#include <algorithm>

#include "agent/netlink/interface_address.h"
#include "agent/netlink/resolve.h"

namespace podlane {

Result<netlink::Link> find_underlay(netlink::Socket& socket, const std::vector<netlink::Link>& links,
                                    const UnderlayQuery& query) {
    if (!query.configured_device.empty()) {
        const auto found = std::ranges::find(links, query.configured_device, &netlink::Link::name);
        if (found == links.end()) {
            return fail("underlay device {} does not exist", query.configured_device);
        }
        return *found;
    }
    const auto addresses = netlink::list_addresses(socket, 0);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    for (const auto& address : *addresses) {
        const auto link = std::ranges::find(links, address.ifindex, &netlink::Link::ifindex);
        if (address.address == query.node_address && link != links.end() && link->name != query.overlay_device) {
            return *link;
        }
    }
    return fail("no device holds this node's address {}", query.node_address);
}

namespace {

FibPath fib_path(const netlink::ResolvedRoute& route, const Node& peer, const std::vector<netlink::Link>& links) {
    const auto link = std::ranges::find(links, route.oif, &netlink::Link::ifindex);
    if (link == links.end()) {
        return {.problem = fmt::format("resolve {}: its device #{} is gone", peer.vtep, route.oif)};
    }
    return {.ifindex = route.oif,
            .device = link->name,
            .next_hop = route.gateway.value_or(peer.vtep),
            .mtu = route.mtu,
            .has_carrier = link->is_up() && link->is_running()};
}

}  // namespace

std::map<std::string, FibPath> resolve_peers(netlink::Socket& socket, const Cluster& cluster,
                                             const std::vector<netlink::Link>& links, std::uint32_t overlay_ifindex) {
    std::vector<Ipv4Address> destinations;
    std::vector<const Node*> peers;
    for (const auto& [name, node] : cluster.nodes) {
        if (!node.self) {
            destinations.push_back(node.vtep);
            peers.push_back(&node);
        }
    }
    const auto routes = netlink::resolve(socket, destinations, overlay_ifindex);
    std::map<std::string, FibPath> paths;
    for (std::size_t i = 0; i < peers.size(); ++i) {
        paths.emplace(peers[i]->name, routes[i] ? fib_path(*routes[i], *peers[i], links)
                                                : FibPath{.problem = routes[i].error().message});
    }
    return paths;
}

}  // namespace podlane
