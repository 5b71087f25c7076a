// SPDX-License-Identifier: Apache-2.0
#include <linux/ip.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cstddef>

#include "agent/netfilter/flannel_nft_ruleset.h"
#include "agent/netfilter/flannel_rules_parts.h"
#include "agent/netfilter/nft_message.h"

namespace podlane::netfilter::flannel {
namespace {

using netlink::Attributes;
using netlink::Message;
using nft::request;

// A counter that has counted nothing.
std::string empty_counter() {
    Message list = request(NFT_MSG_NEWRULE, NFPROTO_IPV4, "");
    const std::size_t start = list.raw().nlmsg_len;
    list.put_nested(NFTA_LIST_ELEM, [](Message& expression) {
        expression.put_string(NFTA_EXPR_NAME, "counter");
        expression.put_nested(NFTA_EXPR_DATA, [](Message&) {});
    });
    const auto* bytes = reinterpret_cast<const char*>(&list.raw());
    return {bytes + start, list.raw().nlmsg_len - start};
}

}  // namespace

std::string expressions_content(const Attributes& rule) {
    const auto expressions = rule.list(NFTA_RULE_EXPRESSIONS);
    const auto list = rule.bytes(NFTA_RULE_EXPRESSIONS).value_or(std::span<const std::byte>());
    std::string content;
    std::size_t at = 0;
    for (const auto& expression : expressions) {
        const auto* element = reinterpret_cast<const nlattr*>(list.data() + at);
        const std::size_t size = std::min<std::size_t>(NLA_ALIGN(element->nla_len), list.size() - at);
        content += expression.string(NFTA_EXPR_NAME) == "counter"
                       ? empty_counter()
                       : std::string(reinterpret_cast<const char*>(element), size);
        at += size;
    }
    return content;
}

std::optional<NftProtocol> protocol_of(const std::string& content) {
    Message message = request(NFT_MSG_NEWRULE, NFPROTO_IPV4, "");
    message.put_bytes(NFTA_RULE_EXPRESSIONS, std::as_bytes(std::span(content)));
    bool loaded = false;
    for (const auto& expression : Attributes(message.raw(), sizeof(nfgenmsg)).list(NFTA_RULE_EXPRESSIONS)) {
        const auto name = expression.string(NFTA_EXPR_NAME);
        const auto data = expression.nested(NFTA_EXPR_DATA);
        if (loaded && name == "cmp") {
            const auto value = data.nested(NFTA_CMP_DATA).bytes(NFTA_DATA_VALUE);
            return NftProtocol{value && !value->empty() ? std::to_integer<std::uint32_t>(value->front()) : 0,
                               data.network_u32(NFTA_CMP_OP) == std::uint32_t{NFT_CMP_NEQ}};
        }
        const bool meta = name == "meta" && data.network_u32(NFTA_META_KEY) == std::uint32_t{NFT_META_L4PROTO};
        const bool payload = name == "payload" &&
                             data.network_u32(NFTA_PAYLOAD_BASE) == std::uint32_t{NFT_PAYLOAD_NETWORK_HEADER} &&
                             data.network_u32(NFTA_PAYLOAD_OFFSET) == std::uint32_t{offsetof(iphdr, protocol)};
        loaded = meta || payload;
    }
    return std::nullopt;
}

bool is_expression_list(std::string_view content) {
    const auto* data = content.data();
    std::size_t at = 0;
    while (at + sizeof(nlattr) <= content.size()) {
        const auto* element = reinterpret_cast<const nlattr*>(data + at);
        if (element->nla_len < sizeof(nlattr) || element->nla_len > content.size() - at ||
            mnl_attr_get_type(element) != NFTA_LIST_ELEM) {
            return false;
        }
        at += NLA_ALIGN(element->nla_len);
    }
    constexpr std::size_t largest = 65535 - sizeof(nlattr);
    return at == content.size() && content.size() <= largest;
}

}  // namespace podlane::netfilter::flannel
