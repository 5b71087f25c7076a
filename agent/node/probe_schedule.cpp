// SPDX-License-Identifier: Apache-2.0
#include "agent/node/probe_schedule.h"

#include <unordered_set>

namespace podlane {

void ProbeSchedule::rest(Ipv4Address address, Peer& peer) {
    if (peer.agenda) {
        (peer.waiting ? awaited_ : due_).erase({*peer.agenda, address});
    }
    peer.agenda.reset();
    peer.waiting = false;
}

void ProbeSchedule::probe_at(Ipv4Address address, Peer& peer, Time time) {
    rest(address, peer);
    peer.agenda = time;
    due_.emplace(time, address);
}

void ProbeSchedule::await_until(Ipv4Address address, Peer& peer, Time time) {
    rest(address, peer);
    peer.waiting = true;
    peer.agenda = time;
    awaited_.emplace(time, address);
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
        peer.ifindex = target.ifindex;
        rest(address, peer);
    }
    if (peer.has_carrier && !target.has_carrier) {
        static_cast<void>(note(peer, ProbeEvent::link_lost));
    }
    peer.has_carrier = target.has_carrier;
    if (!peer.has_carrier) {
        rest(address, peer);
    } else if (!peer.agenda) {
        probe_at(address, peer, now);
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
            rest(peer->first, peer->second);
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
    while (!awaited_.empty() && awaited_.begin()->first <= now) {
        const auto [time, address] = *awaited_.begin();
        Peer& peer = peers_.at(address);
        changed = note(peer, ProbeEvent::missed) || changed;
        probe_at(address, peer, peer.adjacency.standing == Standing::silent ? time + doubt_interval : time);
    }
    return changed;
}

std::vector<Probe> ProbeSchedule::take_due(Time now) {
    std::vector<Probe> due;
    while (!due_.empty() && due_.begin()->first <= now && due.size() < burst) {
        const auto address = due_.begin()->second;
        Peer& peer = peers_.at(address);
        peer.nonce = nonce_();
        ++peer.sequence;
        await_until(address, peer, now + answer_timeout);
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
    const bool changed = note(peer, ProbeEvent::answered);
    probe_at(probe.address, peer, now + (is_in_doubt(peer) ? doubt_interval : interval));
    return changed;
}

std::optional<ProbeSchedule::Time> ProbeSchedule::next() const {
    std::optional<Time> first;
    for (const auto* list : {&due_, &awaited_}) {
        if (!list->empty() && (!first || list->begin()->first < *first)) {
            first = list->begin()->first;
        }
    }
    return first;
}

Adjacency ProbeSchedule::adjacency(Ipv4Address address) const {
    const auto found = peers_.find(address);
    return found == peers_.end() ? Adjacency{} : found->second.adjacency;
}

}  // namespace podlane
