// SPDX-License-Identifier: Apache-2.0
#include "agent/node/peer_paths.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "agent/link/ownership.h"
#include "agent/log.h"
#include "agent/netlink/neighbour.h"
#include "agent/netlink/route.h"
#include "maps/names.h"

namespace podlane {
namespace {

PeerIdentity identity_of(const Node& node) {
    return {.name = node.name, .address = node.vtep, .flannel_vxlan = node.flannel_mac.has_value()};
}

// Where nothing but the direct path will do, hesitating to take it only costs time.
Patience patience_of(PathMode mode) {
    return mode == PathMode::host_gw ? Patience{.answers = 1} : Patience{};
}

}  // namespace

Result<std::unique_ptr<PeerPaths>> PeerPaths::create(EventLoop& loop, PathMode mode, std::function<void()> on_change) {
    std::unique_ptr<AdjacencyProber> prober;
    if (mode != PathMode::vxlan) {
        auto created = AdjacencyProber::create(loop, patience_of(mode), std::move(on_change));
        if (!created) {
            return std::unexpected(created.error());
        }
        prober = std::move(*created);
    }
    return std::unique_ptr<PeerPaths>(new PeerPaths(mode, std::move(prober)));
}

Result<void> PeerPaths::refresh(netlink::Socket& socket, const Cluster& cluster,
                                const std::vector<netlink::Link>& links, std::uint32_t overlay_ifindex) {
    keep_known(resolve_peers(socket, cluster, links, overlay_ifindex));
    if (!resolved_once_ && is_stale()) {
        return fail("the paths to {} peers are not known: {}", unknown_.size(), unknown_.begin()->second);
    }
    resolved_once_ = true;
    if (prober_) {
        probe(socket, cluster);
    }
    std::map<std::string, PeerPath> paths;
    for (const auto& [name, path] : fib_) {
        const auto peer = identity_of(cluster.nodes.at(name));
        paths.emplace(name, decide_path(mode_, peer, path, prober_ ? prober_->adjacency(peer.address) : Adjacency{}));
    }
    adopt(std::move(paths));
    return {};
}

void PeerPaths::keep_known(PeerLookup lookup) {
    for (const auto& [name, problem] : lookup.unknown) {
        if (auto before = fib_.extract(name)) {
            lookup.paths.insert(std::move(before));
        }
    }
    fib_ = std::move(lookup.paths);
    unknown_ = std::move(lookup.unknown);
}

void PeerPaths::probe(netlink::Socket& socket, const Cluster& cluster) {
    std::vector<ProbeTarget> targets;
    for (const auto& [name, path] : fib_) {
        const auto peer = identity_of(cluster.nodes.at(name));
        if (is_candidate(mode_, peer, path)) {
            targets.push_back({.address = peer.address, .ifindex = path.ifindex, .has_carrier = path.has_carrier});
        }
    }
    prober_->follow(cluster.self()->vtep, targets);
    probed_ = targets.size();
    if (const auto limit = netlink::neighbour_limit(socket)) {
        neighbour_limit_ = *limit;
    }
    if (!taken_over_) {
        take_over(socket);
        taken_over_ = true;
    }
}

// A restart is no reason to doubt: an earlier agent's direct routes are its proof, until probes say otherwise.
void PeerPaths::take_over(netlink::Socket& socket) {
    const auto routes = netlink::list_routes(socket, {.protocol = route_protocol});
    if (!routes) {
        log::warning("the paths of an earlier agent are not known: {}", routes.error().message);
        return;
    }
    for (const auto& route : *routes) {
        if (route.gateway) {
            prober_->assume_answering(*route.gateway, route.oif);
        }
    }
}

// A decision that waited for the first probe is no switch, and with thousands of peers no news.
void PeerPaths::adopt(std::map<std::string, PeerPath> paths) {
    for (const auto& [name, path] : paths) {
        const auto before = paths_.find(name);
        if (before != paths_.end() && before->second.path == path.path) {
            continue;
        }
        if (before != paths_.end() && before->second.settled) {
            ++switches_;
            log::info("node {}: path {} instead of {}: {}", name, name_of(path.path), name_of(before->second.path),
                      path.reason);
        } else {
            log::debug("node {}: path {}: {}", name, name_of(path.path), path.reason);
        }
    }
    paths_ = std::move(paths);
}

bool PeerPaths::uses_device(std::uint32_t ifindex) const {
    return std::ranges::any_of(paths_, [&](const auto& entry) { return entry.second.ifindex == ifindex; });
}

void PeerPaths::report(HealthBoard& health) const {
    if (is_stale()) {
        health.degraded(
            "peers",
            fmt::format("the kernel could not be asked about {} peers: {}", unknown_.size(), unknown_.begin()->second),
            "their paths stay as they were; asked again within 3 s");
        return;
    }
    std::map<node_path, std::size_t> count;
    std::vector<std::string_view> problems;
    for (const auto& [name, path] : paths_) {
        ++count[path.path];
        if (path.path == NODE_PATH_UNREACHABLE && path.settled) {
            problems.emplace_back(path.reason);
        }
    }
    if (crowds_neighbours()) {
        health.degraded("peers",
                        fmt::format("{} peers are on the link, and the kernel's ARP table has room for {}: those that "
                                    "find none do not answer",
                                    probed_, neighbour_limit_),
                        fmt::format("sysctl -w net.ipv4.neigh.default.gc_thresh3={}", std::bit_ceil(probed_ * 2)));
        return;
    }
    if (problems.empty()) {
        health.ok("peers", fmt::format("{} direct, {} by VXLAN", count[NODE_PATH_DIRECT], count[NODE_PATH_VXLAN]));
        return;
    }
    const auto more = problems.size() == 1 ? std::string() : fmt::format(" (and {} more)", problems.size() - 1);
    health.degraded("peers", fmt::format("{}{}", problems.front(), more),
                    "pods there cannot be reached: see `agentctl node list`");
}

}  // namespace podlane
