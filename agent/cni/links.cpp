// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/links.h"

#include <algorithm>
#include <array>

#include "agent/cni/adopted_links.h"
#include "agent/cni/macvlan_links.h"
#include "agent/cni/veth_links.h"

namespace podlane::cni {
namespace {

struct Kind {
    std::string_view name;
    Result<void> (*create)(Ends& ends, const Attachment& attachment);
    Result<Differences> (*compare)(Ends& ends, const Attachment& expected);
};

constexpr std::array kinds{Kind{"veth", create_veth, compare_veth},
                           Kind{"macvlan", configure_macvlan, compare_macvlan}};

Result<Kind> kind_of(const Attachment& attachment) {
    const auto* const kind = std::ranges::find(kinds, attachment.endpoint.link, &Kind::name);
    if (kind == kinds.end()) {
        return fail("link \"{}\" is of no known kind", attachment.endpoint.link);
    }
    return *kind;
}

bool is_ours(const LinkInfo& link, const Endpoint& endpoint) {
    return (link.kind == "veth" && link.mac == endpoint.mac) || is_our_macvlan(link, endpoint);
}

// Only the container's side is left where the host's was renamed, and of a macvlan there is no other; removing one side
// of a pair removes both. The second name is that of a macvlan whose ADD came to an end too early.
Result<void> remove_inside(const Endpoint& endpoint) {
    const auto sandbox = Sandbox::open(endpoint.netns);
    if (!sandbox) {
        return {};  // the container is gone, and with it everything inside
    }
    auto socket = sandbox->inside([] { return RtSocket::open(); });
    if (!socket) {
        return std::unexpected(socket.error());
    }
    for (const auto& name : {endpoint.if_name, endpoint.host_interface}) {
        const auto link = find_link(*socket, name);
        if (!link) {
            return std::unexpected(link.error());
        }
        if (!*link || !is_ours(**link, endpoint)) {
            continue;
        }
        if (auto deleted = delete_link(*socket, **link, name); !deleted) {
            return deleted;
        }
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

Result<std::vector<Ipv4Prefix>> KernelLinks::ways_of_others(const std::string& netns, const std::string& if_name) {
    const auto sandbox = Sandbox::open(netns);
    auto socket = sandbox ? sandbox->inside([] { return RtSocket::open(); }) : std::unexpected(sandbox.error());
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto link = find_link(*socket, if_name);
    const auto routes = list_routes(*socket);
    if (!link || !routes) {
        return std::unexpected(link ? routes.error() : link.error());
    }
    const int own = *link ? (*link)->index : 0;
    std::vector<Ipv4Prefix> ways;
    for (const auto& route : *routes) {
        if (route.table == RT_TABLE_MAIN && route.out_index != own) {
            ways.push_back(route.destination);
        }
    }
    return ways;
}

Outcome<Master> KernelLinks::master(const std::string& name) {
    auto host = RtSocket::open();
    if (!host) {
        return refuse_because(Code::attachment_failed, host.error());
    }
    return find_master(*host, name);
}

Result<void> KernelLinks::prepare(const Attachment& attachment) {
    auto ends = open_ends(attachment.endpoint.netns);
    return ends ? create_macvlan(*ends, attachment) : std::unexpected(ends.error());
}

Result<void> KernelLinks::create(const Attachment& attachment) {
    const auto kind = kind_of(attachment);
    auto ends = kind ? open_ends(attachment.endpoint.netns) : std::unexpected(kind.error());
    return ends ? kind->create(*ends, attachment) : std::unexpected(ends.error());
}

Result<void> KernelLinks::remove(const Endpoint& endpoint) {
    auto host = RtSocket::open();
    if (!host) {
        return std::unexpected(host.error());
    }
    if (auto removed = remove_veth_on_host(*host, endpoint.host_interface); !removed) {
        return removed;
    }
    return endpoint.netns.empty() ? Result<void>() : remove_inside(endpoint);
}

Result<std::vector<std::string>> KernelLinks::differences(const Attachment& expected) {
    const auto kind = kind_of(expected);
    auto ends = kind ? open_ends(expected.endpoint.netns) : std::unexpected(kind.error());
    return ends ? kind->compare(*ends, expected) : std::unexpected(ends.error());
}

Outcome<AdoptableLink> KernelLinks::adoptable(const std::string& netns, const std::string& if_name) {
    auto ends = open_ends(netns);
    return ends ? inspect_adoptable(*ends, if_name) : refuse_because(Code::attachment_failed, ends.error());
}

Result<void> KernelLinks::add_routes(const Attachment& attachment) {
    auto ends = open_ends(attachment.endpoint.netns);
    return ends ? add_adopted_routes(*ends, attachment) : std::unexpected(ends.error());
}

Result<void> KernelLinks::remove_routes(const Attachment& attachment) {
    auto ends = open_ends(attachment.endpoint.netns);
    return ends ? remove_adopted_routes(*ends, attachment) : std::unexpected(ends.error());
}

}  // namespace podlane::cni
