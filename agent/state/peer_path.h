// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "maps/base/address.h"
#include "maps/spec.h"

// Which way packets take to a peer: decided by the kernel's FIB and by what probes found. Pure.
namespace podlane {

// overlay.mode
enum class PathMode {
    automatic,  // direct to a peer that is adjacent, VXLAN to the rest
    vxlan,      // VXLAN to every peer, and no probes
    host_gw,    // direct to every peer; one that is not adjacent cannot be reached
};

// The way to a peer as the kernel's FIB has it now.
struct FibPath {
    std::uint32_t ifindex = 0;  // underlay device; 0: there is no way
    std::string device{};       // its name
    Ipv4Address next_hop{};     // the peer itself when it is on the link, or the gateway towards it
    std::uint32_t mtu = 0;      // of the underlay on that way, bytes
    bool has_carrier = false;   // of the device
    std::string problem{};      // why there is no way

    bool operator==(const FibPath&) const = default;
};

// Whether a peer answers probes that no router can answer for it.
enum class Standing {
    undecided,  // neither answered nor missed enough of them yet
    answering,
    silent,
};

// What the probes of one peer have shown so far.
struct Adjacency {
    Standing standing = Standing::undecided;
    unsigned answered = 0;  // in a row, while silent
    unsigned missed = 0;    // in a row

    bool operator==(const Adjacency&) const = default;
};

enum class ProbeEvent {
    answered,
    missed,
    link_lost,  // the device has no carrier: no probe is needed to know
};

// How much it takes to change one's mind.
struct Patience {
    unsigned misses = 3;   // in a row, until a peer that answered is silent
    unsigned answers = 3;  // in a row, until a silent peer is trusted again; the first answer ever counts at once
};

// The state table:
//
//              answered                 missed                    link_lost
//   undecided  answering                undecided; third: silent  undecided
//   answering  answering                answering; third: silent  silent
//   silent     silent; third: answering silent                    silent
[[nodiscard]] Adjacency observe(const Adjacency& before, ProbeEvent event, const Patience& patience);

// What must be known of the peer itself.
struct PeerIdentity {
    std::string name{};
    Ipv4Address address{};       // of its VTEP
    bool flannel_vxlan = false;  // published as a node of flannel's VXLAN
};

// The way that is taken.
struct PeerPath {
    node_path path = NODE_PATH_UNREACHABLE;
    std::uint32_t ifindex = 0;  // underlay device; 0: the kernel has no way
    std::string device{};
    Ipv4Address next_hop{};
    std::uint32_t mtu = 0;  // of the underlay, bytes
    std::string reason{};   // why this path, for people
    bool settled = true;    // false: another path is likely within a second or two, the first probe is under way

    bool operator==(const PeerPath&) const = default;
};

// Whether probes of the peer have any bearing on its path.
[[nodiscard]] bool is_candidate(PathMode mode, const PeerIdentity& peer, const FibPath& fib);

[[nodiscard]] PeerPath decide_path(PathMode mode, const PeerIdentity& peer, const FibPath& fib,
                                   const Adjacency& adjacency);

}  // namespace podlane
