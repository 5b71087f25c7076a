// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/ruleset.h"

#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_state.h>
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

std::string text_of(const AddressRange& range) {
    const auto prefix = range.prefix();
    return prefix ? prefix->to_string()
                  : fmt::format("{}-{}", Ipv4Address::from_host(range.first), Ipv4Address::from_host(range.last));
}

// The values of a condition, with commas between.
std::string values_of(const Condition& condition, Dialect dialect) {
    std::vector<std::string> words;
    const char* wildcard = dialect == Dialect::nft ? "*" : "+";
    const char* quote = dialect == Dialect::nft ? "\"" : "";
    for (const auto& name : condition.interfaces) {
        words.push_back(
            fmt::format("{0}{1}{2}{0}", quote, name.text, name.match == InterfaceName::Match::prefix ? wildcard : ""));
    }
    std::ranges::transform(condition.addresses, std::back_inserter(words), text_of);
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
        case Field::state:
            return fmt::format("-m conntrack {}--ctstate {}", no, values);
        case Field::family:
        case Field::other:
        case Field::unreadable:
            break;
    }
    constexpr std::string_view l4_protocol = "meta l4proto ";
    const bool protocol = condition.text.starts_with(l4_protocol);
    return protocol ? fmt::format("{}-p {}", no, condition.text.substr(l4_protocol.size())) : no + condition.text;
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
        case Field::state:
            return fmt::format("ct state {}{}", no, values);
        case Field::family:
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

std::optional<Condition> conntrack_match(unsigned revision, std::span<const std::byte> bytes) {
    // Revision 3 differs behind these fields only.
    const auto info = revision < 2 ? std::nullopt : read_info<xt_conntrack_mtinfo2>(bytes);
    if (!info || (info->match_flags & ~unsigned{XT_CONNTRACK_STATE_ALIAS}) != XT_CONNTRACK_STATE) {
        return Condition{.field = Field::unreadable, .text = "-m conntrack"};
    }
    const bool inverted = (info->invert_flags & XT_CONNTRACK_STATE) != 0;
    return Condition{
        .field = Field::state, .sense = inverted ? Sense::is_not : Sense::is, .states = states_of(info->state_mask)};
}

}  // namespace

bool InterfaceName::covers(std::string_view name) const {
    return match == Match::whole ? name == text : name.starts_with(text);
}

AddressRange AddressRange::of(const Ipv4Prefix& prefix) {
    const auto first = prefix.address().host();
    return {first, first | ~prefix.mask_host()};
}

std::optional<Ipv4Prefix> AddressRange::prefix() const {
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

std::optional<Condition> xt_match(std::string_view name, unsigned revision, std::span<const std::byte> info) {
    constexpr auto narrowing = std::to_array<std::string_view>(
        {"tcp",       "udp",     "sctp",      "icmp",     "icmp6",    "multiport", "limit", "hashlimit",
         "connlimit", "recent",  "statistic", "addrtype", "pkttype",  "length",    "ttl",   "time",
         "string",    "physdev", "owner",     "mac",      "rpfilter", "tos"});
    if (name == "comment") {
        return std::nullopt;
    }
    if (name == "conntrack") {
        return conntrack_match(revision, info);
    }
    if (name == "state") {
        const auto state = read_info<xt_state_info>(info);
        return Condition{.field = state ? Field::state : Field::unreadable,
                         .states = state ? states_of(state->statemask) : 0,
                         .text = "-m state"};
    }
    const bool known = std::ranges::find(narrowing, name) != narrowing.end();
    return Condition{.field = known ? Field::other : Field::unreadable, .text = fmt::format("-m {}", name)};
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
