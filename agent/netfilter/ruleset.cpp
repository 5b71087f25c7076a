// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/ruleset.h"

#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ipt_REJECT.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace podlane::netfilter {
namespace {

constexpr auto state_names = std::to_array<std::pair<std::uint32_t, std::string_view>>(
    {{state_invalid, "INVALID"}, {state_new, "NEW"}, {state_related, "RELATED"}, {state_established, "ESTABLISHED"}});

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    return result;
}

std::string text_of(const Range& range) {
    const auto prefix = range.prefix();
    return prefix ? prefix->to_string()
                  : fmt::format("{}-{}", Ipv4Address::from_host(range.first), Ipv4Address::from_host(range.last));
}

std::string number_text(const Range& range, Dialect dialect) {
    return range.first == range.last
               ? std::to_string(range.first)
               : fmt::format("{}{}{}", range.first, dialect == Dialect::nft ? '-' : ':', range.last);
}

// The values of a condition, with commas between.
std::string values_of(const Condition& condition, Dialect dialect) {
    std::vector<std::string> words;
    words.reserve(condition.interfaces.size() + condition.ranges.size());
    const char* wildcard = dialect == Dialect::nft ? "*" : "+";
    const char* quote = dialect == Dialect::nft ? "\"" : "";
    for (const auto& name : condition.interfaces) {
        words.push_back(
            fmt::format("{0}{1}{2}{0}", quote, name.text, name.match == InterfaceName::Match::prefix ? wildcard : ""));
    }
    for (const auto& range : condition.ranges) {
        words.push_back(condition.field == Field::protocol ? protocol_name(range.first)
                        : condition.field == Field::port   ? number_text(range, dialect)
                                                           : text_of(range));
    }
    for (const auto& [bit, name] : state_names) {
        if ((condition.states & bit) != 0) {
            words.push_back(dialect == Dialect::nft ? lower(name) : std::string(name));
        }
    }
    const auto joined = fmt::format("{}", fmt::join(words, dialect == Dialect::nft ? ", " : ","));
    return dialect == Dialect::nft && words.size() > 1 ? fmt::format("{{ {} }}", joined) : joined;
}

std::string iptables_text(const Condition& condition) {
    const char* no = condition.sense == Sense::is_not ? "! " : "";
    const auto values = values_of(condition, Dialect::iptables_nft);
    switch (condition.field) {
        case Field::in_interface:
            return fmt::format("{}-i {}", no, values);
        case Field::out_interface:
            return fmt::format("{}-o {}", no, values);
        case Field::source:
            return fmt::format("{}-s {}", no, values);
        case Field::destination:
            return fmt::format("{}-d {}", no, values);
        case Field::protocol:
            return fmt::format("{}-p {}", no, values);
        case Field::port:
            return fmt::format("{}--dport{} {}", no, condition.ranges.size() > 1 ? "s" : "", values);
        case Field::state:
            return fmt::format("-m conntrack {}--ctstate {}", no, values);
        case Field::translated:
            return fmt::format("-m conntrack {}--ctstatus {}", no, condition.text);
        case Field::family:
        case Field::other:
        case Field::unreadable:
            break;
    }
    return no + condition.text;
}

int iptables_rank(Field field) {
    constexpr auto order =
        std::to_array({Field::source, Field::destination, Field::in_interface, Field::out_interface});
    return static_cast<int>(std::ranges::find(order, field) - order.begin());
}

std::string nft_text(const Condition& condition) {
    const char* no = condition.sense == Sense::is_not ? "!= " : "";
    const auto values = values_of(condition, Dialect::nft);
    switch (condition.field) {
        case Field::in_interface:
            return fmt::format("iifname {}{}", no, values);
        case Field::out_interface:
            return fmt::format("oifname {}{}", no, values);
        case Field::source:
            return fmt::format("ip saddr {}{}", no, values);
        case Field::destination:
            return fmt::format("ip daddr {}{}", no, values);
        case Field::protocol:
            return fmt::format("meta l4proto {}{}", no, values);
        case Field::port:
            return fmt::format("th dport {}{}", no, values);
        case Field::state:
            return fmt::format("ct state {}{}", no, values);
        case Field::translated:
            return fmt::format("ct status {}{}", no, condition.text);
        case Field::family:
            return fmt::format("meta nfproto {}", condition.sense == Sense::is ? "ipv4" : "ipv6");
        case Field::other:
        case Field::unreadable:
            break;
    }
    return condition.text;
}

