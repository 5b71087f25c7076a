// SPDX-License-Identifier: Apache-2.0
#include <linux/ip.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "agent/netfilter/nft_message.h"
#include "agent/netfilter/ruleset_readers.h"
#include "maps/base/prefix_mask.h"

namespace podlane::netfilter::nft {
namespace {

using Bytes = std::span<const std::byte>;
using netlink::Attributes;

constexpr std::size_t address_size = 4;

// What a rule has loaded into a register and not compared yet.
struct Loaded {
    Field field = Field::unreadable;
    std::size_t size = 0;                 // bytes
    std::optional<std::uint32_t> mask{};  // of an address in host byte order, of states as they are
    std::string text{};                   // other, unreadable
    bool by_number = false;               // an interface's number instead of its name
};

std::uint32_t host_word(Bytes bytes) {
    std::uint32_t word = 0;
    std::memcpy(&word, bytes.data(), std::min(bytes.size(), sizeof(word)));
    return word;
}

// An address may be compared by its first bytes only: they stand first in the register.
std::uint32_t address_of(Bytes bytes) {
    return Ipv4Address::from_wire(host_word(bytes)).host();
}

// Of one, two or four bytes in network byte order.
std::uint32_t number_of(Bytes bytes) {
    std::uint32_t number = 0;
    for (const auto byte : bytes.first(std::min(bytes.size(), sizeof(number)))) {
        number = number << 8U | std::to_integer<std::uint32_t>(byte);
    }
    return number;
}

// Without its zero the name is the beginning of one.
InterfaceName interface_of(Bytes bytes) {
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    const auto length = strnlen(text, bytes.size());
    return {length < bytes.size() ? InterfaceName::Match::whole : InterfaceName::Match::prefix,
            std::string(text, length)};
}

std::string interface_name(std::uint32_t number) {
    std::array<char, IF_NAMESIZE> name{};
    return ::if_indextoname(number, name.data()) != nullptr ? std::string(name.data()) : fmt::format("#{}", number);
}

Bytes value_of(const Attributes& data, unsigned type) {
    return data.nested(static_cast<std::uint16_t>(type)).bytes(NFTA_DATA_VALUE).value_or(Bytes());
}

Loaded load_meta(const Attributes& data) {
    switch (data.network_u32(NFTA_META_KEY).value_or(0)) {
        case NFT_META_IIFNAME:
            return {.field = Field::in_interface, .size = IFNAMSIZ};
        case NFT_META_OIFNAME:
            return {.field = Field::out_interface, .size = IFNAMSIZ};
        case NFT_META_IIF:
            return {.field = Field::in_interface, .size = sizeof(std::uint32_t), .by_number = true};
        case NFT_META_OIF:
            return {.field = Field::out_interface, .size = sizeof(std::uint32_t), .by_number = true};
        case NFT_META_NFPROTO:
            return {.field = Field::family, .size = 1};
        case NFT_META_L4PROTO:
            return {.field = Field::protocol, .size = 1};
        case NFT_META_PROTOCOL:
            return {.field = Field::other, .text = "meta protocol"};
        case NFT_META_PKTTYPE:
            return {.field = Field::other, .text = "meta pkttype"};
        case NFT_META_MARK:
            return {.field = Field::unreadable, .text = "meta mark"};
        default:
            return {.field = Field::unreadable, .text = "meta"};
    }
}

Loaded load_tracking(const Attributes& data) {
    const auto key = data.network_u32(NFTA_CT_KEY);
    return {.field = key == std::uint32_t{NFT_CT_STATE}    ? Field::state
                     : key == std::uint32_t{NFT_CT_STATUS} ? Field::translated
                                                           : Field::unreadable,
            .size = sizeof(std::uint32_t),
            .text = "ct"};
}

Loaded load_payload(const Attributes& data) {
    const auto base = data.network_u32(NFTA_PAYLOAD_BASE);
    const auto offset = data.network_u32(NFTA_PAYLOAD_OFFSET);
    const std::size_t size = data.network_u32(NFTA_PAYLOAD_LEN).value_or(0);
    if (base == std::uint32_t{NFT_PAYLOAD_NETWORK_HEADER} && size > 0 && size <= address_size) {
        if (offset == std::uint32_t{offsetof(iphdr, saddr)}) {
            return {.field = Field::source, .size = size};
        }
        if (offset == std::uint32_t{offsetof(iphdr, daddr)}) {
            return {.field = Field::destination, .size = size};
        }
        if (offset == std::uint32_t{offsetof(iphdr, protocol)} && size == 1) {
            return {.field = Field::protocol, .size = size};
        }
    }
    constexpr std::uint32_t destination_port = 2;  // of TCP, UDP, SCTP
    if (base == std::uint32_t{NFT_PAYLOAD_TRANSPORT_HEADER} && offset == destination_port && size == 2) {
        return {.field = Field::port, .size = size};
    }
    return {.field = Field::other, .text = "payload"};
}

Condition compare_address(const Loaded& loaded, std::uint32_t operation, Bytes value) {
    const auto address = address_of(value);
    Condition condition{.field = loaded.field};
    if (operation == NFT_CMP_GTE || operation == NFT_CMP_LTE) {
        condition.ranges.push_back(operation == NFT_CMP_GTE ? Range{address, ~std::uint32_t{0}} : Range{0, address});
        return condition;
    }
    const auto bytes = ~std::uint32_t{0} << (8 * (address_size - loaded.size));
    const auto prefix = prefix_of_mask(Ipv4Address::from_host(address), loaded.mask.value_or(bytes) & bytes);
    if (!prefix || operation > NFT_CMP_NEQ) {
        return {.field = Field::unreadable, .text = "ip"};
    }
    condition.sense = operation == NFT_CMP_NEQ ? Sense::is_not : Sense::is;
    condition.ranges.push_back(Range::of(*prefix));
    return condition;
}

Condition compare_number(const Loaded& loaded, std::uint32_t operation, Bytes value) {
    if (loaded.mask || (operation != NFT_CMP_EQ && operation != NFT_CMP_NEQ)) {
        return {.field = Field::other, .text = loaded.field == Field::port ? "th dport" : "meta l4proto"};
    }
    const auto number = number_of(value);
    return {.field = loaded.field,
            .sense = operation == NFT_CMP_NEQ ? Sense::is_not : Sense::is,
            .ranges = {{number, number}}};
}

// "ct status & dnat != 0".
Condition compare_status(const Loaded& loaded, std::uint32_t operation, Bytes value) {
    constexpr std::uint32_t nat = IPS_SRC_NAT | IPS_DST_NAT;
    if (!loaded.mask || (*loaded.mask & ~nat) != 0 || host_word(value) != 0) {
        return {.field = Field::unreadable, .text = "ct status"};
    }
    return {.field = Field::translated,
            .sense = operation == NFT_CMP_NEQ ? Sense::is : Sense::is_not,
            .text = *loaded.mask == IPS_DST_NAT   ? "dnat"
                    : *loaded.mask == IPS_SRC_NAT ? "snat"
                                                  : "snat,dnat"};
}

// "& mask != 0": any of them. "& mask == 0": none of them.
Condition compare_states(const Loaded& loaded, std::uint32_t operation, Bytes value) {
    const auto states = host_word(value);
    const bool equal = operation == NFT_CMP_EQ;
    if (loaded.mask && states != 0) {
        return {.field = Field::unreadable, .text = "ct state"};
    }
    if (loaded.mask) {
        return {.field = Field::state, .sense = equal ? Sense::is_not : Sense::is, .states = *loaded.mask};
    }
    return {.field = Field::state, .sense = equal ? Sense::is : Sense::is_not, .states = states};
}

Condition compare(const Loaded& loaded, std::uint32_t operation, Bytes value) {
    const auto sense = operation == NFT_CMP_NEQ ? Sense::is_not : Sense::is;
    switch (loaded.field) {
        case Field::source:
        case Field::destination:
            return compare_address(loaded, operation, value);
        case Field::protocol:
        case Field::port:
            return compare_number(loaded, operation, value);
        case Field::state:
            return compare_states(loaded, operation, value);
        case Field::translated:
            return compare_status(loaded, operation, value);
        case Field::in_interface:
        case Field::out_interface: {
            const auto name =
                loaded.by_number ? InterfaceName{.text = interface_name(host_word(value))} : interface_of(value);
            return {.field = loaded.field, .sense = sense, .interfaces = {name}};
        }
        case Field::family: {
            const bool ipv4 = !value.empty() && std::to_integer<unsigned>(value[0]) == NFPROTO_IPV4;
            const bool holds = ipv4 == (sense == Sense::is);
            return {.field = Field::family, .sense = holds ? Sense::is : Sense::is_not, .text = "meta nfproto ipv4"};
        }
        case Field::other:
        case Field::unreadable:
            break;
    }
    return {.field = loaded.field, .text = loaded.text};
}

Act act_of(std::uint32_t code) {
    switch (static_cast<std::int32_t>(code)) {
        case NF_ACCEPT:
            return Act::accept;
        case NF_DROP:
            return Act::drop;
        case NFT_JUMP:
            return Act::jump;
        case NFT_GOTO:
            return Act::go_to;
        case NFT_RETURN:
            return Act::leave;
        case NFT_CONTINUE:
            return Act::proceed;
        default:
            return Act::unknown;
    }
}

Target verdict_of(const Attributes& data) {
    const auto verdict = data.nested(NFTA_DATA_VERDICT);
    return {act_of(verdict.network_u32(NFTA_VERDICT_CODE).value_or(0)),
            verdict.string(NFTA_VERDICT_CHAIN).value_or("")};
}

std::string reject_text(const Attributes& data) {
    constexpr auto inet_codes =
        std::to_array<std::string_view>({"no-route", "port-unreachable", "host-unreachable", "admin-prohibited"});
    constexpr auto icmp_codes = std::to_array<std::pair<unsigned, std::string_view>>({{0, "net-unreachable"},
                                                                                      {1, "host-unreachable"},
                                                                                      {2, "prot-unreachable"},
                                                                                      {9, "net-prohibited"},
                                                                                      {10, "host-prohibited"},
                                                                                      {13, "admin-prohibited"}});
    const unsigned code = data.u8(NFTA_REJECT_ICMP_CODE).value_or(0);
    const auto type = data.network_u32(NFTA_REJECT_TYPE).value_or(0);
    if (type == NFT_REJECT_TCP_RST) {
        return "tcp reset";
    }
    if (type == NFT_REJECT_ICMPX_UNREACH) {
        return fmt::format("icmpx {}", code < inet_codes.size() ? inet_codes.at(code) : "port-unreachable");
    }
    const auto found = std::ranges::find(icmp_codes, code, &std::pair<unsigned, std::string_view>::first);
    return fmt::format("icmp {}", found == icmp_codes.end() ? "port-unreachable" : found->second);
}

// A rule's expressions, one after the other.
class Decoder {
public:
    explicit Decoder(DecodedRule& decoded) : decoded_(decoded) {}

