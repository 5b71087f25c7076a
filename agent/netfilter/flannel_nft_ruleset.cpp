// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/flannel_nft_ruleset.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <algorithm>
#include <array>

#include "agent/netfilter/flannel_rules_parts.h"
#include "agent/netfilter/nft_message.h"
#include "agent/netfilter/ruleset_readers.h"

namespace podlane::netfilter::flannel {
namespace {

using netlink::Attributes;
using netlink::Message;
using nft::request;

constexpr int attempts = 5;

std::string text_of(std::optional<std::span<const std::byte>> bytes) {
    return bytes ? std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()) : std::string();
}

bool is_relevant(const NftTableName& table) {
    return (table.family == "ip" && is_shared_table(table.name)) ||
           is_own_table({.family = table.family, .name = table.name});
}

// Nothing: another family.
std::optional<NftTableName> table_name(const nfgenmsg& header, const Attributes& attributes, std::uint16_t type) {
    if (header.nfgen_family != NFPROTO_IPV4 && header.nfgen_family != NFPROTO_IPV6) {
        return std::nullopt;
    }
    NftTableName name{header.nfgen_family == NFPROTO_IPV4 ? "ip" : "ip6", attributes.string(type).value_or("")};
    return is_relevant(name) ? std::optional(name) : std::nullopt;
}

std::optional<FlannelTable> decode_table(const nlmsghdr& message) {
    const auto* header = nft::header_if(message, NFT_MSG_NEWTABLE);
    if (header == nullptr) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(nfgenmsg));
    auto name = table_name(*header, attributes, NFTA_TABLE_NAME);
    if (!name) {
        return std::nullopt;
    }
    return FlannelTable{.filter = PacketFilter::nf_tables,
                        .family = std::move(name->family),
                        .name = std::move(name->name),
                        .user_data = text_of(attributes.bytes(NFTA_TABLE_USERDATA))};
}

struct DecodedChain {
    NftTableName table{};
    FlannelChain chain{};
};

std::optional<DecodedChain> decode_chain(const nlmsghdr& message) {
    const auto* header = nft::header_if(message, NFT_MSG_NEWCHAIN);
    if (header == nullptr) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(nfgenmsg));
    auto table = table_name(*header, attributes, NFTA_CHAIN_TABLE);
    if (!table) {
        return std::nullopt;
    }
    FlannelChain chain{.name = attributes.string(NFTA_CHAIN_NAME).value_or(""),
                       .user_data = text_of(attributes.bytes(NFTA_CHAIN_USERDATA))};
    if (attributes.has(NFTA_CHAIN_HOOK)) {
        const auto hook = attributes.nested(NFTA_CHAIN_HOOK);
        chain.hook = FlannelHook{
            .type = attributes.string(NFTA_CHAIN_TYPE).value_or(""),
            .number = hook.network_u32(NFTA_HOOK_HOOKNUM).value_or(0),
            .priority = static_cast<std::int32_t>(hook.network_u32(NFTA_HOOK_PRIORITY).value_or(0)),
            .policy = attributes.network_u32(NFTA_CHAIN_POLICY).value_or(NF_ACCEPT),
        };
    }
    return DecodedChain{std::move(*table), std::move(chain)};
}

// What an expression tells of whose the rule is, and whether it stands alone.
void read_expression(const Attributes& expression, NftRow& row, std::string& comment) {
    constexpr auto dependent = std::to_array<std::string_view>({"lookup", "dynset", "objref", "flow_offload"});
    const auto name = expression.string(NFTA_EXPR_NAME).value_or("");
    const auto data = expression.nested(NFTA_EXPR_DATA);
    if (name == "immediate") {
        const auto verdict = data.nested(NFTA_IMMEDIATE_DATA).nested(NFTA_DATA_VERDICT);
        row.chain_jumped_to = verdict.string(NFTA_VERDICT_CHAIN).value_or("");
    } else if (name == "match" && data.string(NFTA_MATCH_NAME) == "comment") {
        comment = data.string(NFTA_MATCH_INFO).value_or("");
    } else if (std::ranges::find(dependent, name) != dependent.end()) {
        row.uses = name;
    }
}

