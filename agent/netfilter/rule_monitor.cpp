// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/rule_monitor.h"

#include <linux/netfilter/nfnetlink.h>

#include <array>
#include <utility>

#include "agent/netfilter/nft_forward_table.h"

namespace podlane {
namespace {

constexpr int receive_buffer = 4 << 20;             // bytes, before the kernel doubles it
constexpr std::size_t largest_datagram = 64 << 10;  // bytes
constexpr std::array<int, 1> groups{NFNLGRP_NFTABLES};

}  // namespace

Result<RuleMonitor> RuleMonitor::open() {
    auto socket = netlink::MulticastSocket::open({.protocol = NETLINK_NETFILTER,
                                                  .groups = groups,
                                                  .receive_buffer = receive_buffer,
                                                  .largest_datagram = largest_datagram});
    if (!socket) {
        return std::unexpected(socket.error());
    }
    return RuleMonitor(std::move(*socket));
}

Result<bool> RuleMonitor::drain() {
    bool concerned = false;
    const auto drained =
        socket_.drain([&](const nlmsghdr& message) { concerned = concerned || concerns_forward_chain(message); },
                      [&] { concerned = true; });
    if (!drained) {
        return std::unexpected(drained.error());
    }
    return concerned;
}

}  // namespace podlane