    void read(const Attributes& expression) {
        const auto name = expression.string(NFTA_EXPR_NAME).value_or("");
        const auto data = expression.nested(NFTA_EXPR_DATA);
        if (name == "meta" && data.has(NFTA_META_DREG)) {
            load(data.network_u32(NFTA_META_DREG), load_meta(data));
        } else if (name == "payload" && data.has(NFTA_PAYLOAD_DREG)) {
            load(data.network_u32(NFTA_PAYLOAD_DREG), load_payload(data));
        } else if (name == "ct" && data.has(NFTA_CT_DREG)) {
            load(data.network_u32(NFTA_CT_DREG), load_tracking(data));
        } else if (name == "bitwise") {
            mask(data);
        } else if (name == "cmp") {
            compare_with(data);
        } else if (name == "range") {
            compare_range(data);
        } else if (name == "lookup") {
            look_up(data);
        } else {
            read_action(name, data);
        }
    }

private:
    void read_action(const std::string& name, const Attributes& data) {
        auto& rule = decoded_.rule;
        if (name == "immediate" && data.nested(NFTA_IMMEDIATE_DATA).has(NFTA_DATA_VERDICT)) {
            set(verdict_of(data.nested(NFTA_IMMEDIATE_DATA)));
        } else if (name == "reject") {
            set({Act::reject, reject_text(data)});
        } else if (name == "match") {
            std::ranges::move(
                xt_match(data.string(NFTA_MATCH_NAME).value_or(""), data.network_u32(NFTA_MATCH_REV).value_or(0),
                         data.bytes(NFTA_MATCH_INFO).value_or(Bytes())),
                std::back_inserter(rule.conditions));
        } else if (name == "target") {
            set(xt_target(data.string(NFTA_TARGET_NAME).value_or(""), data.bytes(NFTA_TARGET_INFO).value_or(Bytes())));
        } else if (name == "queue") {
            set({Act::unknown, name});
        } else if (name == "limit" || name == "quota" || name == "connlimit") {
            add({.field = Field::other, .text = name});
        } else if (data.has(1) && (name == "fib" || name == "rt" || name == "socket" || name == "exthdr")) {
            load(data.network_u32(1), {.field = Field::other, .text = name});
        } else if (name == "log" && rule.act == Act::proceed) {
            rule.target = name;
        }
    }
    void set(Target target) {
        decoded_.rule.act = target.act;
        decoded_.rule.target = std::move(target.text);
    }
    void add(Condition condition) { decoded_.rule.conditions.push_back(std::move(condition)); }
    void load(std::optional<std::uint32_t> where, Loaded loaded) { registers_[where.value_or(0)] = std::move(loaded); }
    [[nodiscard]] Loaded loaded(std::optional<std::uint32_t> where) const {
        const auto found = registers_.find(where.value_or(0));
        return found == registers_.end() ? Loaded{.text = "register"} : found->second;
    }
    void mask(const Attributes& data) {
        auto result = loaded(data.network_u32(NFTA_BITWISE_SREG));
        const auto bytes = value_of(data, NFTA_BITWISE_MASK);
        if (bytes.empty()) {
            result.field = Field::unreadable;
        } else {
            const bool tracked = result.field == Field::state || result.field == Field::translated;
            result.mask = tracked ? host_word(bytes) : address_of(bytes);
        }
        load(data.network_u32(NFTA_BITWISE_DREG), std::move(result));
    }
    // What nft writes as a range comes as ">= first" and "<= last".
    void compare_with(const Attributes& data) {
        const auto operation = data.network_u32(NFTA_CMP_OP).value_or(0);
        auto condition = compare(loaded(data.network_u32(NFTA_CMP_SREG)), operation, value_of(data, NFTA_CMP_DATA));
        auto& conditions = decoded_.rule.conditions;
        const bool ends_range = operation == NFT_CMP_LTE && !conditions.empty() && condition.ranges.size() == 1 &&
                                conditions.back().field == condition.field && conditions.back().ranges.size() == 1 &&
                                conditions.back().ranges.front().last == ~std::uint32_t{0};
        if (ends_range) {
            conditions.back().ranges.front().last = condition.ranges.front().last;
        } else {
            add(std::move(condition));
        }
    }
    void compare_range(const Attributes& data) {
        const auto from = loaded(data.network_u32(NFTA_RANGE_SREG));
        const bool number =
            from.field == Field::source || from.field == Field::destination || from.field == Field::port;
        if (!number || from.mask) {
            add({.field = from.field == Field::other ? Field::other : Field::unreadable, .text = from.text});
            return;
        }
        const bool inverted = data.network_u32(NFTA_RANGE_OP) == std::uint32_t{NFT_RANGE_NEQ};
        add({.field = from.field,
             .sense = inverted ? Sense::is_not : Sense::is,
             .ranges = {
                 {number_of(value_of(data, NFTA_RANGE_FROM_DATA)), number_of(value_of(data, NFTA_RANGE_TO_DATA))}}});
    }
    void look_up(const Attributes& data) {
        const auto from = loaded(data.network_u32(NFTA_LOOKUP_SREG));
        const bool inverted = (data.network_u32(NFTA_LOOKUP_FLAGS).value_or(0) & NFT_LOOKUP_F_INV) != 0;
        const bool readable = !from.by_number && !from.mask;
        decoded_.lookups.push_back({.set = data.string(NFTA_LOOKUP_SET).value_or(""),
                                    .field = readable || from.field == Field::other ? from.field : Field::unreadable,
                                    .sense = inverted ? Sense::is_not : Sense::is,
                                    .kind = data.has(NFTA_LOOKUP_DREG) ? Lookup::Kind::verdict_map : Lookup::Kind::set,
                                    .at = decoded_.rule.conditions.size()});
    }

