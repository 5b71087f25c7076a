// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/plan.h"

#include <algorithm>
#include <cstdio>

#include "agent/cni/macvlan_config.h"

namespace podlane::cni {
namespace {

std::string argument(const Invocation& invocation, const char* key) {
    const auto found = invocation.args.find(key);
    return found == invocation.args.end() ? std::string() : found->second;
}

// The IPAM plugin's, or the first address of the podCIDR, as host-local has it.
Outcome<Ipv4Address> choose_gateway(const IpamResult& address, const NodeNetwork& network) {
    std::optional<Ipv4Address> gateway = address.gateway;
    for (const auto& prefix : network.pod_cidrs) {
        if (!gateway && prefix.contains(address.ip)) {
            gateway = Ipv4Address::from_host(prefix.address().host() + 1);
        }
    }
    if (!gateway) {
        return refuse(Code::invalid_config, "the IPAM plugin assigned {} without a gateway", address.ip);
    }
    return *gateway;
}

Outcome<void> check_addresses(Ipv4Address ip, Ipv4Address gateway) {
    if (!ip.is_unicast() || !gateway.is_unicast() || gateway == ip) {
        return refuse(Code::invalid_config, "the IPAM plugin assigned {} with gateway {}", ip, gateway);
    }
    return {};
}

bool has_route_to(const std::vector<Route>& routes, const Ipv4Prefix& destination) {
    return std::ranges::find(routes, destination, &Route::destination) != routes.end();
}

// Every route by its gateway, the default route added where there is none.
std::vector<Route> routes_of_veth(std::vector<Route> routes, Ipv4Address gateway) {
    if (!has_route_to(routes, Ipv4Prefix())) {
        routes.emplace_back();
    }
    for (auto& route : routes) {
        route.gateway = route.gateway.value_or(gateway);
    }
    return routes;
}

void draft_veth(Attachment& attachment, const Ground& ground) {
    auto& endpoint = attachment.endpoint;
    endpoint.mac = derived_pod_mac(endpoint.container_id, endpoint.if_name);
    endpoint.host_interface = host_interface_name(endpoint.container_id, endpoint.if_name);
    endpoint.host_mac = derived_host_mac(endpoint.container_id, endpoint.if_name);
    endpoint.mtu = endpoint.mtu_fixed ? endpoint.mtu : ground.network.mtu;
}

Outcome<Attachment> plan_veth(Attachment attachment, const Ground& ground, const IpamResult& address) {
    const auto gateway = choose_gateway(address, ground.network);
    const auto checked = gateway ? check_addresses(address.ip, *gateway) : std::unexpected(gateway.error());
    if (!checked) {
        return std::unexpected(checked.error());
    }
    attachment.endpoint.gateway = *gateway;
    attachment.prefix_length = 32;
    attachment.routes = routes_of_veth(address.routes, *gateway);
    return attachment;
}

// Whoever asks last, as in the reference plugin: the configuration, CNI_ARGS, the runtime. In mode passthru the kernel
// gives the device its master's, whatever is asked for.
Outcome<MacAddress> choose_mac(const Invocation& invocation, const MacvlanConfig& config, const Ground& ground) {
    std::optional<MacAddress> mac = config.mac;
    if (const auto text = argument(invocation, "MAC"); !text.empty()) {
        const auto given = parse_mac_of_user(text, "CNI_ARGS: MAC");
        if (!given) {
            return std::unexpected(given.error());
        }
        mac = *given;
    }
    if (config.runtime_mac) {
        mac = config.runtime_mac;
    }
    if (config.mode == "passthru") {
        mac = ground.master->mac;
    }
    return mac.value_or(derived_pod_mac(invocation.container_id, invocation.if_name));
}

Outcome<void> draft_macvlan(Attachment& attachment, const Invocation& invocation, const MacvlanConfig& config,
                            const Ground& ground) {
    const auto mac = choose_mac(invocation, config, ground);
    if (!mac) {
        return std::unexpected(mac.error());
    }
    auto& endpoint = attachment.endpoint;
    endpoint.mac = *mac;
    endpoint.link = "macvlan";
    endpoint.master = ground.master->name;
    endpoint.mode = config.mode;
    endpoint.mtu = endpoint.mtu_fixed ? endpoint.mtu : ground.master->mtu;
    attachment.broadcast_queue = config.broadcast_queue;
    return {};
}

Outcome<Attachment> plan_macvlan(Attachment attachment, const Ground& ground, const IpamResult& address) {
    auto& endpoint = attachment.endpoint;
    if (endpoint.ip.is_unspecified()) {
        return attachment;
    }
    endpoint.gateway = address.gateway.value_or(Ipv4Address());
    attachment.routes = address.routes;
    if (address.gateway || !endpoint.ip.is_unicast()) {
        if (const auto checked = check_addresses(endpoint.ip, endpoint.gateway); !checked) {
            return std::unexpected(checked.error());
        }
    }
    const auto added = routes_through_host(attachment, ground);
    if (!added) {
        return std::unexpected(added.error());
    }
    attachment.routes.insert(attachment.routes.end(), added->begin(), added->end());
    return attachment;
}

// The overlay takes shorter packets than the LAN: what is behind the host's route is sent in such from the start,
// instead of losing the first long one to each destination.
std::optional<unsigned> mtu_through_host(unsigned interface_mtu, const NodeNetwork& network) {
    return network.mtu != 0 && network.mtu < interface_mtu ? std::optional(network.mtu) : std::nullopt;
}

const MacvlanNetwork* network_on(const std::string& master, const NodeNetwork& network) {
    const auto found = std::ranges::find(network.macvlans, master, &MacvlanNetwork::master);
    return found == network.macvlans.end() ? nullptr : &*found;
}

}  // namespace

Endpoint make_endpoint(const Invocation& invocation, const NetworkConfig& config) {
    Endpoint endpoint;
    endpoint.container_id = invocation.container_id;
    endpoint.if_name = invocation.if_name;
    endpoint.netns = invocation.netns;
    endpoint.name_space = argument(invocation, "K8S_POD_NAMESPACE");
    endpoint.name = argument(invocation, "K8S_POD_NAME");
    endpoint.uid = argument(invocation, "K8S_POD_UID");
    endpoint.network = config.name;
    return endpoint;
}

Outcome<Attachment> draft(const Invocation& invocation, const NetworkConfig& config, const Ground& ground) {
    Attachment attachment;
    attachment.endpoint = make_endpoint(invocation, config);
    attachment.endpoint.mtu_fixed = config.mtu != 0;
    attachment.endpoint.mtu = config.mtu;
    attachment.dns = config.dns;
    if (!ground.master) {
        draft_veth(attachment, ground);
        return attachment;
    }
    const auto drafted = draft_macvlan(attachment, invocation, config.macvlan, ground);
    return drafted ? Outcome<Attachment>(std::move(attachment)) : std::unexpected(drafted.error());
}

Outcome<Attachment> plan(Attachment draft, const Ground& ground, const IpamResult& address) {
    draft.endpoint.ip = address.ip;
    draft.prefix_length = address.prefix_length;
    if (draft.dns.is_null()) {
        draft.dns = address.dns;
    }
    return ground.master ? plan_macvlan(std::move(draft), ground, address)
                         : plan_veth(std::move(draft), ground, address);
}

Outcome<std::vector<Route>> routes_through_host(const Attachment& attachment, const Ground& ground) {
    const auto& endpoint = attachment.endpoint;
    const auto& network = ground.network;
    const auto* const lan = network_on(endpoint.master, network);
    std::vector<Route> added;
    if (lan == nullptr) {
        return added;
    }
    if (endpoint.mode != "bridge" || lan->mode != "bridge") {
        fmt::print(stderr, "podlane: a macvlan in mode {} has no way to its own host: no routes through it\n",
                   endpoint.mode != "bridge" ? endpoint.mode : lan->mode);
        return added;
    }
    if (lan->host_address.is_unspecified()) {
        return refuse(Code::try_again_later, "podlane-agent: macvlan network {}: this host has no address on {} yet",
                      lan->name, lan->master);
    }
    for (const auto& destination : lan->routes) {
        if (has_route_to(attachment.routes, destination)) {
            continue;
        }
        // Answers to what comes in by that interface would leave by this one.
        if (std::ranges::any_of(ground.ways_of_others, [&](const auto& way) { return way.contains(destination); })) {
            fmt::print(stderr, "podlane: the container reaches {} by another interface: no route through {}\n",
                       destination, endpoint.if_name);
            continue;
        }
        Route route;
        route.destination = destination;
        route.gateway = lan->host_address;
        route.mtu = mtu_through_host(endpoint.mtu, network);
        added.push_back(route);
    }
    return added;
}

}  // namespace podlane::cni
