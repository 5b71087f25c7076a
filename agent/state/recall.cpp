// SPDX-License-Identifier: Apache-2.0
#include "agent/state/recall.h"

#include <algorithm>
#include <optional>

namespace podlane {
namespace {

std::optional<Ipv4Address> internal_ip_of(const NodeObject& object) {
    for (const auto& text : object.internal_ips) {
        if (const auto address = Ipv4Address::parse(text)) {
            return *address;
        }
    }
    return std::nullopt;
}

// Those of the prefixes that the object claims.
std::vector<Ipv4Prefix> claimed_of(const NodeObject& object, const std::vector<Ipv4Prefix>& prefixes) {
    std::vector<Ipv4Prefix> claimed;
    for (const auto& text : object.pod_cidrs) {
        const auto prefix = Ipv4Prefix::parse(text);
        if (prefix && std::ranges::find(prefixes, *prefix) != prefixes.end()) {
            claimed.push_back(*prefix);
        }
    }
    return claimed;
}

}  // namespace

Cluster recall_cluster(const ClusterObjects& objects, const std::vector<PodCidrOwner>& owners) {
    std::map<Ipv4Address, std::vector<Ipv4Prefix>> pod_cidrs;
    for (const auto& owner : owners) {
        pod_cidrs[owner.vtep].push_back(owner.pod_cidr);
    }
    Cluster cluster;
    for (const auto& [name, object] : objects.nodes) {
        const auto address = internal_ip_of(object);
        const auto known = address ? pod_cidrs.find(*address) : pod_cidrs.end();
        if (known == pod_cidrs.end()) {
            continue;
        }
        // Of two nodes with one address the one that also claims what is on record is the established one.
        const auto claimed = claimed_of(object, known->second);
        if (claimed.empty()) {
            continue;
        }
        Node node;
        node.name = name;
        node.internal_ip = *address;
        node.vtep = *address;
        node.pod_cidrs = claimed;
        std::ranges::sort(node.pod_cidrs);
        cluster.nodes.emplace(name, std::move(node));
    }
    return cluster;
}

IpMasqAgentConfig recall_ip_masq_agent(std::span<const std::pair<network_key, network_entry>> networks) {
    IpMasqAgentConfig recalled;
    for (const auto& [key, network] : networks) {
        if (network.network_class == NETWORK_UNTRANSLATED) {
            recalled.non_masquerade_cidrs.push_back(
                Ipv4Prefix::masked(Ipv4Address::from_wire(key.address), key.prefix_length));
        } else if (network.network_class == NETWORK_TRANSLATED) {
            recalled.masq_link_local = true;
        }
    }
    std::ranges::sort(recalled.non_masquerade_cidrs);
    return recalled;
}

}  // namespace podlane
