// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "agent/netlink/multicast_socket.h"
#include "maps/base/result.h"

namespace podlane {

// Tells when somebody changes chain FORWARD of nf_tables, in the network namespace it was opened in. Nothing tells of
// changes by iptables-legacy.
class RuleMonitor {
public:
    [[nodiscard]] static Result<RuleMonitor> open();

    // Readable when there are events. Owned by the monitor.
    [[nodiscard]] int fd() const { return socket_.fd(); }
    // Reads the events that are there, a few hundred datagrams at most; whether one of them was about the chain, or
    // some were lost.
    [[nodiscard]] Result<bool> drain();

private:
    explicit RuleMonitor(netlink::MulticastSocket socket) : socket_(std::move(socket)) {}

    netlink::MulticastSocket socket_;
};

}  // namespace podlane
