// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/flannel_entry.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_mark.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "agent/netfilter/flannel_rules_parts.h"
#include "agent/netfilter/nft_message.h"
#include "agent/netfilter/ruleset_readers.h"

// The readers of ruleset_readers.h leave out what decides nothing for a pod's packet; here the rest of what flannel's
// rules are made of is written out.
namespace podlane::netfilter::flannel {
namespace {

using Bytes = std::span<const std::byte>;
using netlink::Attributes;

constexpr const char* mark_module = "-m mark";

template <typename Info>
std::optional<Info> read_info(Bytes bytes) {
    Info info{};
    if (bytes.size() < sizeof(info)) {
        return std::nullopt;
    }
    std::memcpy(&info, bytes.data(), sizeof(info));
    return info;
}

// The first condition that is only known as `placeholder` gets its text.
void fill_in(Rule& rule, std::string_view placeholder, std::string text) {
    const auto found = std::ranges::find(rule.conditions, placeholder, &Condition::text);
    if (found != rule.conditions.end()) {
        found->text = std::move(text);
    }
}

void add_comment(Rule& rule, std::string_view comment) {
    rule.conditions.push_back({.field = Field::other, .text = fmt::format("-m comment --comment \"{}\"", comment)});
}

std::string mark_text(std::uint32_t mark, std::uint32_t mask, bool inverted) {
    const auto bits = mask == ~std::uint32_t{0} ? std::string() : fmt::format("/{:#x}", mask);
    return fmt::format("{} {}--mark {:#x}{}", mark_module, inverted ? "! " : "", mark, bits);
}

// Of a match of xtables; `info` as the module has it.
void tell_match(Rule& rule, std::string_view name, Bytes info) {
    if (name == "comment") {
        const auto* text = reinterpret_cast<const char*>(info.data());
        add_comment(rule, {text, strnlen(text, info.size())});
    } else if (const auto mark = read_info<xt_mark_mtinfo1>(info); name == "mark" && mark) {
        fill_in(rule, mark_module, mark_text(mark->mark, mark->mask, mark->invert != 0));
    }
}

// `flags`: NF_NAT_RANGE_*.
std::string masquerade_text(unsigned flags, Dialect dialect) {
    const bool nft = dialect == Dialect::nft;
    std::string text = nft ? "masquerade" : "MASQUERADE";
    if ((flags & NF_NAT_RANGE_PROTO_RANDOM) != 0) {
        text += nft ? " random" : " --random";
    }
    if ((flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0) {
        text += nft ? " fully-random" : " --random-fully";
    }
    return text;
}

void tell_target(Rule& rule, std::string_view name, Bytes info) {
    if (const auto range = read_info<nf_nat_ipv4_multi_range_compat>(info); name == "MASQUERADE" && range) {
        rule.target = masquerade_text(range->range[0].flags, Dialect::iptables_nft);
    }
}

std::string rule_text(Dialect dialect, const std::string& chain, const Rule& rule) {
    return to_string(Table{.dialect = dialect}, Chain{.name = chain}, rule);
}

// What a rule's expressions say of marks and of IPv6 addresses.
class Details {
public:
    Details(Rule& rule, Dialect dialect) : rule_(rule), dialect_(dialect) {}

    void read(const Attributes& expression) {
        const auto name = expression.string(NFTA_EXPR_NAME).value_or("");
        const auto data = expression.nested(NFTA_EXPR_DATA);
        if (name == "meta") {
            loaded_ = data.network_u32(NFTA_META_KEY) == std::uint32_t{NFT_META_MARK} ? Loaded::mark : Loaded::other;
            mask_ = {};
        } else if (name == "payload") {
            load_payload(data);
        } else if (name == "bitwise") {
            mask_ = value_of(data, NFTA_BITWISE_MASK);
        } else if (name == "cmp") {
            compare(data);
        } else if (name == "match") {
            tell_match(rule_, data.string(NFTA_MATCH_NAME).value_or(""), data.bytes(NFTA_MATCH_INFO).value_or(Bytes()));
        } else if (name == "target") {
            tell_target(rule_, data.string(NFTA_TARGET_NAME).value_or(""),
                        data.bytes(NFTA_TARGET_INFO).value_or(Bytes()));
        } else if (name == "masq") {
            rule_.target = masquerade_text(data.network_u32(NFTA_MASQ_FLAGS).value_or(0), dialect_);
        }
    }

private:
    enum class Loaded : std::uint8_t { other, mark, source, destination };
    static constexpr std::size_t address_size = 16;
    static constexpr std::uint32_t source_at = 8;  // in IPv6's header
    static constexpr std::uint32_t destination_at = 24;

    static Bytes value_of(const Attributes& data, unsigned type) {
        return data.nested(static_cast<std::uint16_t>(type)).bytes(NFTA_DATA_VALUE).value_or(Bytes());
    }
    void load_payload(const Attributes& data) {
        const auto offset = data.network_u32(NFTA_PAYLOAD_OFFSET);
        const bool network = data.network_u32(NFTA_PAYLOAD_BASE) == std::uint32_t{NFT_PAYLOAD_NETWORK_HEADER};
        loaded_ = network && offset == source_at        ? Loaded::source
                  : network && offset == destination_at ? Loaded::destination
                                                        : Loaded::other;
        mask_ = {};
    }
    void compare(const Attributes& data) {
        const bool inverted = data.network_u32(NFTA_CMP_OP) == std::uint32_t{NFT_CMP_NEQ};
        const auto value = value_of(data, NFTA_CMP_DATA);
        if (loaded_ == Loaded::mark) {
            compare_mark(value, inverted);
        } else if (loaded_ != Loaded::other) {
            compare_address(value, inverted);
        }
    }
    // A mark is in the machine's byte order.
    void compare_mark(Bytes value, bool inverted) {
        const auto mark = read_info<std::uint32_t>(value).value_or(0);
        const auto mask = read_info<std::uint32_t>(mask_).value_or(~std::uint32_t{0});
        const auto masked = mask_.empty() ? "" : fmt::format(" & {:#010x}", mask);
        const auto relation = inverted ? " !=" : mask_.empty() ? "" : " ==";
        fill_in(rule_, "meta mark",
                dialect_ == Dialect::nft ? fmt::format("meta mark{}{} {:#010x}", masked, relation, mark)
                                         : mark_text(mark, mask, inverted));
    }
    // Of a prefix at a byte's end only its bytes are compared.
    void compare_address(Bytes value, bool inverted) {
        std::array<std::byte, address_size> address{};
        std::ranges::copy(value.first(std::min(value.size(), address_size)), address.begin());
        std::array<char, INET6_ADDRSTRLEN> text{};
        ::inet_ntop(AF_INET6, address.data(), text.data(), text.size());
        std::size_t length = 8 * value.size();
        if (!mask_.empty()) {
            length = 0;
            for (const auto byte : mask_) {
                length += static_cast<std::size_t>(std::popcount(std::to_integer<std::uint8_t>(byte)));
            }
        }
        fill_in(rule_, "payload",
                fmt::format("ip6 {} {}{}/{}", loaded_ == Loaded::source ? "saddr" : "daddr", inverted ? "!= " : "",
                            text.data(), length));
    }

    Rule& rule_;
    Dialect dialect_;
    Loaded loaded_ = Loaded::other;
    Bytes mask_{};
};

}  // namespace

std::string legacy_line(const std::string& chain, Rule rule, const ipt_entry& entry) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&entry);
    for (std::size_t at = sizeof(ipt_entry); at + sizeof(xt_entry_match) <= entry.target_offset;) {
        const auto* match = reinterpret_cast<const xt_entry_match*>(bytes + at);
        const std::size_t size = std::max<std::size_t>(match->u.match_size, sizeof(xt_entry_match));
        tell_match(rule, match->u.user.name, std::span(bytes + at, size).subspan(sizeof(xt_entry_match)));
        at += size;
    }
    const auto* target = reinterpret_cast<const xt_entry_target*>(bytes + entry.target_offset);
    tell_target(rule, target->u.user.name,
                std::span(bytes + entry.target_offset, target->u.target_size).subspan(sizeof(xt_entry_target)));
    return rule_text(Dialect::iptables_legacy, chain, rule);
}

std::string nft_line(const nlmsghdr& message, Dialect dialect) {
    auto decoded = nft::decode_rule(message);
    if (!decoded) {
        return {};
    }
    const Attributes attributes(message, sizeof(nfgenmsg));
    Details details(decoded->rule, dialect);
    for (const auto& expression : attributes.list(NFTA_RULE_EXPRESSIONS)) {
        details.read(expression);
    }
    if (const auto comment = nft::comment_in_user_data(attributes); comment && dialect != Dialect::nft) {
        add_comment(decoded->rule, *comment);
    }
    return rule_text(dialect, decoded->chain, decoded->rule);
}

}  // namespace podlane::netfilter::flannel
