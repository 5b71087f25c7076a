// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/event_loop.h"
#include "agent/netlink/link.h"
#include "agent/netlink/socket.h"
#include "agent/node/adjacency.h"
#include "agent/node/underlay.h"
#include "agent/observe/health.h"
#include "agent/state/cluster.h"
#include "agent/state/peer_path.h"
#include "maps/base/result.h"

namespace podlane {

// The path to every peer: the kernel's FIB, the probes where the mode has any, and the decision.
class PeerPaths {
public:
    // `on_change`: a probe may have changed a path, so that a refresh() is due. The loop must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<PeerPaths>> create(EventLoop& loop, PathMode mode,
                                                                   std::function<void()> on_change);
    PeerPaths(const PeerPaths&) = delete;
    PeerPaths& operator=(const PeerPaths&) = delete;
    ~PeerPaths() = default;

    // Resolves and decides anew, logs paths that changed, and follows the peers of `cluster` with probes. The cluster
    // must hold this node. A peer about which the kernel could not be asked keeps the way it had: is_stale(). An error:
    // that happened before all of them were known, so nothing may be concluded from all().
    [[nodiscard]] Result<void> refresh(netlink::Socket& socket, const Cluster& cluster,
                                       const std::vector<netlink::Link>& links, std::uint32_t overlay_ifindex);
    // The last refresh() could not ask about every peer: another one is due, though nothing calls for it.
    [[nodiscard]] bool is_stale() const { return !unknown_.empty(); }
    // By node name, as of the last refresh().
    [[nodiscard]] const std::map<std::string, PeerPath>& all() const { return paths_; }
    // The kernel's direct routes have gone to another device with the host's address: they hold as at a restart.
    void take_over_again() { taken_over_ = false; }
    [[nodiscard]] bool uses_device(std::uint32_t ifindex) const;
    // Paths that changed since the start, the first settled decision about a peer not counted.
    [[nodiscard]] std::uint64_t switches() const { return switches_; }
    // As the subsystem "peers".
    void report(HealthBoard& health) const;

private:
    PeerPaths(PathMode mode, std::unique_ptr<AdjacencyProber> prober) : mode_(mode), prober_(std::move(prober)) {}
    void keep_known(PeerLookup lookup);
    void probe(netlink::Socket& socket, const Cluster& cluster);
    void take_over(netlink::Socket& socket);
    // Probes keep an entry of the kernel's ARP table in use for every peer on the link.
    [[nodiscard]] bool crowds_neighbours() const { return probed_ > neighbour_limit_ / 4 * 3; }
    void adopt(std::map<std::string, PeerPath> paths);

    PathMode mode_;
    std::unique_ptr<AdjacencyProber> prober_;  // null: the mode has no use for probes
    bool taken_over_ = false;
    std::size_t probed_ = 0;                                                 // peers
    std::size_t neighbour_limit_ = std::numeric_limits<std::size_t>::max();  // as far as known
    bool resolved_once_ = false;                                             // every peer
    std::map<std::string, FibPath> fib_;                                     // by node name
    std::map<std::string, std::string> unknown_;  // by node name: why the last refresh() knows no way
    std::map<std::string, PeerPath> paths_;
    std::uint64_t switches_ = 0;
};

}  // namespace podlane
