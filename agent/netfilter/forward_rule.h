// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/address.h"

// The rules by which pods' packets pass a FORWARD chain whose policy is DROP, as Docker sets it. They stand at the
// chain's end and stand in for the policy: a rule that drops by itself still does. They must be in that very chain,
// since what one base chain accepts the next one may still drop.
namespace podlane {

// Every rule of podlane's carries this comment, and no other rule is ever touched.
inline constexpr std::string_view forward_rule_comment = "podlane: pod traffic";
inline constexpr const char* forward_table = "filter";
inline constexpr const char* forward_chain = "FORWARD";

enum class PodSide : std::uint8_t { source, destination };

// Accepts what comes from pods, or goes to them.
struct ForwardRule {
    PodSide side = PodSide::source;
    Ipv4Prefix pods{};

    auto operator<=>(const ForwardRule&) const = default;
    // As iptables -S prints it.
    [[nodiscard]] std::string to_string() const;
};

enum class ForwardPolicy : std::uint8_t {
    absent,  // there is no such chain: nothing is dropped
    accept,
    drop,
};

// A rule with our comment.
struct FoundForwardRule {
    std::uint64_t handle = 0;         // nf_tables: the rule's handle; iptables-legacy: its number, from 1
    std::optional<ForwardRule> rule;  // nothing: it has our comment and another form
};

// What one of the kernel's two filter tables has.
struct ForwardChain {
    ForwardPolicy policy = ForwardPolicy::absent;
    std::vector<FoundForwardRule> ours;  // in the chain's order
};

struct ForwardPlan {
    std::vector<FoundForwardRule> remove;  // in the chain's order
    std::vector<ForwardRule> add;          // at the chain's end

    [[nodiscard]] bool empty() const { return remove.empty() && add.empty(); }
};

// Pure. None unless the policy is DROP.
[[nodiscard]] std::vector<ForwardRule> wanted_forward_rules(std::span<const Ipv4Prefix> cluster_cidrs,
                                                            ForwardPolicy policy);
// Pure. A wanted rule that stands anywhere in the chain stays there; a second one of it goes.
[[nodiscard]] ForwardPlan plan_forward_rules(std::span<const ForwardRule> wanted, const ForwardChain& actual);

}  // namespace podlane
