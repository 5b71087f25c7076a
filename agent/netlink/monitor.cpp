// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/monitor.h"

#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <utility>

namespace podlane::netlink {
namespace {

// Five thousand route changes of our own fit in with room to spare.
constexpr int receive_buffer = 16 << 20;            // bytes, before the kernel doubles it
constexpr std::size_t largest_datagram = 32 << 10;  // bytes; events are one message each

constexpr std::array<int, 5> groups{RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_NEIGH,
                                    RTNLGRP_IPV4_NETCONF};

std::optional<Event> decode_settings(const nlmsghdr& message) {
    const auto* header = header_of<netconfmsg>(message);
    if (header == nullptr || header->ncm_family != AF_INET) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(netconfmsg));
    // A change is told with the setting that changed; all of them at once announce a new device.
    if (attributes.has(NETCONFA_FORWARDING) == attributes.has(NETCONFA_RP_FILTER)) {
        return std::nullopt;
    }
    return attributes.u32(NETCONFA_IFINDEX).transform([](std::uint32_t ifindex) {
        return Event(SettingsEvent{static_cast<std::int32_t>(ifindex)});
    });
}

}  // namespace

std::optional<Event> decode_event(const nlmsghdr& message) {
    const auto with = [&](Change change) -> std::optional<Event> {
        switch (message.nlmsg_type) {
            case RTM_NEWLINK:
            case RTM_DELLINK:
                return decode_link(message).transform(
                    [&](Link link) { return Event(LinkEvent{change, std::move(link)}); });
            case RTM_NEWADDR:
            case RTM_DELADDR:
                return decode_address(message).transform([&](auto row) { return Event(AddressEvent{change, row}); });
            case RTM_NEWROUTE:
            case RTM_DELROUTE:
                return decode_route(message).transform([&](auto row) { return Event(RouteEvent{change, row}); });
            case RTM_NEWNEIGH:
            case RTM_DELNEIGH:
                return decode_neighbour(message).transform(
                    [&](auto row) { return Event(NeighbourEvent{change, row}); });
            case RTM_NEWNETCONF:
                return decode_settings(message);
            default:
                return std::nullopt;
        }
    };
    // Of each family's types the first one is NEW, the second DEL (linux/rtnetlink.h).
    return with((message.nlmsg_type & 3U) == 1U ? Change::gone : Change::present);
}

Result<Monitor> Monitor::open() {
    auto socket = MulticastSocket::open({.protocol = NETLINK_ROUTE,
                                         .groups = groups,
                                         .receive_buffer = receive_buffer,
                                         .largest_datagram = largest_datagram});
    if (!socket) {
        return std::unexpected(socket.error());
    }
    return Monitor(std::move(*socket));
}

Result<void> Monitor::drain(const std::function<void(const Event&)>& report) {
    return socket_.drain(
        [&](const nlmsghdr& message) {
            if (const auto event = decode_event(message)) {
                report(*event);
            }
        },
        [&] { report(Overrun{}); });
}

}  // namespace podlane::netlink
