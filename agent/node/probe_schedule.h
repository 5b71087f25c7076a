// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/state/peer_path.h"
#include "maps/base/address.h"

namespace podlane {

// A peer to probe: on-link on that device.
struct ProbeTarget {
    Ipv4Address address{};
    std::uint32_t ifindex = 0;
    bool has_carrier = false;
};

// A probe to be sent, and what its answer must say.
struct Probe {
    Ipv4Address address{};
    std::uint32_t ifindex = 0;
    std::uint16_t sequence = 0;
    std::uint64_t nonce = 0;

    bool operator==(const Probe&) const = default;
};

// When each peer is probed next, and what the answers and their absence have shown: no I/O, and no clock but the one
// that is handed in.
//
// A peer is probed every two seconds, and once a second as long as its standing is in doubt, so that a peer which goes
// deaf is known to be after three misses, five seconds at the most, and one which comes back after four. No more than
// a burst of probes is due at one moment: thousands of peers spread themselves over the interval.
class ProbeSchedule {
public:
    using Clock = std::chrono::steady_clock;
    using Time = Clock::time_point;
    static constexpr auto interval = std::chrono::seconds(2);
    static constexpr auto doubt_interval = std::chrono::seconds(1);
    static constexpr auto answer_timeout = std::chrono::seconds(1);
    static constexpr std::size_t burst = 32;
    static constexpr auto burst_interval = std::chrono::milliseconds(10);

    // `nonce` is called once for every probe: what it returns must not be foreseeable.
    ProbeSchedule(const Patience& patience, std::function<std::uint64_t()> nonce)
        : patience_(patience), nonce_(std::move(nonce)) {}

    // The peers to probe from now on. A new one is probed at once. One that moved to another device starts anew; one
    // whose device lost its carrier is not probed until that is back.
    void follow(const std::vector<ProbeTarget>& targets, Time now);
    // An earlier agent found that the peer answers on that device. Holds until probes show otherwise.
    void assume_answering(Ipv4Address address, std::uint32_t ifindex);

    // Probes that nobody answered in time. Returns whether any peer's standing changed.
    [[nodiscard]] bool expire(Time now);
    // What is to be sent now, at most a burst.
    [[nodiscard]] std::vector<Probe> take_due(Time now);
    // An answer to `probe` came from its address and in on its device. Returns whether the peer's standing changed; an
    // answer that is not the awaited one changes nothing.
    [[nodiscard]] bool answered(const Probe& probe, Time now);

    // When there is something to do next; nothing: never.
    [[nodiscard]] std::optional<Time> next() const;
    // Undecided for an address that is not followed.
    [[nodiscard]] Adjacency adjacency(Ipv4Address address) const;

private:
    struct Peer {
        std::uint32_t ifindex = 0;
        bool has_carrier = false;
        Adjacency adjacency{};
        bool waiting = false;          // for an answer: on the list awaited_, otherwise on due_
        std::uint16_t sequence = 0;    // of the latest probe
        std::uint64_t nonce = 0;       // of the latest probe
        std::optional<Time> agenda{};  // waiting: when the probe counts as missed; otherwise when the next one is due
    };
    void update(Ipv4Address address, Peer& peer, const ProbeTarget& target, Time now);
    void probe_at(Ipv4Address address, Peer& peer, Time time);
    void await_until(Ipv4Address address, Peer& peer, Time time);
    void rest(Ipv4Address address, Peer& peer);
    [[nodiscard]] bool note(Peer& peer, ProbeEvent event);
    [[nodiscard]] bool is_in_doubt(const Peer& peer) const;

    Patience patience_;
    std::function<std::uint64_t()> nonce_;
    std::unordered_map<Ipv4Address, Peer> peers_;
    // By the peers' agendas. Apart, so that neither is searched for the other's: every answer wakes the agent up.
    std::set<std::pair<Time, Ipv4Address>> due_;
    std::set<std::pair<Time, Ipv4Address>> awaited_;
};

}  // namespace podlane
