// SPDX-License-Identifier: Apache-2.0
#include "agent/node/underlay.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "agent/link/ownership.h"
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
        const auto in_its_place = std::ranges::find_if(links, [&](const netlink::Link& link) {
            return may_carry_host(link.alias) && link.link == found->ifindex;
        });
        return in_its_place == links.end() ? *found : *in_its_place;
    }
    const auto addresses = netlink::list_addresses(socket, 0);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    for (const auto& address : *addresses) {
        const auto link = std::ranges::find(links, address.ifindex, &netlink::Link::ifindex);
        if (address.address == query.node_address && link != links.end() && link->name != query.overlay_device &&
            (!link->alias.starts_with(shim_alias) || may_carry_host(link->alias))) {
            return *link;
        }
    }
    return fail("no device holds this node's address {}", query.node_address);
}

namespace {

// Nothing: a device that came after `links` were listed, which is another pass's.
std::optional<FibPath> fib_path(const netlink::ResolvedRoute& route, const Node& peer,
                                const std::vector<netlink::Link>& links) {
    const auto link = std::ranges::find(links, route.oif, &netlink::Link::ifindex);
    if (link == links.end()) {
        return std::nullopt;
    }
    return FibPath{.ifindex = route.oif,
                   .device = link->name,
                   .next_hop = route.gateway.value_or(peer.vtep),
                   .mtu = route.mtu != 0 ? route.mtu : link->mtu,
                   .has_carrier = link->is_up() && link->is_running()};
}

}  // namespace

PeerLookup resolve_peers(netlink::Socket& socket, const Cluster& cluster, const std::vector<netlink::Link>& links,
                         std::uint32_t overlay_ifindex) {
    std::vector<Ipv4Address> destinations;
    std::vector<const Node*> peers;
    for (const auto& [name, node] : cluster.nodes) {
        if (!node.self) {
            destinations.push_back(node.vtep);
            peers.push_back(&node);
        }
    }
    const auto routes = netlink::resolve(socket, destinations, overlay_ifindex);
    PeerLookup lookup;
    for (std::size_t i = 0; i < peers.size(); ++i) {
        const auto& peer = *peers[i];
        if (!routes[i] && netlink::is_verdict(routes[i].error())) {
            lookup.paths.emplace(peer.name, FibPath{.problem = routes[i].error().message});
        } else if (!routes[i]) {
            lookup.unknown.emplace(peer.name, routes[i].error().message);
        } else if (auto path = fib_path(*routes[i], peer, links)) {
            lookup.paths.emplace(peer.name, std::move(*path));
        } else {
            lookup.unknown.emplace(peer.name,
                                   fmt::format("resolve {}: device #{} is not known yet", peer.vtep, routes[i]->oif));
        }
    }
    return lookup;
}

}  // namespace podlane
