// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/resolve.h"

#include <cerrno>

#include <fmt/format.h>

#include "agent/netlink/route.h"

namespace podlane::netlink {
namespace {

Message lookup(Ipv4Address destination) {
    rtmsg header{};
    header.rtm_family = AF_INET;
    header.rtm_dst_len = 32;
    Message message(RTM_GETROUTE, 0, header, fmt::format("resolve {}", destination));
    message.put_address(RTA_DST, destination);
    return message;
}

Result<ResolvedRoute> judge(const nlmsghdr& answer, Ipv4Address destination, std::uint32_t overlay_ifindex) {
    const auto* header = header_of<rtmsg>(answer);
    if (answer.nlmsg_type != RTM_NEWROUTE || header == nullptr) {
        return fail_errno(EBADMSG, "resolve {}", destination);
    }
    if (header->rtm_type == RTN_LOCAL) {
        return fail("resolve {}: it is an address of this node", destination);
    }
    if (header->rtm_type != RTN_UNICAST) {
        return fail("resolve {}: it is a broadcast or multicast address here", destination);
    }
    const Attributes attributes(answer, sizeof(rtmsg));
    if (attributes.has(RTA_VIA)) {
        return fail("resolve {}: the route's gateway is not an IPv4 address", destination);
    }
    ResolvedRoute route{.oif = attributes.u32(RTA_OIF).value_or(0),
                        .gateway = attributes.address(RTA_GATEWAY),
                        .source = attributes.address(RTA_PREFSRC),
                        .mtu = attributes.nested(RTA_METRICS).u32(RTAX_MTU).value_or(0)};
    if (overlay_ifindex != 0 && route.oif == overlay_ifindex) {
        return fail("resolve {}: the route leads back into the overlay device", destination);
    }
    return route;
}

}  // namespace

std::vector<Result<ResolvedRoute>> resolve(Socket& socket, std::span<const Ipv4Address> destinations,
                                           std::uint32_t overlay_ifindex) {
    std::vector<Message> requests;
    requests.reserve(destinations.size());
    for (const auto destination : destinations) {
        requests.push_back(lookup(destination));
    }
    std::vector<Result<ResolvedRoute>> routes(destinations.size());
    const auto done = socket.query(requests, [&](std::size_t index, const nlmsghdr& answer) {
        routes[index] = judge(answer, destinations[index], overlay_ifindex);
    });
    for (std::size_t index = 0; index < routes.size(); ++index) {
        if (!done[index]) {
            routes[index] = std::unexpected(done[index].error());
        }
    }
    return routes;
}

Result<ResolvedRoute> resolve(Socket& socket, Ipv4Address destination, std::uint32_t overlay_ifindex) {
    return resolve(socket, std::span(&destination, 1), overlay_ifindex).front();
}

// 0: judged by the route's type. The others are what the kernel answers for want of a route and for routes of the types
// unreachable, prohibit and blackhole (fib_props in net/ipv4/fib_semantics.c).
bool is_verdict(const Error& error) {
    return error.code == 0 || error.code == ENETUNREACH || error.code == EHOSTUNREACH || error.code == EACCES ||
           error.code == EINVAL;
}

}  // namespace podlane::netlink
