// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "agent/event_loop.h"
#include "agent/node/probe_schedule.h"
#include "maps/base/address.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

// Finds out which peers are on the same link, by asking them.
//
// The proof is an ICMP echo request with an IP TTL of 1, sent out of the very device on which the FIB has the peer,
// past every gateway (MSG_DONTROUTE). Whoever answers ARP for the peer without being it, a router with proxy ARP for
// one, would have to forward the request, and may not. The answer must come from the peer, in on that device, with
// the identifier, the sequence and the nonce of the request. How the answer travelled does not matter: it is our way
// to the peer that is asked about, and the peer asks about its own.
//
// One raw socket for all peers, in the event loop's thread.
class AdjacencyProber {
public:
    // `on_change`: some peer's standing changed. The loop must outlive the prober.
    [[nodiscard]] static Result<std::unique_ptr<AdjacencyProber>> create(EventLoop& loop, const Patience& patience,
                                                                         std::function<void()> on_change);
    AdjacencyProber(const AdjacencyProber&) = delete;
    AdjacencyProber& operator=(const AdjacencyProber&) = delete;
    ~AdjacencyProber() = default;

    // The peers to probe from now on, from `source`, this node's address.
    void follow(Ipv4Address source, const std::vector<ProbeTarget>& targets);
    void assume_answering(Ipv4Address address, std::uint32_t ifindex) { schedule_.assume_answering(address, ifindex); }
    [[nodiscard]] Adjacency adjacency(Ipv4Address address) const { return schedule_.adjacency(address); }

private:
    AdjacencyProber(EventLoop& loop, const Patience& patience, std::function<void()> on_change,
                    std::uint16_t identifier, Fd socket);
    [[nodiscard]] Result<void> start();
    void work();
    [[nodiscard]] bool read_answers();
    void send(const Probe& probe) const;
    void arm();

    EventLoop& loop_;
    std::function<void()> on_change_;
    std::uint16_t identifier_;  // of every request: tells our answers from other programs'
    Fd socket_;
    ProbeSchedule schedule_;
    Ipv4Address source_;
    ProbeSchedule::Time last_burst_{};
    ProbeSchedule::Time armed_for_{};
    EventLoop::Watch readable_;
    EventLoop::Watch timer_;
};

}  // namespace podlane
