// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <optional>

#include <fmt/ranges.h>

#include "agent/doctor/checks.h"

namespace podlane::doctor {
namespace {

using netfilter::Condition;
using netfilter::Field;
using netfilter::Rule;
using netfilter::Sense;

constexpr std::string_view mark_for_masquerade = "KUBE-MARK-MASQ";
constexpr std::string_view service_chain = "KUBE-SVC-";

// A condition of one prefix.
std::optional<Ipv4Prefix> prefix_of(const Rule& rule, Field field, Sense sense) {
    const auto found = std::ranges::find_if(rule.conditions, [&](const Condition& condition) {
        return condition.field == field && condition.sense == sense && condition.ranges.size() == 1;
    });
    return found == rule.conditions.end() ? std::nullopt : found->ranges.front().prefix();
}

template <typename T>
void add_once(std::vector<T>& list, const T& value) {
    if (std::ranges::find(list, value) == list.end()) {
        list.push_back(value);
    }
}

void read_masquerade(const netfilter::Table& table, const netfilter::Chain& chain, const Rule& rule,
                     KubeProxyRules& rules) {
    const auto ip = prefix_of(rule, Field::destination, Sense::is);
    const auto pods = prefix_of(rule, Field::source, Sense::is_not);
    const bool any_source =
        std::ranges::find(rule.conditions, Field::source, &Condition::field) == rule.conditions.end();
    if (any_source && ip) {
        add_once(rules.masqueraded, *ip);
    }
    if (!pods) {
        return;
    }
    if (rules.cluster_cidrs.empty()) {
        rules.example = netfilter::to_string(table, chain, rule);
    }
    add_once(rules.cluster_cidrs, *pods);
    if (ip && ip->length() == 32) {
        add_once(rules.cluster_ips, ip->address());
    }
}

// kube-proxy 1.21 and before have the rule in KUBE-SERVICES, later ones in the Service's chain.
void read_chain(const netfilter::Table& table, const netfilter::Chain& chain, KubeProxyRules& rules) {
    const bool service = chain.name.starts_with(service_chain);
    if (!service && chain.name != "KUBE-SERVICES") {
        return;
    }
    rules.services = rules.services || (service && !chain.rules.empty());
    for (const auto& rule : chain.rules) {
        if (rule.target.starts_with(service_chain)) {
            if (const auto served = prefix_of(rule, Field::destination, Sense::is)) {
                add_once(rules.served, *served);
            }
        }
        if (rule.target == mark_for_masquerade) {
            read_masquerade(table, chain, rule, rules);
        }
    }
}

std::string mend_for(const Facts& facts) {
    const auto& cidr = facts.config.cluster_cidrs.front();
    return fmt::format(
        "kubectl -n kube-system get configmap kube-proxy -o yaml | sed 's#clusterCIDR:.*#clusterCIDR: {0}#' | kubectl "
        "apply -f - && kubectl -n kube-system rollout restart daemonset kube-proxy  # or its flag --cluster-cidr={0}",
        cidr);
}

}  // namespace

KubeProxyRules kube_proxy_rules(const std::vector<netfilter::Table>& tables) {
    KubeProxyRules rules;
    for (const auto& table : tables) {
        if (table.name == "nat") {
            for (const auto& chain : table.chains) {
                read_chain(table, chain, rules);
            }
        }
    }
    return rules;
}

std::optional<Ipv4Prefix> service_network(const KubeProxyRules& rules) {
    constexpr unsigned longest = 24;
    constexpr unsigned shortest = 12;  // what kube-apiserver takes for its range of Services
    if (rules.cluster_ips.empty()) {
        return std::nullopt;
    }
    std::uint32_t differing = 0;
    for (const auto ip : rules.cluster_ips) {
        differing |= ip.host() ^ rules.cluster_ips.front().host();
    }
    const auto length = std::min(longest, static_cast<unsigned>(std::countl_zero(differing)));
    return length < shortest ? std::nullopt : std::optional(Ipv4Prefix::masked(rules.cluster_ips.front(), length));
}

std::vector<Finding> check_kube_proxy(const Facts& facts) {
    const auto rules = kube_proxy_rules(facts.tables);
    const auto& pods = facts.config.cluster_cidrs;
    const bool masquerades_all = !rules.served.empty() && std::ranges::all_of(rules.served, [&](const Ipv4Prefix& one) {
        return std::ranges::find(rules.masqueraded, one) != rules.masqueraded.end();
    });
    if (!rules.services || pods.empty() || masquerades_all) {
        return {};
    }
    if (rules.cluster_cidrs.empty()) {
        return {{.id = "kube-proxy",
                 .what = "kube-proxy runs without a cluster CIDR: what macvlan pods send to Services is not "
                         "masqueraded, and the replies pass by this host",
                 .evidence = fmt::format("chains {}* of table nat have no rule \"! -s CIDR ... -j {}\"", service_chain,
                                         mark_for_masquerade),
                 .mend = mend_for(facts)}};
    }
    // A node's own podCIDR is right as well: --detect-local-mode=NodeCIDR.
    const bool fits = std::ranges::all_of(rules.cluster_cidrs, [&](const Ipv4Prefix& one) {
        return std::ranges::any_of(pods, [&](const Ipv4Prefix& cidr) { return cidr.contains(one); });
    });
    if (fits) {
        return {};
    }
    return {{.id = "kube-proxy",
             .what = fmt::format("kube-proxy takes {} for the pods' addresses, podlane {}: what it masquerades is "
                                 "wrong, and replies of Services may pass by this host",
                                 fmt::join(rules.cluster_cidrs, ", "), fmt::join(pods, ", ")),
             .evidence = rules.example,
             .mend = mend_for(facts)}};
}

}  // namespace podlane::doctor
