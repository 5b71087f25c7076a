// SPDX-License-Identifier: Apache-2.0
#include "agent/state/desired_state.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>

#include "maps/nat_config.h"

namespace podlane {
namespace {

pod_cidr_key key_of(const Ipv4Prefix& prefix) {
    return {.address = prefix.address().wire(), .prefix_length = prefix.length()};
}

// Null: the peer has no path that may be taken.
const PeerPath* path_to(const DesiredInputs& inputs, const Node& node) {
    const auto path = inputs.paths->find(node.name);
    const bool usable = path != inputs.paths->end() && path->second.path != NODE_PATH_UNREACHABLE;
    return usable ? &path->second : nullptr;
}

// Bytes of a pod's packet that fit on the way to a peer.
std::uint32_t path_mtu(const PeerPath& path, std::uint32_t device_mtu) {
    if (path.path == NODE_PATH_DIRECT) {
        return path.mtu;
    }
    return path.mtu > vxlan_overhead ? std::min(device_mtu, path.mtu - vxlan_overhead) : device_mtu;
}

// A direct route has the VTEP's fields too: the peer may encapsulate while we do not.
node_route route_to(const OverlaySettings& settings, const DesiredInputs& inputs, const Node& node) {
    const auto device_mtu = overlay_mtu(settings, inputs.underlay_mtu);
    node_route route{};
    route.vtep = node.vtep.wire();
    std::ranges::copy(node_vtep_mac(settings, node).bytes(), route.vtep_mac);
    route.mtu = device_mtu;
    route.path = NODE_PATH_UNREACHABLE;
    if (node.self) {
        route.path = NODE_PATH_LOCAL;
    } else if (const auto* path = path_to(inputs, node)) {
        route.path = static_cast<__u8>(path->path);
        route.next_hop = path->next_hop.wire();
        route.ifindex = path->ifindex;
        route.mtu = path_mtu(*path, device_mtu);
    }
    return route;
}

void add_node(WantedMaps& maps, const OverlaySettings& settings, const DesiredInputs& inputs, const Node& node) {
    const auto route = route_to(settings, inputs, node);
    maps.nodes_by_ipv4[node.internal_ip.wire()] = route;
    maps.nodes_by_ipv4[node.vtep.wire()] = route;
    for (const auto& address : node.other_ips) {
        maps.nodes_by_ipv4[address.wire()] = route;
    }
    for (const auto& prefix : node.pod_cidrs) {
        maps.nodes_by_pod_cidr[key_of(prefix)] = route;
        if (settings.flannel) {
            maps.nodes_by_ipv4[prefix.address().wire()] = route;
        }
    }
}

pod_cidr_lengths lengths_of(const Cluster& cluster) {
    std::set<unsigned, std::greater<>> longest_first;
    for (const auto& [name, node] : cluster.nodes) {
        for (const auto& prefix : node.pod_cidrs) {
            longest_first.insert(prefix.length());
        }
    }
    pod_cidr_lengths lengths{};
    for (const unsigned length : longest_first) {
        lengths.length[lengths.count++] = static_cast<__u8>(length);
    }
    return lengths;
}

pod_endpoint endpoint_of(const AttachedPod& pod) {
    pod_endpoint endpoint{};
    endpoint.ifindex = pod.ifindex;
    endpoint.mtu = pod.mtu;
    endpoint.gateway = pod.gateway.wire();
    std::ranges::copy(pod.mac.bytes(), endpoint.mac);
    std::ranges::copy(pod.host_mac.bytes(), endpoint.host_mac);
    if (pod.snat.kind == PodSnat::Kind::address) {
        endpoint.egress_address = pod.snat.address.wire();
    } else if (pod.snat.kind == PodSnat::Kind::off) {
        endpoint.flags = POD_FLAG_NO_SNAT;
    }
    if (!pod.hooked) {
        endpoint.flags |= POD_FLAG_UNHOOKED;
    }
    return endpoint;
}

// The host's own packets to a direct peer are no larger than the pods there take: a datagram that the peer would have
// to refuse (they have DF set, as a rule) would be lost before the host learns better.
PeerPrefix direct_prefix(const OverlaySettings& settings, const DesiredInputs& inputs, const PeerPath& path) {
    const auto mtu = std::min(path.mtu, pod_mtu(settings, inputs.underlay_mtu));
    return {.pod_cidr = {},
            .mtu = mtu == inputs.underlay_mtu ? 0 : mtu,
            .direct = DirectWay{.device = path.device, .gateway = path.next_hop}};
}

PeerPrefix overlay_prefix(const OverlaySettings& settings, const DesiredInputs& inputs, const PeerPath& path) {
    const auto device_mtu = overlay_mtu(settings, inputs.underlay_mtu);
    const auto mtu = path_mtu(path, device_mtu);
    return {.pod_cidr = {}, .mtu = mtu == device_mtu ? 0 : mtu, .direct = {}};
}

// The host's routes to peers' podCIDRs. One whose node cannot be reached has no route of its own: the unreachable
// route of its clusterCIDR answers with ICMP.
std::vector<PeerPrefix> peer_prefixes(const OverlaySettings& settings, const DesiredInputs& inputs) {
    std::vector<PeerPrefix> peers;
    for (const auto& [name, node] : inputs.cluster->nodes) {
        const auto* path = node.self ? nullptr : path_to(inputs, node);
        if (path == nullptr) {
            continue;
        }
        auto peer = path->path == NODE_PATH_DIRECT ? direct_prefix(settings, inputs, *path)
                                                   : overlay_prefix(settings, inputs, *path);
        for (const auto& prefix : node.pod_cidrs) {
            peer.pod_cidr = prefix;
            peers.push_back(peer);
        }
    }
    return peers;
}

using Networks = MapContent<spec::networks_by_prefix>;

void add_network(Networks& networks, const Ipv4Prefix& prefix, network_class network) {
    const network_key key{.prefix_length = prefix.length(), .address = prefix.address().wire()};
    networks[key] = {.network_class = network};
}

bool lies_in_any(const std::vector<Ipv4Prefix>& networks, const Ipv4Prefix& prefix) {
    return std::ranges::any_of(networks, [&](const Ipv4Prefix& network) { return network.contains(prefix); });
}

std::vector<Ipv4Prefix> untranslated_networks(const SnatSettings& settings, const IpMasqAgentConfig* ip_masq_agent) {
    auto networks = settings.non_masquerade_cidrs;
    if (ip_masq_agent != nullptr) {
        std::ranges::copy(ip_masq_agent->non_masquerade_cidrs, std::back_inserter(networks));
    }
    return networks;
}

void add_macvlan_pods(WantedMaps& maps, const DesiredInputs& inputs) {
    if (inputs.macvlans == nullptr) {
        return;
    }
    for (const auto& network : *inputs.macvlans) {
        for (const auto& entry : macvlan_entries(network)) {
            maps.macvlan_pods_by_ipv4[entry.ip.wire()] = entry.pod;
        }
    }
}

}  // namespace

std::uint32_t overlay_mtu(const OverlaySettings& settings, std::uint32_t underlay_mtu) {
    if (settings.mtu != 0) {
        return settings.mtu;
    }
    return underlay_mtu > vxlan_overhead ? underlay_mtu - vxlan_overhead : underlay_mtu;
}

std::uint32_t pod_mtu(const OverlaySettings& settings, std::uint32_t underlay_mtu) {
    return settings.mode == PathMode::host_gw && settings.mtu == 0 ? underlay_mtu : overlay_mtu(settings, underlay_mtu);
}

Ipv4Address overlay_address(const OverlaySettings& settings, const Node& node) {
    return settings.flannel && !node.pod_cidrs.empty() ? node.pod_cidrs.front().address() : node.internal_ip;
}

MacAddress node_vtep_mac(const OverlaySettings& settings, const Node& node) {
    if (settings.flannel && node.flannel_mac) {
        return *node.flannel_mac;
    }
    return node.stated_mac.value_or(vtep_mac(node.internal_ip));
}

// The longest prefix decides: what lies within the pod network is the pod network's, whoever names it again.
Networks desired_networks(const OverlaySettings& settings, const IpMasqAgentConfig* ip_masq_agent) {
    Networks networks;
    if (settings.snat.enabled) {
        const auto link_local = Ipv4Prefix::masked(Ipv4Address::from_host(0xa9fe0000), 16);
        const auto untranslated = untranslated_networks(settings.snat, ip_masq_agent);
        if (ip_masq_agent != nullptr && ip_masq_agent->masq_link_local && !lies_in_any(untranslated, link_local)) {
            add_network(networks, link_local, NETWORK_TRANSLATED);
        }
        for (const auto& prefix : untranslated) {
            if (!lies_in_any(settings.cluster_cidrs, prefix)) {
                add_network(networks, prefix, NETWORK_UNTRANSLATED);
            }
        }
        for (const auto& prefix : settings.snat.service_cidrs) {
            add_network(networks, prefix, NETWORK_SERVICE);
        }
    }
    for (const auto& prefix : settings.cluster_cidrs) {
        add_network(networks, prefix, NETWORK_CLUSTER);
    }
    return networks;
}

nat_config desired_nat(const SnatSettings& settings) {
    if (!settings.enabled && !settings.macvlan) {
        return {};
    }
    nat_config config = nat_config_for(settings.port_low, settings.port_high);
    config.enabled = settings.enabled ? 1 : 0;
    config.macvlan = settings.macvlan ? 1 : 0;
    config.at_once = settings.service_cidrs.empty() ? 0 : 1;
    return config;
}

WantedMaps desired_maps(const OverlaySettings& settings, const DesiredInputs& inputs) {
    WantedMaps maps;
    for (const auto& [name, node] : inputs.cluster->nodes) {
        add_node(maps, settings, inputs, node);
    }
    for (const auto& pod : *inputs.pods) {
        maps.pods_by_ipv4[pod.ip.wire()] = endpoint_of(pod);
    }
    maps.networks_by_prefix = desired_networks(settings, inputs.ip_masq_agent);
    if (settings.snat.enabled) {
        for (const auto& [ifindex, device] : inputs.uplinks) {
            maps.nat_address_by_device[ifindex] = device;
        }
    }
    maps.pod_cidr_lengths[0] = lengths_of(*inputs.cluster);
    add_macvlan_pods(maps, inputs);
    return maps;
}

WantedHostNetwork desired_host_network(const OverlaySettings& settings, const DesiredInputs& inputs) {
    const Node& self = *inputs.cluster->self();
    HostNetworkInputs host;
    if (inputs.overlay == OverlayUse::own) {
        host.overlay = WantedOverlayDevice{.name = settings.device,
                                           .port = settings.port,
                                           .mac = node_vtep_mac(settings, self),
                                           .mtu = overlay_mtu(settings, inputs.underlay_mtu),
                                           .addresses = {overlay_address(settings, self)},
                                           .ifindex = inputs.overlay_ifindex};
    }
    host.node_address = self.internal_ip;
    host.peers = peer_prefixes(settings, inputs);
    host.cluster_cidrs = settings.cluster_cidrs;
    for (const auto& pod : *inputs.pods) {
        host.pods.push_back({.ip = pod.ip, .mac = pod.mac, .host_interface = pod.host_interface, .way = pod.way});
    }
    host.pod_bridges = inputs.pod_bridges;
    if (inputs.macvlans != nullptr) {
        for (const auto& network : *inputs.macvlans) {
            host.shims.push_back(shim_of(network, self.name));
        }
    }
    host.all_rp_filter = inputs.all_rp_filter;
    return build_host_network(host);
}

}  // namespace podlane
