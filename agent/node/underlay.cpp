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

std::map<std::string, PeerPath> resolve_peers(netlink::Socket& socket, const Cluster& cluster,
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
    std::map<std::string, PeerPath> paths;
    for (std::size_t i = 0; i < peers.size(); ++i) {
        PeerPath path;
        if (routes[i]) {
            path.ifindex = routes[i]->oif;
            path.next_hop = routes[i]->gateway.value_or(peers[i]->vtep);
            path.mtu = routes[i]->mtu;
        } else {
            path.problem = routes[i].error().message;
        }
        paths.emplace(peers[i]->name, std::move(path));
    }
    return paths;
}

}  // namespace podlane