std::string iptables_verdict(const Rule& rule) {
    switch (rule.act) {
        case Act::accept:
            return "-j ACCEPT";
        case Act::drop:
            return "-j DROP";
        case Act::reject:
            return fmt::format("-j REJECT --reject-with {}", rule.target);
        case Act::jump:
            return fmt::format("-j {}", rule.target);
        case Act::go_to:
            return fmt::format("-g {}", rule.target);
        case Act::leave:
            return "-j RETURN";
        case Act::proceed:
        case Act::unknown:
            break;
    }
    return rule.target.empty() ? "" : fmt::format("-j {}", rule.target);
}

std::string nft_verdict(const Rule& rule) {
    switch (rule.act) {
        case Act::accept:
            return "accept";
        case Act::drop:
            return "drop";
        case Act::reject:
            return fmt::format("reject with {}", rule.target);
        case Act::jump:
            return fmt::format("jump {}", rule.target);
        case Act::go_to:
            return fmt::format("goto {}", rule.target);
        case Act::leave:
            return "return";
        case Act::proceed:
        case Act::unknown:
            break;
    }
    return rule.target;
}

template <typename Info>
std::optional<Info> read_info(std::span<const std::byte> bytes) {
    Info info{};
    if (bytes.size() < sizeof(info)) {
        return std::nullopt;
    }
    std::memcpy(&info, bytes.data(), sizeof(info));
    return info;
}

// xt_conntrack and xt_state: bit 0 is INVALID, then 1 << (ctinfo + 1), which is the kernel's own count of it.
std::uint32_t states_of(unsigned mask) {
    return mask & (state_invalid | state_established | state_related | state_new);
}

Condition conntrack_match(unsigned revision, std::span<const std::byte> bytes) {
    // Revision 3 differs behind these fields only.
    const auto info = revision < 2 ? std::nullopt : read_info<xt_conntrack_mtinfo2>(bytes);
    if (!info || (info->match_flags & ~unsigned{XT_CONNTRACK_STATE_ALIAS}) != XT_CONNTRACK_STATE) {
        return Condition{.field = Field::unreadable, .text = "-m conntrack"};
    }
    const bool inverted = (info->invert_flags & XT_CONNTRACK_STATE) != 0;
    return Condition{
        .field = Field::state, .sense = inverted ? Sense::is_not : Sense::is, .states = states_of(info->state_mask)};
}

// Both begin with the ranges of source and destination ports; the inversions stand last.
std::vector<Condition> port_match(std::string_view name, std::span<const std::byte> bytes) {
    constexpr std::uint16_t highest = 0xffff;
    constexpr unsigned invert_source = 1;
    constexpr unsigned invert_destination = 2;
    std::array<std::uint16_t, 4> ports{};
    const bool tcp = name == "tcp";
    const std::size_t size = tcp ? sizeof(xt_tcp) : sizeof(xt_udp);
    if (bytes.size() < size) {
        return {{.field = Field::unreadable, .text = fmt::format("-m {}", name)}};
    }
    std::memcpy(ports.data(), bytes.data(), sizeof(ports));
    const auto inverted =
        std::to_integer<unsigned>(bytes[tcp ? offsetof(xt_tcp, invflags) : offsetof(xt_udp, invflags)]);
    const bool flags = tcp && (std::to_integer<unsigned>(bytes[offsetof(xt_tcp, flg_mask)]) != 0 ||
                               std::to_integer<unsigned>(bytes[offsetof(xt_tcp, option)]) != 0);
    std::vector<Condition> conditions;
    if (ports[0] != 0 || ports[1] != highest || (inverted & invert_source) != 0 || flags) {
        conditions.push_back({.field = Field::other, .text = flags ? "--tcp-flags" : "--sport"});
    }
    if (ports[2] != 0 || ports[3] != highest) {
        conditions.push_back({.field = Field::port,
                              .sense = (inverted & invert_destination) != 0 ? Sense::is_not : Sense::is,
                              .ranges = {{ports[2], ports[3]}}});
    }
    return conditions;
}

Condition multiport_match(unsigned revision, std::span<const std::byte> bytes) {
    const auto info = revision == 1 ? read_info<xt_multiport_v1>(bytes) : std::nullopt;
    if (!info || info->flags != XT_MULTIPORT_DESTINATION) {
        return {.field = Field::other, .text = "-m multiport"};
    }
    Condition condition{.field = Field::port, .sense = info->invert != 0 ? Sense::is_not : Sense::is};
    const std::size_t count = std::min<std::size_t>(info->count, XT_MULTI_PORTS);
    for (std::size_t i = 0; i < count; ++i) {
        const bool range = info->pflags[i] != 0 && i + 1 < count;
        condition.ranges.push_back({info->ports[i], info->ports[range ? i + 1 : i]});
        i += range ? 1 : 0;
    }
    return condition;
}

}  // namespace

