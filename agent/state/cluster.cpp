// SPDX-License-Identifier: Apache-2.0
#include "agent/state/cluster.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/state/claims.h"
#include "agent/state/flannel_annotations.h"
#include "agent/state/podlane_annotations.h"
#include "agent/text/printable.h"
#include "maps/base/ipv6_text.h"

namespace podlane {
namespace {

bool holds(const auto& list, const auto& value) {
    return std::ranges::find(list, value) != list.end();
}

// Whether a node had a claim in the previous decision.
enum class Standing { established, fresh };

Standing standing_if(bool was_there) {
    return was_there ? Standing::established : Standing::fresh;
}

// A node while it is being decided.
struct Draft {
    const NodeObject* object = nullptr;
    const Node* before = nullptr;  // the same node in the previous decision
    Node node;
    bool left_out = false;
    std::vector<ObjectWarning> warnings;
};

// A node is established by its InternalIP.
Standing standing_of_node(const Draft& draft) {
    return standing_if(draft.before != nullptr && draft.before->internal_ip == draft.node.internal_ip);
}

class Decision {
public:
    Decision(const ClusterObjects& objects, const Cluster& previous, const ClusterRules& rules) : rules_(rules) {
        drafts_.reserve(objects.nodes.size());
        for (const auto& [name, object] : objects.nodes) {
            const auto before = previous.nodes.find(name);
            Draft& draft = drafts_.emplace_back();
            draft.object = &object;
            draft.before = before == previous.nodes.end() ? nullptr : &before->second;
            draft.node.name = name;
            draft.node.self = name == rules.node_name;
        }
    }

    Cluster run() {
        for (Draft& draft : drafts_) {
            read_addresses(draft);
            read_pod_cidrs(draft);
            read_stated_mac(draft);
            read_flannel(draft);
        }
        find_standing_pod_cidrs();
        // What was decided before goes before what is new; within each, by name.
        for (const Standing standing : {Standing::established, Standing::fresh}) {
            for_good_drafts([&](Draft& draft) { claim_internal_ip(draft, standing); });
            for_good_drafts([&](Draft& draft) { claim_other_addresses(draft, standing); });
        }
        for (const Standing standing : {Standing::established, Standing::fresh}) {
            for_good_drafts([&](Draft& draft) { claim_pod_cidrs(draft, standing); });
        }
        warn_of_shared_macs();
        return result();
    }

private:
    static void warn(Draft& draft, std::string_view field, std::string message) {
        draft.warnings.push_back(
            {fmt::format("node {}", draft.node.name), std::string(field), std::move(message), draft.object->origin});
    }

    void for_good_drafts(const auto& action) {
        for (Draft& draft : drafts_) {
            if (!draft.left_out) {
                action(draft);
            }
        }
    }

    void read_addresses(Draft& draft);
    void read_pod_cidrs(Draft& draft);
    std::optional<Ipv4Prefix> read_pod_cidr(Draft& draft, std::string_view text);
    static void read_stated_mac(Draft& draft);
    void read_flannel(Draft& draft);

    void find_standing_pod_cidrs();
    void claim_internal_ip(Draft& draft, Standing standing);
    void claim_other_addresses(Draft& draft, Standing standing);
    void claim_pod_cidrs(Draft& draft, Standing standing);
    // Why a node cannot have the address; empty: it is free.
    std::string address_conflict(Ipv4Address address, Standing standing) const;
    void warn_of_shared_macs();
    Cluster result();

