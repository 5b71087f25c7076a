// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/forward_rule.h"

#include <algorithm>

namespace podlane {

std::string ForwardRule::to_string() const {
    return fmt::format("-A {} -{} {} -m comment --comment \"{}\" -j ACCEPT", forward_chain,
                       side == PodSide::source ? 's' : 'd', pods, forward_rule_comment);
}

std::vector<ForwardRule> wanted_forward_rules(std::span<const Ipv4Prefix> cluster_cidrs, ForwardPolicy policy) {
    std::vector<ForwardRule> rules;
    if (policy != ForwardPolicy::drop) {
        return rules;
    }
    for (const auto& pods : cluster_cidrs) {
        rules.push_back({PodSide::source, pods});
        rules.push_back({PodSide::destination, pods});
    }
    return rules;
}

ForwardPlan plan_forward_rules(std::span<const ForwardRule> wanted, const ForwardChain& actual) {
    ForwardPlan plan{.remove = {}, .add = {wanted.begin(), wanted.end()}};
    for (const auto& found : actual.ours) {
        const auto missing =
            std::ranges::find(plan.add, found.rule, [](const ForwardRule& rule) { return std::optional(rule); });
        if (missing == plan.add.end()) {
            plan.remove.push_back(found);
        } else {
            plan.add.erase(missing);
        }
    }
    return plan;
}

}  // namespace podlane
