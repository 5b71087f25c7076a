// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/resolve.h"

#include <map>

#include <fmt/format.h>

#include "agent/netlink/link.h"
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
        return fail("resolve {}: the kernel's answer is no route", destination);
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

// The devices' MTU, for routes that have none of their own. There are one or two underlay devices, so one request each.
class DeviceMtu {
public:
    explicit DeviceMtu(Socket& socket) : socket_(socket) {}

    Result<std::uint32_t> of(std::uint32_t ifindex) {
        if (const auto known = known_.find(ifindex); known != known_.end()) {
            return known->second;
        }
        const auto link = find_link(socket_, ifindex);
        if (!link) {
            return std::unexpected(link.error());
        }
        if (!*link) {
            return fail_errno(ENODEV, "find link #{}", ifindex);
        }
        return known_[ifindex] = (*link)->mtu;
    }

private:
    Socket& socket_;
    std::map<std::uint32_t, std::uint32_t> known_;
};

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
    DeviceMtu device_mtu(socket);
    for (std::size_t index = 0; index < routes.size(); ++index) {
        auto& route = routes[index];
        if (!done[index]) {
            route = std::unexpected(done[index].error());
        } else if (route && route->mtu == 0) {
            if (const auto mtu = device_mtu.of(route->oif); mtu) {
                route->mtu = *mtu;
            } else {
                route = fail_within(fmt::format("resolve {}", destinations[index]), mtu.error());
            }
        }
    }
    return routes;
}

Result<ResolvedRoute> resolve(Socket& socket, Ipv4Address destination, std::uint32_t overlay_ifindex) {
    return resolve(socket, std::span(&destination, 1), overlay_ifindex).front();
}

}  // namespace podlane::netlink