std::optional<NftRow> decode_row(const nlmsghdr& message) {
    const auto* header = nft::header_if(message, NFT_MSG_NEWRULE);
    if (header == nullptr) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(nfgenmsg));
    auto table = table_name(*header, attributes, NFTA_RULE_TABLE);
    if (!table) {
        return std::nullopt;
    }
    NftRow row;
    row.table = std::move(*table);
    row.chain = attributes.string(NFTA_RULE_CHAIN).value_or("");
    row.handle = nft::handle_of(attributes).value_or(0);
    row.rule.content = expressions_content(attributes);
    row.rule.user_data = text_of(attributes.bytes(NFTA_RULE_USERDATA));
    std::string comment = nft::comment_in_user_data(attributes).value_or("");
    for (const auto& expression : attributes.list(NFTA_RULE_EXPRESSIONS)) {
        read_expression(expression, row, comment);
    }
    const bool own = is_own_table({.family = row.table.family, .name = row.table.name});
    row.flannels = own || is_flannels({row.table.name, row.chain, row.chain_jumped_to, comment});
    if (row.flannels) {
        row.rule.line = nft_line(message, own ? Dialect::nft : Dialect::iptables_nft);
    }
    return row;
}

Result<void> read_chains(netlink::Socket& socket, NftRuleset& ruleset) {
    auto chains = socket.dump(request(NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, "list the chains of nf_tables"), &decode_chain);
    if (!chains) {
        return std::unexpected(chains.error());
    }
    for (auto& decoded : *chains) {
        const auto table = std::ranges::find_if(ruleset.tables, [&](const FlannelTable& one) {
            return one.family == decoded.table.family && one.name == decoded.table.name;
        });
        if (table != ruleset.tables.end()) {
            table->chains.push_back(std::move(decoded.chain));
        }
    }
    return {};
}

Result<void> read_rows(netlink::Socket& socket, NftRuleset& ruleset) {
    for (const auto& table : ruleset.tables) {
        Message ask = request(NFT_MSG_GETRULE, family_number(table.family),
                              fmt::format("list the rules of table {} {}", table.family, table.name));
        ask.put_string(NFTA_RULE_TABLE, table.name);
        auto rows = socket.dump(std::move(ask), &decode_row);
        if (!rows) {
            return std::unexpected(rows.error());
        }
        std::string chain;
        std::uint32_t number = 0;
        for (auto& row : *rows) {
            number = row.chain == chain ? number + 1 : 1;
            chain = row.chain;
            row.rule.number = number;
            ruleset.rows.push_back(std::move(row));
        }
    }
    return {};
}

Result<NftRuleset> read_once(netlink::Socket& socket) {
    NftRuleset ruleset;
    auto tables = socket.dump(request(NFT_MSG_GETTABLE, NFPROTO_UNSPEC, "list the tables of nf_tables"), &decode_table);
    if (!tables) {
        return std::unexpected(tables.error());
    }
    ruleset.tables = std::move(*tables);
    if (auto read = read_chains(socket, ruleset); !read) {
        return std::unexpected(read.error());
    }
    if (auto read = read_rows(socket, ruleset); !read) {
        return std::unexpected(read.error());
    }
    return ruleset;
}

}  // namespace

std::uint8_t family_number(std::string_view family) {
    return family == "ip6" ? NFPROTO_IPV6 : NFPROTO_IPV4;
}

bool is_own_table(const FlannelTable& table) {
    return (table.family == "ip" && table.name == "flannel-ipv4") ||
           (table.family == "ip6" && table.name == "flannel-ipv6");
}

const FlannelTable* NftRuleset::find_table(const FlannelTable& table) const {
    const auto found = std::ranges::find_if(
        tables, [&](const FlannelTable& one) { return one.family == table.family && one.name == table.name; });
    return found == tables.end() ? nullptr : &*found;
}

const FlannelChain* NftRuleset::find_chain(const FlannelTable& table, const std::string& chain) const {
    const auto* found = find_table(table);
    if (found == nullptr) {
        return nullptr;
    }
    const auto one = std::ranges::find(found->chains, chain, &FlannelChain::name);
    return one == found->chains.end() ? nullptr : &*one;
}

std::vector<const NftRow*> NftRuleset::rows_of(const FlannelTable& table) const {
    std::vector<const NftRow*> found;
    for (const auto& row : rows) {
        if (row.table.family == table.family && row.table.name == table.name) {
            found.push_back(&row);
        }
    }
    return found;
}

Result<NftRuleset> read_nft_ruleset(netlink::Socket& socket) {
    for (int attempt = 1;; ++attempt) {
        const auto before = nft_generation(socket);
        auto ruleset = read_once(socket);
        // EINVAL: a kernel without nf_tables.
        if (!ruleset && ruleset.error().code == EINVAL) {
            return NftRuleset();
        }
        // ENOENT: a table that went since it was listed.
        const bool again = ruleset ? before != nft_generation(socket)
                                   : ruleset.error().code == EINTR || ruleset.error().code == ENOENT;
        if (ruleset && !again) {
            ruleset->generation = before.value_or(0);
            return ruleset;
        }
        if (attempt == attempts) {
            return ruleset ? fail_errno(EAGAIN, "read nf_tables: it changed meanwhile") : std::move(ruleset);
        }
    }
}

}  // namespace podlane::netfilter::flannel
