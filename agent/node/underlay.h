// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/netlink/link.h"
#include "agent/netlink/socket.h"
#include "agent/state/cluster.h"
#include "agent/state/peer_path.h"
#include "maps/base/result.h"

namespace podlane {

struct UnderlayQuery {
    std::string configured_device;  // empty: the device that holds the node's address
    Ipv4Address node_address;
    std::string overlay_device;  // holds the node's address too, and is never the underlay
};

// The device that carries the encapsulated traffic. A macvlan shim holds its master's address too, and is meant only
// while it carries the host in its master's place.
[[nodiscard]] Result<netlink::Link> find_underlay(netlink::Socket& socket, const std::vector<netlink::Link>& links,
                                                  const UnderlayQuery& query);

// The kernel's way to the peers of a cluster, by node name. A peer that cannot be reached has a path without a device
// that says why.
struct PeerLookup {
    std::map<std::string, FibPath> paths;        // of the peers that the kernel told something about
    std::map<std::string, std::string> unknown;  // the others: what went wrong; no reason to think their path changed
};
[[nodiscard]] PeerLookup resolve_peers(netlink::Socket& socket, const Cluster& cluster,
                                       const std::vector<netlink::Link>& links, std::uint32_t overlay_ifindex);

}  // namespace podlane
