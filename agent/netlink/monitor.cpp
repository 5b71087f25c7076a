// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/monitor.h"

#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>

namespace podlane::netlink {
namespace {

// Five thousand route changes of our own fit in with room to spare.
constexpr int receive_buffer = 16 << 20;            // bytes, before the kernel doubles it
constexpr std::size_t largest_datagram = 32 << 10;  // bytes; events are one message each
constexpr int datagrams_per_drain = 512;

constexpr std::array groups{RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_NEIGH, RTNLGRP_IPV4_NETCONF};

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

Result<void> subscribe(mnl_socket* handle) {
    const int fd = mnl_socket_get_fd(handle);
    // Beyond net.core.rmem_max only with CAP_NET_ADMIN in the first user namespace; without, overruns are likelier.
    if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof(receive_buffer)) != 0) {
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    if (mnl_socket_bind(handle, 0, MNL_SOCKET_AUTOPID) != 0) {
        return fail_errno(errno, "bind a netlink socket for events");
    }
    for (const int group : groups) {
        if (::setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
            return fail_errno(errno, "join netlink group {}", group);
        }
    }
    return {};
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

Monitor::Monitor(Handle handle) : handle_(std::move(handle)), buffer_(largest_datagram) {}

Result<Monitor> Monitor::open() {
    Handle handle(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!handle) {
        return fail_errno(errno, "open a netlink socket for events");
    }
    if (const auto done = subscribe(handle.get()); !done) {
        return std::unexpected(done.error());
    }
    return Monitor(std::move(handle));
}

Result<void> Monitor::drain(const std::function<void(const Event&)>& report) {
    for (int count = 0; count < datagrams_per_drain; ++count) {
        const ssize_t size = mnl_socket_recvfrom(handle_.get(), buffer_.data(), buffer_.size());
        if (size < 0 && errno == EAGAIN) {
            return {};
        }
        if (size < 0 && (errno == ENOBUFS || errno == ENOSPC)) {  // ENOSPC: a datagram larger than the buffer
            report(Overrun{});
            continue;
        }
        if (size < 0 && errno != EINTR) {
            return fail_errno(errno, "read netlink events");
        }
        const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
        int remaining = static_cast<int>(size);
        for (; mnl_nlmsg_ok(message, remaining); message = mnl_nlmsg_next(message, &remaining)) {
            if (const auto event = decode_event(*message)) {
                report(*event);
            }
        }
    }
    return {};
}

}  // namespace podlane::netlink
