// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "agent/config/ip_masq_agent.h"
#include "agent/state/cluster.h"
#include "agent/state/objects.h"
#include "maps/base/address.h"
#include "maps/spec.h"

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

// What ip-masq-agent's file said when an earlier agent could read it, as far as networks_by_prefix tells: the networks
// of the configuration that the agent had are among them, since the map does not tell them apart. Pure.
[[nodiscard]] IpMasqAgentConfig recall_ip_masq_agent(std::span<const std::pair<network_key, network_entry>> networks);

}  // namespace podlane
