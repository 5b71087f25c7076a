// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/ends.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <unistd.h>

#include <algorithm>

namespace podlane::cni {

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

Result<void> delete_link(RtSocket& socket, const LinkInfo& link, const std::string& name) {
    auto deleted = perform(socket, delete_link_request(link.index), "delete interface " + name);
    if (!deleted && deleted.error().code == ENODEV) {
        return {};
    }
    return deleted;
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

Result<void> write_sysctl(const std::string& key, const std::string& value) {
    const std::string path = "/proc/sys/net/" + key;
    const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid() || ::write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
        return fail_errno(errno, "write {}", path);
    }
    return {};
}

// Pods are IPv4 only: without this each side would take a link-local address and talk multicast over the link.
Result<void> disable_ipv6(const std::string& interface) {
    auto written = write_sysctl(fmt::format("ipv6/conf/{}/disable_ipv6", interface), "1");
    return !written && written.error().code == ENOENT ? Result<void>() : written;
}

void compare_link(const LinkInfo& link, std::string_view kind, const std::string& name, const MacAddress& mac,
                  Differences& found) {
    if (link.kind != kind) {
        found.push_back(fmt::format("interface {} is no {} device", name, kind));
    }
    if (link.mac != mac) {
        found.push_back(fmt::format("interface {} has MAC {}, not {}", name, link.mac, mac));
    }
    if (!link.up) {
        found.push_back(fmt::format("interface {} is down", name));
    }
}

Result<void> compare_address(RtSocket& inside, const LinkInfo& link, const Attachment& expected, Differences& found) {
    const auto addresses = list_addresses(inside, link.index);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    const bool there = std::ranges::any_of(*addresses, [&](const AddressInfo& info) {
        return info.address == expected.endpoint.ip && info.prefix_length == expected.prefix_length;
    });
    if (!there) {
        found.push_back(fmt::format("interface {} lacks the address {}/{}", expected.endpoint.if_name,
                                    expected.endpoint.ip, expected.prefix_length));
    }
    return {};
}

Result<void> compare_routes(RtSocket& inside, const LinkInfo& link, const Attachment& expected, Differences& found) {
    const auto routes = list_routes(inside);
    if (!routes) {
        return std::unexpected(routes.error());
    }
    for (const auto& wanted : expected.routes) {
        const bool there = std::ranges::any_of(*routes, [&](const RouteInfo& route) {
            return route.destination == wanted.destination && route.table == wanted.table.value_or(RT_TABLE_MAIN) &&
                   (!wanted.gateway || route.gateway == *wanted.gateway) && route.out_index == link.index;
        });
        if (!there) {
            const std::string way = !wanted.gateway                    ? ""
                                    : wanted.gateway->is_unspecified() ? " on link"
                                                                       : " via " + wanted.gateway->to_string();
            found.push_back(fmt::format("the route {}{} of interface {} is missing", wanted.destination, way,
                                        expected.endpoint.if_name));
        }
    }
    return {};
}

}  // namespace podlane::cni
