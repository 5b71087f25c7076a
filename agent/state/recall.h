// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "agent/state/cluster.h"
#include "agent/state/objects.h"
#include "maps/base/address.h"

namespace podlane {

// A podCIDR that packets are sent to, and the VTEP of the node that has it.
struct PodCidrOwner {
    Ipv4Prefix pod_cidr;
    Ipv4Address vtep;

    bool operator==(const PodCidrOwner&) const = default;
};

// The cluster as an earlier agent had decided it, as far as the maps that it left behind tell: the nodes among
// `objects` whose InternalIP has podCIDRs there, with those. An input of the first decision of a restarted agent, so
// that a restart takes no podCIDR from an established node. Pure. A flannel node with another public IP is not
// recalled.
[[nodiscard]] Cluster recall_cluster(const ClusterObjects& objects, const std::vector<PodCidrOwner>& owners);

}  // namespace podlane
