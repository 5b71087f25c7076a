// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/state/objects.h"
#include "maps/base/address.h"

namespace podlane {

// A node that was found good: every field is valid and collides with no other node's.
struct Node {
    std::string name;
    Ipv4Address internal_ip;  // the first IPv4 InternalIP
    // Where encapsulated packets go to and come from: the InternalIP, or what a flannel node published (see below).
    Ipv4Address vtep;
    std::vector<Ipv4Address> other_ips;         // further IPv4 InternalIPs: the node's, but never a VTEP
    std::vector<Ipv4Prefix> pod_cidrs;          // IPv4, sorted; may be empty (no podCIDR yet)
    std::optional<MacAddress> flannel_mac;      // VtepMAC of flannel's annotation, backend vxlan
    std::optional<MacAddress> stated_mac = {};  // of podlane's own annotation
    bool self = false;

    bool operator==(const Node&) const = default;
};

// The cluster as podlane believes it. Nodes by name.
struct Cluster {
    std::map<std::string, Node> nodes;
    std::vector<ObjectWarning> warnings;  // by object

    // Null while this node is not among the good ones.
    [[nodiscard]] const Node* self() const;
};

struct ClusterRules {
    std::string node_name;                  // which node is this one
    std::vector<Ipv4Prefix> cluster_cidrs;  // podCIDRs must lie inside one of them
    bool flannel = false;                   // read flannel's annotations
    std::uint32_t vni = 1;                  // of the overlay: a flannel node with another one gets a warning
};

// Decides which objects hold. Pure: the same input gives the same answer. O(n log n).
//
// Rules (contract, "Cluster state"): an object that is bad is left out with a warning that names it and the field,
// the rest holds.
// - InternalIP: the first that is an IPv4 unicast address counts, IPv6 ones are passed over. A node without any is
//   left out; of two nodes with the same one the established one (`previous` has that very claim) keeps it,
//   otherwise the first by name, and the other is left out. So is a node whose new InternalIP lies in an established
//   podCIDR.
// - podCIDR: IPv4 prefixes without host bits, inside clusterCIDRs, that overlap neither another podCIDR nor a node's
//   address. One that is bad, or is claimed by an established node or else by one that comes first by name, is left
//   out; the node keeps its others. IPv6 ones are passed over. A node without a podCIDR stays in (its address
//   matters) with a warning.
// - A node with a deletionTimestamp stays until it is gone: its pods still run.
// - The MAC of podlane's own annotation counts unless it was said of another address than the InternalIP.
// - flannel, where flannel's peers would take the node (kube-subnet-manager "true") and its backend is vxlan: the MAC
//   is that of backend-data. A flannel node encapsulates with the address it published, so the VTEP is
//   public-ip-overwrite, or else public-ip; a bad one, or one that another node has, falls back to the InternalIP.
//   This node's own VTEP is always its InternalIP.
[[nodiscard]] Cluster decide_cluster(const ClusterObjects& objects, const Cluster& previous, const ClusterRules& rules);

}  // namespace podlane
