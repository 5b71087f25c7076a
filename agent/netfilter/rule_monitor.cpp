// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/rule_monitor.h"

#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include "agent/netfilter/nft_forward_table.h"

namespace podlane {
namespace {

constexpr int receive_buffer = 4 << 20;             // bytes, before the kernel doubles it
constexpr std::size_t largest_datagram = 64 << 10;  // bytes
constexpr int datagrams_per_drain = 512;

}  // namespace

RuleMonitor::RuleMonitor(Handle handle) : handle_(std::move(handle)), buffer_(largest_datagram) {}

Result<RuleMonitor> RuleMonitor::open() {
    Handle handle(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!handle) {
        return fail_errno(errno, "open a netlink socket for events of nf_tables");
    }
    const int fd = mnl_socket_get_fd(handle.get());
    // Where it is refused, overruns are likelier; they cost a look at the chain.
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof(receive_buffer));
    const int group = NFNLGRP_NFTABLES;
    if (mnl_socket_bind(handle.get(), 0, MNL_SOCKET_AUTOPID) != 0 ||
        ::setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
        return fail_errno(errno, "listen to events of nf_tables");
    }
    return RuleMonitor(std::move(handle));
}

Result<bool> RuleMonitor::drain() {
    bool concerned = false;
    for (int count = 0; count < datagrams_per_drain; ++count) {
        const ssize_t size = mnl_socket_recvfrom(handle_.get(), buffer_.data(), buffer_.size());
        if (size < 0 && errno == EAGAIN) {
            return concerned;
        }
        if (size < 0 && (errno == ENOBUFS || errno == ENOSPC)) {  // ENOSPC: a datagram larger than the buffer
            concerned = true;
            continue;
        }
        if (size < 0 && errno != EINTR) {
            return fail_errno(errno, "read events of nf_tables");
        }
        const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
        int remaining = static_cast<int>(size);
        for (; mnl_nlmsg_ok(message, remaining); message = mnl_nlmsg_next(message, &remaining)) {
            concerned = concerned || concerns_forward_chain(*message);
        }
    }
    return concerned;
}

}  // namespace podlane