bool InterfaceName::covers(std::string_view name) const {
    return match == Match::whole ? name == text : name.starts_with(text);
}

Range Range::of(const Ipv4Prefix& prefix) {
    const auto first = prefix.address().host();
    return {first, first | ~prefix.mask_host()};
}

std::optional<Ipv4Prefix> Range::prefix() const {
    const auto length = static_cast<unsigned>(std::countl_zero(first ^ last));
    const auto prefix = Ipv4Prefix::masked(Ipv4Address::from_host(first), length);
    return of(prefix) == *this ? std::optional(prefix) : std::nullopt;
}

const Chain* Table::find(std::string_view chain) const {
    const auto found = std::ranges::find(chains, chain, &Chain::name);
    return found == chains.end() ? nullptr : &*found;
}

std::string_view program_of(Dialect dialect) {
    switch (dialect) {
        case Dialect::iptables_legacy:
            return "iptables-legacy -w";
        case Dialect::iptables_nft:
            return "iptables-nft -w";
        case Dialect::nft:
            break;
    }
    return "nft";
}

std::string to_string(const Table& table, const Chain& chain, const Rule& rule) {
    const bool nft = table.dialect == Dialect::nft;
    std::vector<std::string> words;
    if (!nft) {
        words.push_back(fmt::format("-A {}", chain.name));
    }
    auto conditions = rule.conditions;
    if (!nft) {  // in the order of iptables -S
        std::ranges::stable_sort(conditions, {}, [](const Condition& one) { return iptables_rank(one.field); });
    }
    std::ranges::transform(conditions, std::back_inserter(words), nft ? nft_text : iptables_text);
    words.push_back(nft ? nft_verdict(rule) : iptables_verdict(rule));
    std::erase(words, "");
    return fmt::format("{}", fmt::join(words, " "));
}

std::vector<Condition> xt_match(std::string_view name, unsigned revision, std::span<const std::byte> info) {
    constexpr auto narrowing = std::to_array<std::string_view>(
        {"sctp", "icmp", "icmp6", "limit", "hashlimit", "connlimit", "recent", "statistic", "addrtype", "pkttype",
         "length", "ttl", "time", "string", "physdev", "owner", "mac", "rpfilter", "tos"});
    if (name == "comment") {
        return {};
    }
    if (name == "conntrack") {
        return {conntrack_match(revision, info)};
    }
    if (name == "state") {
        const auto state = read_info<xt_state_info>(info);
        return {{.field = state ? Field::state : Field::unreadable,
                 .states = state ? states_of(state->statemask) : 0,
                 .text = "-m state"}};
    }
    if (name == "tcp" || name == "udp") {
        return port_match(name, info);
    }
    if (name == "multiport") {
        return {multiport_match(revision, info)};
    }
    const bool known = std::ranges::find(narrowing, name) != narrowing.end();
    return {{.field = known ? Field::other : Field::unreadable, .text = fmt::format("-m {}", name)}};
}

std::string protocol_name(unsigned number) {
    switch (number) {
        case IPPROTO_TCP:
            return "tcp";
        case IPPROTO_UDP:
            return "udp";
        case IPPROTO_ICMP:
            return "icmp";
        default:
            return std::to_string(number);
    }
}

std::string_view icmp_reject_name(unsigned xt_code) {
    switch (xt_code) {
        case IPT_ICMP_NET_UNREACHABLE:
            return "icmp-net-unreachable";
        case IPT_ICMP_HOST_UNREACHABLE:
            return "icmp-host-unreachable";
        case IPT_ICMP_PROT_UNREACHABLE:
            return "icmp-proto-unreachable";
        case IPT_ICMP_NET_PROHIBITED:
            return "icmp-net-prohibited";
        case IPT_ICMP_HOST_PROHIBITED:
            return "icmp-host-prohibited";
        case IPT_ICMP_ADMIN_PROHIBITED:
            return "icmp-admin-prohibited";
        case IPT_TCP_RESET:
            return "tcp-reset";
        default:
            return "icmp-port-unreachable";
    }
}

Target xt_target(std::string_view name, std::span<const std::byte> info) {
    if (name == "REJECT") {
        const auto reject = read_info<ipt_reject_info>(info);
        return {Act::reject, std::string(icmp_reject_name(reject ? reject->with : IPT_ICMP_PORT_UNREACHABLE))};
    }
    const bool elsewhere = name == "NFQUEUE" || name == "QUEUE" || name == "TARPIT" || name == "SYNPROXY";
    return {elsewhere ? Act::unknown : Act::proceed, std::string(name)};
}

}  // namespace podlane::netfilter
