// SPDX-License-Identifier: Apache-2.0
#include "agent/node/probe_schedule.h"

#include <unordered_set>

namespace podlane {

void ProbeSchedule::set_agenda(Ipv4Address address, Peer& peer, std::optional<Time> time) {
    if (peer.agenda) {
        agenda_.erase({*peer.agenda, address});
    }
    peer.agenda = time;
    if (time) {
        agenda_.emplace(*time, address);
    }
}

bool ProbeSchedule::note(Peer& peer, ProbeEvent event) {
    const auto before = peer.adjacency.standing;
    peer.adjacency = observe(peer.adjacency, event, patience_);
    return peer.adjacency.standing != before;
}

// One or two more probes will settle it.
bool ProbeSchedule::is_in_doubt(const Peer& peer) const {
    const auto& seen = peer.adjacency;
    return seen.standing == Standing::silent ? seen.answered > 0 : seen.missed > 0;
}

void ProbeSchedule::update(Ipv4Address address, Peer& peer, const ProbeTarget& target, Time now) {
    if (peer.ifindex != target.ifindex) {
        peer.adjacency = {};
        peer.waiting = false;
        peer.ifindex = target.ifindex;
        set_agenda(address, peer, std::nullopt);
    }
    if (peer.has_carrier && !target.has_carrier) {
        static_cast<void>(note(peer, ProbeEvent::link_lost));
    }
    peer.has_carrier = target.has_carrier;
    if (!peer.has_carrier) {
        peer.waiting = false;
        set_agenda(address, peer, std::nullopt);
    } else if (!peer.agenda) {
        set_agenda(address, peer, now);
    }
}

void ProbeSchedule::follow(const std::vector<ProbeTarget>& targets, Time now) {
    std::unordered_set<Ipv4Address> wanted;
    for (const auto& target : targets) {
        wanted.insert(target.address);
        update(target.address, peers_[target.address], target, now);
    }
    for (auto next = peers_.begin(); next != peers_.end();) {
        const auto peer = next++;
        if (!wanted.contains(peer->first)) {
            set_agenda(peer->first, peer->second, std::nullopt);
            peers_.erase(peer);
        }
    }
}

void ProbeSchedule::assume_answering(Ipv4Address address, std::uint32_t ifindex) {
    const auto found = peers_.find(address);
    if (found != peers_.end() && found->second.ifindex == ifindex && found->second.has_carrier &&
        found->second.adjacency.standing == Standing::undecided) {
        found->second.adjacency = {.standing = Standing::answering};
    }
}

bool ProbeSchedule::expire(Time now) {
    bool changed = false;
    // What is put on the agenda meanwhile for a moment that has passed already is due, and not waiting.
    for (auto next = agenda_.begin(); next != agenda_.end() && next->first <= now;) {
        const auto [time, address] = *next++;
        Peer& peer = peers_.at(address);
        if (!peer.waiting) {
            continue;
        }
        peer.waiting = false;
        changed = note(peer, ProbeEvent::missed) || changed;
        set_agenda(address, peer, peer.adjacency.standing == Standing::silent ? time + doubt_interval : time);
    }
    return changed;
}

std::vector<Probe> ProbeSchedule::take_due(Time now) {
    std::vector<Probe> due;
    for (auto next = agenda_.begin(); next != agenda_.end() && next->first <= now && due.size() < burst;) {
        const auto address = (next++)->second;
        Peer& peer = peers_.at(address);
        if (peer.waiting) {
            continue;
        }
        peer.waiting = true;
        peer.nonce = nonce_();
        ++peer.sequence;
        set_agenda(address, peer, now + answer_timeout);
        due.push_back({.address = address, .ifindex = peer.ifindex, .sequence = peer.sequence, .nonce = peer.nonce});
    }
    return due;
}

bool ProbeSchedule::answered(const Probe& probe, Time now) {
    const auto found = peers_.find(probe.address);
    if (found == peers_.end()) {
        return false;
    }
    Peer& peer = found->second;
    if (!peer.waiting || peer.ifindex != probe.ifindex || peer.sequence != probe.sequence ||
        peer.nonce != probe.nonce) {
        return false;
    }
    peer.waiting = false;
    const bool changed = note(peer, ProbeEvent::answered);
    set_agenda(probe.address, peer, now + (is_in_doubt(peer) ? doubt_interval : interval));
    return changed;
}

std::optional<ProbeSchedule::Time> ProbeSchedule::next() const {
    return agenda_.empty() ? std::nullopt : std::optional(agenda_.begin()->first);
}

Adjacency ProbeSchedule::adjacency(Ipv4Address address) const {
    const auto found = peers_.find(address);
    return found == peers_.end() ? Adjacency{} : found->second.adjacency;
}

}  // namespace podlane
