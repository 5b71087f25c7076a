// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/nft_forward_table.h"

#include <linux/ip.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "agent/netfilter/nft_message.h"
#include "maps/base/prefix_mask.h"

namespace podlane {
namespace {

using netfilter::nft::request;
using netlink::Attributes;
using netlink::Message;
namespace nft = netfilter::nft;

constexpr std::size_t address_size = 4;
constexpr std::uint32_t matched_register = NFT_REG_1;

// Encoding.

void put_expression(Message& list, const char* name, const std::function<void(Message&)>& fill) {
    list.put_nested(NFTA_LIST_ELEM, [&](Message& expression) {
        expression.put_string(NFTA_EXPR_NAME, name);
        expression.put_nested(NFTA_EXPR_DATA, fill);
    });
}

void put_word(Message& expression, unsigned type, std::uint32_t value) {
    expression.put_nested(static_cast<std::uint16_t>(type),
                          [value](Message& data) { data.put_network_u32(NFTA_DATA_VALUE, value); });
}

// Loads the address, masks it and compares: every version of iptables-nft reads this form.
void put_address_match(Message& list, const ForwardRule& rule) {
    const std::uint32_t offset = rule.side == PodSide::source ? offsetof(iphdr, saddr) : offsetof(iphdr, daddr);
    put_expression(list, "payload", [&](Message& payload) {
        payload.put_network_u32(NFTA_PAYLOAD_DREG, matched_register);
        payload.put_network_u32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
        payload.put_network_u32(NFTA_PAYLOAD_OFFSET, offset);
        payload.put_network_u32(NFTA_PAYLOAD_LEN, address_size);
    });
    put_expression(list, "bitwise", [&](Message& bitwise) {
        bitwise.put_network_u32(NFTA_BITWISE_SREG, matched_register);
        bitwise.put_network_u32(NFTA_BITWISE_DREG, matched_register);
        bitwise.put_network_u32(NFTA_BITWISE_LEN, address_size);
        put_word(bitwise, NFTA_BITWISE_MASK, rule.pods.mask_host());
        put_word(bitwise, NFTA_BITWISE_XOR, 0);
    });
    put_expression(list, "cmp", [&](Message& compare) {
        compare.put_network_u32(NFTA_CMP_SREG, matched_register);
        compare.put_network_u32(NFTA_CMP_OP, NFT_CMP_EQ);
        put_word(compare, NFTA_CMP_DATA, rule.pods.address().host());
    });
}

void put_accept(Message& list) {
    put_expression(list, "counter", [](Message&) {});
    put_expression(list, "immediate", [](Message& immediate) {
        immediate.put_network_u32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        immediate.put_nested(NFTA_IMMEDIATE_DATA, [](Message& data) {
            data.put_nested(NFTA_DATA_VERDICT,
                            [](Message& verdict) { verdict.put_network_u32(NFTA_VERDICT_CODE, NF_ACCEPT); });
        });
    });
}

void put_chain(Message& message) {
    message.put_string(NFTA_RULE_TABLE, forward_table);
    message.put_string(NFTA_RULE_CHAIN, forward_chain);
}

Message delete_rule_message(const FoundForwardRule& rule) {
    Message message =
        request(NFT_MSG_DELRULE, NFPROTO_IPV4, fmt::format("delete rule {} of {}", rule.handle, forward_chain));
    put_chain(message);
    nft::put_handle(message, NFTA_RULE_HANDLE, rule.handle);
    return message;
}

// Decoding.

// One expression of an accept rule, as far as it tells something.
struct Decoder {
    std::optional<std::string> comment;
    std::optional<std::uint32_t> offset;
    std::uint32_t size = 0;
    std::uint32_t mask = ~std::uint32_t{0};
    std::optional<std::uint32_t> address;
    bool accepts = false;
    bool other = false;  // anything that none of ours has

    // An address may be compared by its first bytes only: they stand first in the register.
    static std::optional<std::uint32_t> word(const Attributes& expression, unsigned type) {
        const auto bytes = expression.nested(static_cast<std::uint16_t>(type)).bytes(NFTA_DATA_VALUE);
        if (!bytes || bytes->size() > address_size) {
            return std::nullopt;
        }
        std::uint32_t wire = 0;
        std::memcpy(&wire, bytes->data(), bytes->size());
        return Ipv4Address::from_wire(wire).host();
    }

