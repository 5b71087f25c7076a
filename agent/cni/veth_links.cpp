// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/veth_links.h"

namespace podlane::cni {
namespace {

Result<void> configure_inside(Ends& ends, const Attachment& attachment) {
    const auto& endpoint = attachment.endpoint;
    const auto link = require_link(ends.inside, endpoint.if_name);
    if (!link) {
        return std::unexpected(link.error());
    }
    auto done = ends.sandbox.inside([&] { return disable_ipv6(endpoint.if_name); });
    const auto step = [&](RtMessage message, const std::string& what) {
        if (done) {
            done = perform(ends.inside, std::move(message), what);
        }
    };
    // The pod has no subnet: all that it has a route to without a gateway is the gateway.
    const auto subnet = Ipv4Prefix::masked(endpoint.gateway, 32);
    step(bring_up_request(loopback_index), "bring up lo");
    step(add_address_request(link->index, endpoint.ip, attachment.prefix_length),
         fmt::format("add address {}", endpoint.ip));
    step(bring_up_request(link->index), "bring up " + endpoint.if_name);
    step(add_gateway_route_request(link->index, endpoint.gateway), fmt::format("add route {}", endpoint.gateway));
    for (const auto& route : attachment.routes) {
        step(add_route_request(link->index, route, endpoint.gateway, subnet),
             fmt::format("add route {}", route.destination));
    }
    return done;
}

Result<void> configure_host(Ends& ends, const Endpoint& endpoint) {
    const auto link = require_link(ends.host, endpoint.host_interface);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (auto disabled = disable_ipv6(endpoint.host_interface); !disabled) {
        return disabled;
    }
    return perform(ends.host, bring_up_request(link->index, encode_alias(endpoint)),
                   "bring up " + endpoint.host_interface);
}

// One that nobody fixed follows the underlay's, on both sides together.
void compare_mtu(const LinkInfo& host, const LinkInfo& inside, const Endpoint& expected, Differences& found) {
    const unsigned mtu = expected.mtu_fixed && expected.mtu != 0 ? expected.mtu : host.mtu;
    if (host.mtu != mtu) {
        found.push_back(fmt::format("interface {} has MTU {}, not {}", expected.host_interface, host.mtu, mtu));
    }
    if (inside.mtu != mtu) {
        found.push_back(fmt::format("interface {} has MTU {}, not {}", expected.if_name, inside.mtu, mtu));
    }
}

void compare_pair(const LinkInfo& host, const LinkInfo& inside, const Endpoint& expected, Differences& found) {
    compare_mtu(host, inside, expected, found);
    if (inside.link_index != host.index) {
        found.push_back(fmt::format("interface {} is not the peer of {}", expected.if_name, expected.host_interface));
    }
}

// With the on-link route to the gateway, which a result does not list.
Attachment with_gateway_route(Attachment expected) {
    Route gateway;
    gateway.destination = Ipv4Prefix::masked(expected.endpoint.gateway, 32);
    gateway.gateway = Ipv4Address();
    expected.routes.insert(expected.routes.begin(), gateway);
    return expected;
}

}  // namespace

Result<void> remove_veth_on_host(RtSocket& host, const std::string& name) {
    const auto link = find_link(host, name);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (!*link) {
        return {};
    }
    if ((*link)->kind != "veth") {
        return fail("interface {} exists and is no veth device", name);
    }
    return delete_link(host, **link, name);
}

Result<void> create_veth(Ends& ends, const Attachment& attachment) {
    const auto& endpoint = attachment.endpoint;
    if (auto removed = remove_veth_on_host(ends.host, endpoint.host_interface); !removed) {
        return removed;
    }
    auto done = perform(ends.host, create_veth_request(endpoint, ends.sandbox.fd()),
                        fmt::format("create veth pair {} and {}", endpoint.host_interface, endpoint.if_name));
    if (!done) {
        return done;
    }
    done = configure_inside(ends, attachment);
    if (done) {
        done = configure_host(ends, endpoint);
    }
    if (!done) {
        if (const auto removed = remove_veth_on_host(ends.host, endpoint.host_interface); !removed) {
            return fail("{}; and afterwards: {}", done.error().message, removed.error().message);
        }
    }
    return done;
}

Result<Differences> compare_veth(Ends& ends, const Attachment& expected) {
    const auto& endpoint = expected.endpoint;
    const auto host = find_link(ends.host, endpoint.host_interface);
    const auto inside = find_link(ends.inside, endpoint.if_name);
    if (!host || !inside) {
        return std::unexpected(host ? inside.error() : host.error());
    }
    Differences found;
    if (!*host) {
        found.push_back(fmt::format("interface {} of the host is missing", endpoint.host_interface));
    } else {
        compare_link(**host, "veth", endpoint.host_interface, endpoint.host_mac, found);
    }
    if (!*inside) {
        found.push_back(fmt::format("interface {} of the container is missing", endpoint.if_name));
        return found;
    }
    compare_link(**inside, "veth", endpoint.if_name, endpoint.mac, found);
    if (*host) {
        compare_pair(**host, **inside, endpoint, found);
    }
    auto compared = compare_address(ends.inside, **inside, expected, found);
    if (compared) {
        compared = compare_routes(ends.inside, **inside, with_gateway_route(expected), found);
    }
    if (!compared) {
        return std::unexpected(compared.error());
    }
    return found;
}

}  // namespace podlane::cni