    DecodedRule& decoded_;
    std::map<std::uint32_t, Loaded> registers_;
};

Element element_of(const Attributes& attributes) {
    const auto key = value_of(attributes, NFTA_SET_ELEM_KEY);
    const auto flags = attributes.network_u32(NFTA_SET_ELEM_FLAGS).value_or(0);
    Element element{.key = {key.begin(), key.end()}};
    element.kind = (flags & NFT_SET_ELEM_INTERVAL_END) != 0 ? Element::Kind::end_of_interval : Element::Kind::value;
    const auto data = attributes.nested(NFTA_SET_ELEM_DATA);
    if (data.has(NFTA_DATA_VERDICT)) {
        auto verdict = verdict_of(data);
        element.act = verdict.act;
        element.target = std::move(verdict.text);
    }
    return element;
}

}  // namespace

std::optional<DecodedRule> decode_rule(const nlmsghdr& message) {
    const auto* header = header_if(message, NFT_MSG_NEWRULE);
    if (header == nullptr) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(nfgenmsg));
    DecodedRule decoded{.family = header->nfgen_family,
                        .table = attributes.string(NFTA_RULE_TABLE).value_or(""),
                        .chain = attributes.string(NFTA_RULE_CHAIN).value_or("")};
    decoded.rule.handle = handle_of(attributes).value_or(0);
    Decoder decoder(decoded);
    for (const auto& expression : attributes.list(NFTA_RULE_EXPRESSIONS)) {
        decoder.read(expression);
    }
    return decoded;
}

std::optional<std::vector<Element>> decode_elements(const nlmsghdr& message) {
    if (header_if(message, NFT_MSG_NEWSETELEM) == nullptr) {
        return std::nullopt;
    }
    std::vector<Element> elements;
    const Attributes attributes(message, sizeof(nfgenmsg));
    for (const auto& element : attributes.list(NFTA_SET_ELEM_LIST_ELEMENTS)) {
        elements.push_back(element_of(element));
    }
    return elements;
}

}  // namespace podlane::netfilter::nft
