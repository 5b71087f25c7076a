// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/netfilter/flannel_rules.h"
#include "agent/netfilter/ruleset.h"
#include "maps/base/result.h"

// What flannel_rules.h is made of: one part for each packet filter.
namespace podlane::netfilter::flannel {

[[nodiscard]] inline bool is_chain(std::string_view name) {
    return name.starts_with("FLANNEL-");
}
// Tables of iptables in which flannel has chains.
[[nodiscard]] inline bool is_shared_table(std::string_view name) {
    return name == "nat" || name == "filter";
}
// What tells whose a rule of such a table is.
struct Traits {
    std::string_view table{};
    std::string_view chain{};
    std::string_view chain_jumped_to{};  // empty: it does not jump
    std::string_view comment{};
};
[[nodiscard]] inline bool is_flannels(const Traits& rule) {
    return is_chain(rule.chain) || is_chain(rule.chain_jumped_to) ||
           (rule.table == "nat" && rule.chain == "POSTROUTING" && rule.comment == "flanneld masq") ||
           (rule.table == "filter" && rule.chain == "FORWARD" && rule.comment == "flanneld forward");
}

// One rule that is missing. To be made in the order of the plan.
struct Insertion {
    const FlannelRule* rule = nullptr;    // of the wanted ones
    std::size_t at = 0;                   // rules before it by then, those of earlier insertions included
    std::optional<std::size_t> before{};  // index of the actual rule that it is put before; nothing: at the end
};
// Pure. `wanted`: by ascending numbers; `actual`: all rules of the chain, in their order.
[[nodiscard]] std::vector<Insertion> plan_insertions(std::span<const FlannelRule> wanted,
                                                     std::span<const FlannelRule> actual);

// Rules that are to be taken away, each once.
class Doomed {
public:
    explicit Doomed(std::span<const FlannelRule> rules);
    // Whether it is one of them that has not been taken yet.
    [[nodiscard]] bool take(const FlannelRule& rule);

private:
    std::vector<const FlannelRule*> left_;
};

// Of what `rules` has in one packet filter; nothing is done where it has nothing there.
[[nodiscard]] Result<std::vector<FlannelTable>> read_legacy();
[[nodiscard]] Result<void> remove_legacy(std::span<const FlannelTable> tables);
[[nodiscard]] Result<void> restore_legacy(std::span<const FlannelTable> tables);
[[nodiscard]] Result<std::vector<FlannelTable>> read_nft();
[[nodiscard]] Result<void> remove_nft(std::span<const FlannelTable> tables);
[[nodiscard]] Result<void> restore_nft(std::span<const FlannelTable> tables);

// Whether every length and offset inside holds, so that libiptc can walk it.
[[nodiscard]] bool is_entry(std::string_view content);
// Whether it is a list of expressions.
[[nodiscard]] bool is_expression_list(std::string_view content);

// FlannelRule::line of an NFT_MSG_NEWRULE. `dialect`: iptables_nft or nft.
[[nodiscard]] std::string nft_line(const nlmsghdr& message, Dialect dialect);

}  // namespace podlane::netfilter::flannel
