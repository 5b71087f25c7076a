// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/links.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

#include <algorithm>

#include "agent/cni/link_requests.h"
#include "agent/cni/sandbox.h"

namespace podlane::cni {
namespace {

constexpr int loopback_index = 1;  // LOOPBACK_IFINDEX of the kernel, in every namespace

// The two ends to configure an attachment from.
struct Ends {
    Sandbox sandbox;
    RtSocket host;
    RtSocket inside;
};

Result<Ends> open_ends(const std::string& netns) {
    auto sandbox = Sandbox::open(netns);
    if (!sandbox) {
        return std::unexpected(sandbox.error());
    }
    auto host = RtSocket::open();
    if (!host) {
        return std::unexpected(host.error());
    }
    auto inside = sandbox->inside([] { return RtSocket::open(); });
    if (!inside) {
        return std::unexpected(inside.error());
    }
    return Ends{std::move(*sandbox), std::move(*host), std::move(*inside)};
}

Result<void> perform(RtSocket& socket, RtMessage message, const std::string& what) {
    const auto replies = socket.request(std::move(message));
    return replies ? Result<void>() : fail_within(what, replies.error());
}

// Gone already is as good as removed.
Result<void> delete_link(RtSocket& socket, const LinkInfo& link, const std::string& name) {
    auto deleted = perform(socket, delete_link_request(link.index), "delete interface " + name);
    if (!deleted && deleted.error().code == ENODEV) {
        return {};
    }
    return deleted;
}

// Pods are IPv4 only: without this each side would take a link-local address and talk multicast over the pair. A kernel
// without IPv6 has no such file. Applies to the network namespace that the process is in.
Result<void> disable_ipv6(const std::string& interface) {
    const std::string path = fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", interface);
    const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid() && errno == ENOENT) {
        return {};
    }
    if (!file.valid() || ::write(file.get(), "1", 1) != 1) {
        return fail_errno(errno, "write {}", path);
    }
    return {};
}

Result<void> remove_leftover(RtSocket& host, const std::string& name) {
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

Result<LinkInfo> require_link(RtSocket& socket, const std::string& name) {
    const auto link = find_link(socket, name);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (!*link) {
        return fail_errno(ENODEV, "find interface {}", name);
    }
    return **link;
}

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
    step(bring_up_request(loopback_index), "bring up lo");
    step(add_address_request(link->index, endpoint.ip), fmt::format("add address {}", endpoint.ip));
    step(bring_up_request(link->index), "bring up " + endpoint.if_name);
    step(add_gateway_route_request(link->index, endpoint.gateway), fmt::format("add route {}", endpoint.gateway));
    for (const auto& route : attachment.routes) {
        step(add_route_request(link->index, route, endpoint.gateway), fmt::format("add route {}", route.destination));
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

// The container side, when the host side is not where it should be (someone renamed or moved it). Deleting one side of
// a pair deletes both. By MAC, so that an interface which another plugin put there stays.
Result<void> remove_inside(const Endpoint& endpoint) {
    const auto sandbox = Sandbox::open(endpoint.netns);
    if (!sandbox) {
        return {};  // the container is gone, and with it everything inside
    }
    auto socket = sandbox->inside([] { return RtSocket::open(); });
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto link = find_link(*socket, endpoint.if_name);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (!*link || (*link)->kind != "veth" || (*link)->mac != endpoint.mac) {
        return {};
    }
    return delete_link(*socket, **link, endpoint.if_name);
}

using Differences = std::vector<std::string>;

void compare_link(const LinkInfo& link, const std::string& name, const MacAddress& mac, Differences& found) {
    if (link.kind != "veth") {
        found.push_back(fmt::format("interface {} is no veth device", name));
    }
    if (link.mac != mac) {
        found.push_back(fmt::format("interface {} has MAC {}, not {}", name, link.mac, mac));
    }
    if (!link.up) {
        found.push_back(fmt::format("interface {} is down", name));
    }
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

Result<void> compare_address(RtSocket& inside, const LinkInfo& link, const Endpoint& expected, Differences& found) {
    const auto addresses = list_addresses(inside, link.index);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    const bool there = std::ranges::any_of(
        *addresses, [&](const AddressInfo& info) { return info.address == expected.ip && info.prefix_length == 32; });
    if (!there) {
        found.push_back(fmt::format("interface {} lacks the address {}/32", expected.if_name, expected.ip));
    }
    return {};
}

Result<void> compare_routes(RtSocket& inside, const LinkInfo& link, const Attachment& expected, Differences& found) {
    const auto routes = list_routes(inside);
    if (!routes) {
        return std::unexpected(routes.error());
    }
    const auto require = [&](const Ipv4Prefix& destination, Ipv4Address gateway, unsigned table) {
        const bool there = std::ranges::any_of(*routes, [&](const RouteInfo& route) {
            return route.destination == destination && route.gateway == gateway && route.table == table &&
                   route.out_index == link.index;
        });
        if (!there) {
            found.push_back(fmt::format("the route {} {} of interface {} is missing", destination,
                                        gateway.is_unspecified() ? "on link" : "via " + gateway.to_string(),
                                        expected.endpoint.if_name));
        }
    };
    require(Ipv4Prefix::masked(expected.endpoint.gateway, 32), Ipv4Address(), RT_TABLE_MAIN);
    for (const auto& route : expected.routes) {
        require(route.destination, route.gateway.value_or(expected.endpoint.gateway),
                route.table.value_or(RT_TABLE_MAIN));
    }
    return {};
}

}  // namespace

Result<bool> KernelLinks::exists(const std::string& netns, const std::string& if_name) {
    const auto sandbox = Sandbox::open(netns);
    if (!sandbox) {
        return std::unexpected(sandbox.error());
    }
    auto socket = sandbox->inside([] { return RtSocket::open(); });
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto link = find_link(*socket, if_name);
    return link ? Result<bool>(link->has_value()) : std::unexpected(link.error());
}

Result<void> KernelLinks::create(const Attachment& attachment) {
    const auto& endpoint = attachment.endpoint;
    auto ends = open_ends(endpoint.netns);
    if (!ends) {
        return std::unexpected(ends.error());
    }
    if (auto removed = remove_leftover(ends->host, endpoint.host_interface); !removed) {
        return removed;
    }
    auto done = perform(ends->host, create_veth_request(endpoint, ends->sandbox.fd()),
                        fmt::format("create veth pair {} and {}", endpoint.host_interface, endpoint.if_name));
    if (!done) {
        return done;
    }
    done = configure_inside(*ends, attachment);
    if (done) {
        done = configure_host(*ends, endpoint);
    }
    if (!done) {
        if (const auto removed = remove_leftover(ends->host, endpoint.host_interface); !removed) {
            return fail("{}; and afterwards: {}", done.error().message, removed.error().message);
        }
    }
    return done;
}

Result<void> KernelLinks::remove(const Endpoint& endpoint) {
    auto host = RtSocket::open();
    if (!host) {
        return std::unexpected(host.error());
    }
    if (auto removed = remove_leftover(*host, endpoint.host_interface); !removed) {
        return removed;
    }
    return endpoint.netns.empty() ? Result<void>() : remove_inside(endpoint);
}

Result<std::vector<std::string>> KernelLinks::differences(const Attachment& expected) {
    const auto& endpoint = expected.endpoint;
    auto ends = open_ends(endpoint.netns);
    if (!ends) {
        return std::unexpected(ends.error());
    }
    const auto host = find_link(ends->host, endpoint.host_interface);
    const auto inside = find_link(ends->inside, endpoint.if_name);
    if (!host || !inside) {
        return std::unexpected(host ? inside.error() : host.error());
    }
    Differences found;
    if (!*host) {
        found.push_back(fmt::format("interface {} of the host is missing", endpoint.host_interface));
    } else {
        compare_link(**host, endpoint.host_interface, endpoint.host_mac, found);
    }
    if (!*inside) {
        found.push_back(fmt::format("interface {} of the container is missing", endpoint.if_name));
        return found;
    }
    compare_link(**inside, endpoint.if_name, endpoint.mac, found);
    if (*host) {
        compare_mtu(**host, **inside, endpoint, found);
        if ((*inside)->peer_index != (*host)->index) {
            found.push_back(
                fmt::format("interface {} is not the peer of {}", endpoint.if_name, endpoint.host_interface));
        }
    }
    auto compared = compare_address(ends->inside, **inside, endpoint, found);
    if (compared) {
        compared = compare_routes(ends->inside, **inside, expected, found);
    }
    if (!compared) {
        return std::unexpected(compared.error());
    }
    return found;
}

}  // namespace podlane::cni
