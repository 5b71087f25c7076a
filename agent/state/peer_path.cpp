// SPDX-License-Identifier: Apache-2.0
#include "agent/state/peer_path.h"

#include <fmt/format.h>

namespace podlane {
namespace {

bool is_on_link(const PeerIdentity& peer, const FibPath& fib) {
    return fib.ifindex != 0 && fib.next_hop == peer.address;
}

// A flannel node accepts plain packets of pods at best by chance: its reverse path filter expects them from its VXLAN
// device. It also sends VXLAN whatever we choose.
bool must_encapsulate(PathMode mode, const PeerIdentity& peer) {
    return mode == PathMode::vxlan || (mode == PathMode::automatic && peer.flannel_vxlan);
}

// What speaks against the direct path; empty when nothing does.
std::string objection(const PeerIdentity& peer, const FibPath& fib, const Adjacency& adjacency) {
    if (!is_on_link(peer, fib)) {
        return fmt::format("behind gateway {}", fib.next_hop);
    }
    if (!fib.has_carrier) {
        return fmt::format("{} has no carrier", fib.device);
    }
    if (adjacency.standing == Standing::undecided) {
        return fmt::format("on-link on {}, the first probe is not answered yet", fib.device);
    }
    if (adjacency.standing == Standing::answering) {
        return {};
    }
    return adjacency.missed == 0 ? fmt::format("on-link on {}, answers again, but not for long enough", fib.device)
                                 : fmt::format("does not answer on {} ({} probes)", fib.device, adjacency.missed);
}

// The same for host-gw, where it is a fault: by name, with what to do.
std::string complaint(const PeerIdentity& peer, const FibPath& fib, const std::string& objection) {
    constexpr auto remedy = "host-gw needs layer-2 adjacency; use overlay.mode auto or vxlan";
    if (!is_on_link(peer, fib)) {
        return fmt::format("node {} {} is behind the gateway {}: {}", peer.name, peer.address, fib.next_hop, remedy);
    }
    if (!fib.has_carrier) {
        return fmt::format("node {} {}: {}", peer.name, peer.address, objection);
    }
    return fmt::format("node {} {} {}: {}, or let ICMP echo through between the nodes", peer.name, peer.address,
                       objection, remedy);
}

PeerPath along(const FibPath& fib, node_path path, std::string reason) {
    return {.path = path,
            .ifindex = fib.ifindex,
            .device = fib.device,
            .next_hop = fib.next_hop,
            .mtu = fib.mtu,
            .reason = std::move(reason)};
}

}  // namespace

Adjacency observe(const Adjacency& before, ProbeEvent event, const Patience& patience) {
    Adjacency after = before;
    switch (event) {
        case ProbeEvent::answered:
            after.missed = 0;
            after.answered = before.standing == Standing::silent ? before.answered + 1 : 0;
            if (before.standing != Standing::silent || after.answered >= patience.answers) {
                return {.standing = Standing::answering};
            }
            return after;
        case ProbeEvent::missed:
            after.answered = 0;
            after.missed = before.missed < patience.misses ? before.missed + 1 : before.missed;
            if (after.missed >= patience.misses) {
                after.standing = Standing::silent;
            }
            return after;
        case ProbeEvent::link_lost:
            return {.standing = before.standing == Standing::undecided ? Standing::undecided : Standing::silent};
    }
    return after;
}

bool is_candidate(PathMode mode, const PeerIdentity& peer, const FibPath& fib) {
    return !must_encapsulate(mode, peer) && is_on_link(peer, fib);
}

PeerPath decide_path(PathMode mode, const PeerIdentity& peer, const FibPath& fib, const Adjacency& adjacency) {
    if (fib.ifindex == 0) {
        return along(fib, NODE_PATH_UNREACHABLE, fmt::format("node {}: {}", peer.name, fib.problem));
    }
    if (mode == PathMode::vxlan) {
        return along(fib, NODE_PATH_VXLAN,
                     is_on_link(peer, fib) ? fmt::format("mode is vxlan; on-link on {}", fib.device)
                                           : fmt::format("mode is vxlan; behind gateway {}", fib.next_hop));
    }
    if (must_encapsulate(mode, peer)) {
        return along(fib, NODE_PATH_VXLAN, "published as a node of flannel's VXLAN");
    }
    const auto against = objection(peer, fib, adjacency);
    if (against.empty()) {
        return along(fib, NODE_PATH_DIRECT, fmt::format("on-link on {}, answers", fib.device));
    }
    auto path = mode == PathMode::host_gw ? along(fib, NODE_PATH_UNREACHABLE, complaint(peer, fib, against))
                                          : along(fib, NODE_PATH_VXLAN, against);
    path.settled = !is_on_link(peer, fib) || !fib.has_carrier || adjacency.standing != Standing::undecided;
    return path;
}

}  // namespace podlane