    const ClusterRules& rules_;
    std::vector<Draft> drafts_;
    Claims addresses_;
    Claims standing_pod_cidrs_;  // established and still wanted by their nodes
    Claims pod_cidrs_;
};

constexpr std::string_view address_field = "status.addresses[InternalIP]";
constexpr std::string_view pod_cidr_field = "spec.podCIDRs";

void Decision::read_addresses(Draft& draft) {
    std::vector<Ipv4Address> addresses;
    for (const auto& text : draft.object->internal_ips) {
        const auto address = Ipv4Address::parse(text);
        if (address && address->is_unicast()) {
            if (!holds(addresses, *address)) {
                addresses.push_back(*address);
            }
        } else if (!is_ipv6_address(text)) {
            warn(draft, address_field, fmt::format("\"{}\" is not an IPv4 unicast address", printable(text)));
        }
    }
    if (addresses.empty()) {
        warn(draft, address_field, "the node has no IPv4 InternalIP: it is left out");
        draft.left_out = true;
        return;
    }
    draft.node.internal_ip = addresses.front();
    draft.node.vtep = addresses.front();
    draft.node.other_ips.assign(addresses.begin() + 1, addresses.end());
}

void Decision::read_pod_cidrs(Draft& draft) {
    if (draft.left_out) {
        return;
    }
    bool named = false;
    for (const auto& text : draft.object->pod_cidrs) {
        if (is_ipv6_prefix(text)) {
            continue;
        }
        named = true;
        const auto prefix = read_pod_cidr(draft, text);
        if (prefix && !holds(draft.node.pod_cidrs, *prefix)) {
            draft.node.pod_cidrs.push_back(*prefix);
        }
    }
    if (!named) {
        warn(draft, pod_cidr_field, "the node has no IPv4 podCIDR yet: its pods cannot be reached");
    }
    std::ranges::sort(draft.node.pod_cidrs);
}

std::optional<Ipv4Prefix> Decision::read_pod_cidr(Draft& draft, std::string_view text) {
    const auto prefix = Ipv4Prefix::parse(text);
    if (!prefix) {
        warn(draft, pod_cidr_field, printable(prefix.error().message));
        return std::nullopt;
    }
    const bool inside =
        std::ranges::any_of(rules_.cluster_cidrs, [&](const Ipv4Prefix& cluster) { return cluster.contains(*prefix); });
    if (!inside) {
        warn(draft, pod_cidr_field,
             fmt::format("{} lies outside clusterCIDRs ({})", *prefix, fmt::join(rules_.cluster_cidrs, ", ")));
        return std::nullopt;
    }
    return *prefix;
}

void Decision::read_stated_mac(Draft& draft) {
    if (draft.left_out) {
        return;
    }
    auto stated = read_stated_vtep(draft.object->annotations, draft.node.internal_ip);
    if (!stated.problem.empty()) {
        warn(draft, fmt::format("metadata.annotations[{}]", vtep_mac_annotation), std::move(stated.problem));
    }
    draft.node.stated_mac = stated.mac;
}

void Decision::read_flannel(Draft& draft) {
    if (!rules_.flannel || draft.left_out) {
        return;
    }
    auto flannel = read_flannel_annotations(draft.object->annotations, rules_.vni);
    for (auto& problem : flannel.problems) {
        warn(draft, fmt::format("metadata.annotations[{}]", problem.annotation), std::move(problem.message));
    }
    draft.node.flannel_mac = flannel.vtep_mac;
    if (!draft.node.self) {
        draft.node.vtep = flannel.public_ip.value_or(draft.node.internal_ip);
    }
}

void Decision::find_standing_pod_cidrs() {
    for (const Draft& draft : drafts_) {
        for (const auto& prefix : draft.node.pod_cidrs) {
            const bool stands = draft.before != nullptr && holds(draft.before->pod_cidrs, prefix);
            if (stands && standing_pod_cidrs_.find(prefix) == nullptr) {
                standing_pod_cidrs_.add(prefix, draft.node.name);
            }
        }
    }
}

std::string Decision::address_conflict(Ipv4Address address, Standing standing) const {
    if (const auto* taken = addresses_.find(address)) {
        return fmt::format("{} is node {}'s", address, taken->owner);
    }
    const auto* pods = standing == Standing::established ? nullptr : standing_pod_cidrs_.find(address);
    return pods == nullptr ? std::string()
                           : fmt::format("{} lies in podCIDR {} of node {}", address, pods->prefix, pods->owner);
}

void Decision::claim_internal_ip(Draft& draft, Standing standing) {
    const Ipv4Address address = draft.node.internal_ip;
    if (standing_of_node(draft) != standing) {
        return;
    }
    if (auto conflict = address_conflict(address, standing); !conflict.empty()) {
        warn(draft, address_field, fmt::format("{}: the node is left out", conflict));
        draft.left_out = true;
        return;
    }
    addresses_.add(address, draft.node.name);
}

void Decision::claim_other_addresses(Draft& draft, Standing standing) {
    Node& node = draft.node;
    // Those of a node that may yet be left out wait with it.
    const bool known = standing_of_node(draft) == Standing::established;
    const auto standing_of = [&](Ipv4Address address) {
        return standing_if(known && (draft.before->vtep == address || holds(draft.before->other_ips, address)));
    };
    if (node.vtep != node.internal_ip && standing_of(node.vtep) == standing) {
        if (auto conflict = address_conflict(node.vtep, standing); !conflict.empty()) {
            warn(draft, "metadata.annotations[flannel.alpha.coreos.com/public-ip]",
                 fmt::format("{}: the InternalIP is used", conflict));
            node.vtep = node.internal_ip;
        } else {
            addresses_.add(node.vtep, node.name);
        }
    }
    std::erase_if(node.other_ips, [&](Ipv4Address address) {
        if (address == node.vtep || standing_of(address) != standing) {
            return false;
        }
        const auto conflict = address_conflict(address, standing);
        if (!conflict.empty()) {
            warn(draft, address_field, fmt::format("{}: the address is left out", conflict));
            return true;
        }
        addresses_.add(address, node.name);
        return false;
    });
}

void Decision::claim_pod_cidrs(Draft& draft, Standing standing) {
    std::erase_if(draft.node.pod_cidrs, [&](const Ipv4Prefix& prefix) {
        if (standing_if(draft.before != nullptr && holds(draft.before->pod_cidrs, prefix)) != standing) {
            return false;
        }
        if (const auto* taken = pod_cidrs_.find(prefix)) {
            warn(draft, pod_cidr_field, fmt::format("{} overlaps {} of node {}", prefix, taken->prefix, taken->owner));
            return true;
        }
        if (const auto* taken = addresses_.find(prefix)) {
            warn(draft, pod_cidr_field,
                 fmt::format("{} holds {}, the address of node {}", prefix, taken->prefix.address(), taken->owner));
            return true;
        }
        pod_cidrs_.add(prefix, draft.node.name);
        return false;
    });
}

void Decision::warn_of_shared_macs() {
    std::map<MacAddress, std::string_view> owners;
    for (Draft& draft : drafts_) {
        if (draft.left_out || !draft.node.flannel_mac) {
            continue;
        }
        const auto [owner, added] = owners.emplace(*draft.node.flannel_mac, draft.node.name);
        if (!added) {
            warn(draft, "metadata.annotations[flannel.alpha.coreos.com/backend-data]",
                 fmt::format("VtepMAC {} is node {}'s as well", owner->first, owner->second));
        }
    }
}

Cluster Decision::result() {
    Cluster cluster;
    for (Draft& draft : drafts_) {
        std::ranges::move(draft.warnings, std::back_inserter(cluster.warnings));
        if (!draft.left_out) {
            auto name = draft.node.name;
            cluster.nodes.emplace_hint(cluster.nodes.end(), std::move(name), std::move(draft.node));
        }
    }
    return cluster;
}

}  // namespace

const Node* Cluster::self() const {
    const auto found = std::ranges::find_if(nodes, [](const auto& entry) { return entry.second.self; });
    return found == nodes.end() ? nullptr : &found->second;
}

Cluster decide_cluster(const ClusterObjects& objects, const Cluster& previous, const ClusterRules& rules) {
    return Decision(objects, previous, rules).run();
}

}  // namespace podlane