    void read_payload(const Attributes& data) {
        other = other || offset || data.network_u32(NFTA_PAYLOAD_BASE) != std::uint32_t{NFT_PAYLOAD_NETWORK_HEADER};
        offset = data.network_u32(NFTA_PAYLOAD_OFFSET);
        size = data.network_u32(NFTA_PAYLOAD_LEN).value_or(0);
    }
    void read_compare(const Attributes& data) {
        other = other || address || data.network_u32(NFTA_CMP_OP) != std::uint32_t{NFT_CMP_EQ};
        address = word(data, NFTA_CMP_DATA);
    }
    void read(const Attributes& expression) {
        const auto name = expression.string(NFTA_EXPR_NAME).value_or("");
        const auto data = expression.nested(NFTA_EXPR_DATA);
        if (name == "payload") {
            read_payload(data);
        } else if (name == "bitwise") {
            mask = word(data, NFTA_BITWISE_MASK).value_or(0);
        } else if (name == "cmp") {
            read_compare(data);
        } else if (name == "immediate") {
            const auto verdict = data.nested(NFTA_IMMEDIATE_DATA).nested(NFTA_DATA_VERDICT);
            accepts = verdict.network_u32(NFTA_VERDICT_CODE) == std::uint32_t{NF_ACCEPT};
        } else if (name == "match" && data.string(NFTA_MATCH_NAME) == "comment") {
            comment = data.string(NFTA_MATCH_INFO);
        } else {
            other = other || name != "counter";
        }
    }
    [[nodiscard]] std::optional<ForwardRule> rule() const {
        if (other || !accepts || !offset || !address || size == 0 || size > address_size) {
            return std::nullopt;
        }
        const std::uint32_t loaded = ~std::uint32_t{0} << (8 * (address_size - size));
        const auto prefix = prefix_of_mask(Ipv4Address::from_host(*address), mask & loaded);
        const bool source = *offset == offsetof(iphdr, saddr);
        if (!prefix || (!source && *offset != offsetof(iphdr, daddr))) {
            return std::nullopt;
        }
        return ForwardRule{source ? PodSide::source : PodSide::destination, *prefix};
    }
};

bool is_message(const nlmsghdr& message, unsigned type) {
    const auto* header = nft::header_if(message, type);
    return header != nullptr && header->nfgen_family == NFPROTO_IPV4;
}

}  // namespace

Message add_rule_message(const ForwardRule& rule) {
    Message message = request(NFT_MSG_NEWRULE, NFPROTO_IPV4, fmt::format("{}", rule), NLM_F_CREATE | NLM_F_APPEND);
    put_chain(message);
    message.put_nested(NFTA_RULE_EXPRESSIONS, [&](Message& list) {
        put_address_match(list, rule);
        put_accept(list);
    });
    std::vector<std::byte> comment = {nft::comment_type, std::byte(forward_rule_comment.size() + 1)};
    std::ranges::transform(forward_rule_comment, std::back_inserter(comment), [](char c) { return std::byte(c); });
    comment.push_back(std::byte{0});
    message.put_bytes(NFTA_RULE_USERDATA, comment);
    return message;
}

std::optional<FoundForwardRule> decode_forward_rule(const nlmsghdr& message) {
    if (!is_message(message, NFT_MSG_NEWRULE)) {
        return std::nullopt;
    }
    const Attributes rule(message, sizeof(nfgenmsg));
    Decoder decoder;
    for (const auto& expression : rule.list(NFTA_RULE_EXPRESSIONS)) {
        decoder.read(expression);
    }
    const auto comment = decoder.comment ? decoder.comment : nft::comment_in_user_data(rule);
    const auto handle = nft::handle_of(rule);
    if (comment != forward_rule_comment || !handle) {
        return std::nullopt;
    }
    return FoundForwardRule{*handle, decoder.rule()};
}

bool concerns_forward_chain(const nlmsghdr& message) {
    const Attributes attributes(message, sizeof(nfgenmsg));
    if (is_message(message, NFT_MSG_NEWRULE) || is_message(message, NFT_MSG_DELRULE)) {
        return attributes.string(NFTA_RULE_TABLE) == forward_table &&
               attributes.string(NFTA_RULE_CHAIN) == forward_chain;
    }
    if (is_message(message, NFT_MSG_NEWCHAIN) || is_message(message, NFT_MSG_DELCHAIN)) {
        return attributes.string(NFTA_CHAIN_TABLE) == forward_table &&
               attributes.string(NFTA_CHAIN_NAME) == forward_chain;
    }
    return false;
}

Result<ForwardChain> NftForwardTable::read() {
    Message ask = request(NFT_MSG_GETCHAIN, NFPROTO_IPV4, "read chain FORWARD of nf_tables");
    ask.put_string(NFTA_CHAIN_TABLE, forward_table);
    ask.put_string(NFTA_CHAIN_NAME, forward_chain);
    ForwardChain chain;
    const auto visit = [&](std::size_t, const nlmsghdr& message) {
        const auto policy = Attributes(message, sizeof(nfgenmsg)).network_u32(NFTA_CHAIN_POLICY);
        chain.policy = policy == std::uint32_t{NF_DROP} ? ForwardPolicy::drop : ForwardPolicy::accept;
    };
    const auto answer = socket_.query(std::span(&ask, 1), visit).front();
    // ENOENT: no such table or chain. EINVAL: a kernel without nf_tables.
    if (!answer && (answer.error().code == ENOENT || answer.error().code == EINVAL)) {
        return ForwardChain{};
    }
    if (!answer) {
        return std::unexpected(answer.error());
    }
    Message dump = request(NFT_MSG_GETRULE, NFPROTO_IPV4, "list the rules of chain FORWARD of nf_tables");
    put_chain(dump);
    auto rules = socket_.dump(std::move(dump), &decode_forward_rule);
    if (!rules) {
        return std::unexpected(rules.error());
    }
    chain.ours = std::move(*rules);
    return chain;
}

Result<void> NftForwardTable::apply(const ForwardPlan& plan) {
    std::vector<Message> batch;
    batch.push_back(nft::bracket(NFNL_MSG_BATCH_BEGIN));
    for (const auto& rule : plan.remove) {
        batch.push_back(delete_rule_message(rule));
    }
    for (const auto& rule : plan.add) {
        batch.push_back(add_rule_message(rule));
    }
    batch.push_back(nft::bracket(NFNL_MSG_BATCH_END));
    return socket_.transact(batch);
}

}  // namespace podlane
