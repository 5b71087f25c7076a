// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/netfilter/flannel_rules.h"
#include "agent/netlink/message.h"
#include "agent/netlink/socket.h"

// The tables of nf_tables in which flannel may have rules, as the kernel has them.
namespace podlane::netfilter::flannel {

struct NftTableName {
    std::string family{};  // as FlannelTable::family
    std::string name{};

    bool operator==(const NftTableName&) const = default;
};

[[nodiscard]] std::uint8_t family_number(std::string_view family);  // NFPROTO_*
// Whether it is one that flannel makes for itself.
[[nodiscard]] bool is_own_table(const FlannelTable& table);

// A rule; flannel's have a line.
struct NftRow {
    NftTableName table{};
    std::string chain{};
    std::uint64_t handle = 0;
    FlannelRule rule{};
    std::string chain_jumped_to{};
    bool flannels = false;
    std::string uses{};  // an expression that needs something beside the rule, a set say
};

struct NftRuleset {
    std::uint32_t generation = 0;
    std::vector<FlannelTable> tables{};  // chains without rules; `own` is not set
    std::vector<NftRow> rows{};          // chain by chain in their order

    [[nodiscard]] const FlannelTable* find_table(const FlannelTable& table) const;
    [[nodiscard]] const FlannelChain* find_chain(const FlannelTable& table, const std::string& chain) const;
    [[nodiscard]] std::vector<const NftRow*> rows_of(const FlannelTable& table) const;
};

// Everything of one generation. Nothing where the kernel has no nf_tables. A ruleset that changes meanwhile is read
// again, five times at the most. `socket`: of NETLINK_NETFILTER.
[[nodiscard]] Result<NftRuleset> read_nft_ruleset(netlink::Socket& socket);

// FlannelRule::content of a rule: its expressions as they are, but for what counters have counted.
[[nodiscard]] std::string expressions_content(const netlink::Attributes& rule);

// The protocol that a rule's expressions ask for. iptables-nft's modules (tcp, say) want to be told when the rule is
// made, and the kernel does not give it back.
struct NftProtocol {
    std::uint32_t number = 0;
    bool inverted = false;
};
[[nodiscard]] std::optional<NftProtocol> protocol_of(const std::string& content);

}  // namespace podlane::netfilter::flannel
