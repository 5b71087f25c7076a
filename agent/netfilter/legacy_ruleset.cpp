// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "agent/netfilter/iptc_table.h"
#include "agent/netfilter/ruleset_readers.h"
#include "maps/base/prefix_mask.h"

namespace podlane::netfilter {
namespace {

bool is_wanted(const std::string& name, Tables wanted) {
    return name == "filter" || (name == "nat" && wanted == Tables::all);
}

Sense sense_of(const ipt_ip& header, unsigned flag) {
    return (header.invflags & flag) != 0 ? Sense::is_not : Sense::is;
}

// The mask has a byte for each that is compared; the name's zero is one of them unless it ends in "+".
void add_interface(std::vector<Condition>& conditions, Condition condition, const char* name,
                   const unsigned char* mask) {
    const auto compared =
        static_cast<std::size_t>(std::find(mask, mask + IFNAMSIZ, static_cast<unsigned char>(0)) - mask);
    if (compared == 0) {
        return;
    }
    const auto length = strnlen(name, compared);
    condition.interfaces.push_back(
        {length < compared ? InterfaceName::Match::whole : InterfaceName::Match::prefix, std::string(name, length)});
    conditions.push_back(std::move(condition));
}

void add_addresses(std::vector<Condition>& conditions, Condition condition, in_addr address, in_addr mask) {
    if (mask.s_addr == 0) {
        return;
    }
    const auto prefix =
        prefix_of_mask(Ipv4Address::from_wire(address.s_addr), Ipv4Address::from_wire(mask.s_addr).host());
    if (prefix) {
        condition.ranges.push_back(Range::of(*prefix));
    } else {
        condition.field = Field::unreadable;
        condition.text = "-m address-mask";
    }
    conditions.push_back(std::move(condition));
}

void add_matches(std::vector<Condition>& conditions, const ipt_entry& entry) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&entry);
    for (std::size_t at = sizeof(ipt_entry); at + sizeof(xt_entry_match) <= entry.target_offset;) {
        const auto* match = reinterpret_cast<const xt_entry_match*>(bytes + at);
        const std::size_t size = std::max<std::size_t>(match->u.match_size, sizeof(xt_entry_match));
        std::ranges::move(xt_match(match->u.user.name, match->u.user.revision,
                                   std::span(bytes + at, size).subspan(sizeof(xt_entry_match))),
                          std::back_inserter(conditions));
        at += size;
    }
}

std::vector<Condition> conditions_of(const ipt_entry& entry) {
    const auto& ip = entry.ip;
    std::vector<Condition> conditions;
    add_addresses(conditions, {.field = Field::source, .sense = sense_of(ip, IPT_INV_SRCIP)}, ip.src, ip.smsk);
    add_addresses(conditions, {.field = Field::destination, .sense = sense_of(ip, IPT_INV_DSTIP)}, ip.dst, ip.dmsk);
    add_interface(conditions, {.field = Field::in_interface, .sense = sense_of(ip, IPT_INV_VIA_IN)}, ip.iniface,
                  ip.iniface_mask);
    add_interface(conditions, {.field = Field::out_interface, .sense = sense_of(ip, IPT_INV_VIA_OUT)}, ip.outiface,
                  ip.outiface_mask);
    if (ip.proto != 0) {
        conditions.push_back(
            {.field = Field::protocol, .sense = sense_of(ip, IPT_INV_PROTO), .ranges = {{ip.proto, ip.proto}}});
    }
    if ((ip.flags & IPT_F_FRAG) != 0) {
        conditions.push_back({.field = Field::other, .sense = sense_of(ip, IPT_INV_FRAG), .text = "-f"});
    }
    add_matches(conditions, entry);
    return conditions;
}

Target target_of(const ipt_entry& entry, xtc_handle* table) {
    const std::string_view name = iptc_get_target(&entry, table);
    if (name.empty()) {
        return {};
    }
    if (name == IPTC_LABEL_ACCEPT || name == IPTC_LABEL_DROP || name == IPTC_LABEL_RETURN) {
        return {name == IPTC_LABEL_ACCEPT ? Act::accept : name == IPTC_LABEL_DROP ? Act::drop : Act::leave, {}};
    }
    const std::string chain(name);
    if (iptc_is_chain(chain.c_str(), table) != 0) {
        return {(entry.ip.flags & IPT_F_GOTO) != 0 ? Act::go_to : Act::jump, chain};
    }
    const auto* bytes = reinterpret_cast<const std::byte*>(&entry) + entry.target_offset;
    const auto* target = reinterpret_cast<const xt_entry_target*>(bytes);
    const std::size_t size = std::max<std::size_t>(target->u.target_size, sizeof(xt_entry_target));
    return xt_target(name, std::span(bytes, size).subspan(sizeof(xt_entry_target)));
}

Chain read_chain(const char* name, xtc_handle* table) {
    Chain chain{.name = name};
    if (iptc_builtin(name, table) != 0) {
        xt_counters counters{};
        const char* policy = iptc_get_policy(name, &counters, table);
        const auto hook = chain.name == "INPUT" ? Hook::input : chain.name == "FORWARD" ? Hook::forward : Hook::other;
        const bool drops = policy != nullptr && std::strcmp(policy, IPTC_LABEL_DROP) == 0;
        chain.base = BaseChain{hook, drops ? Act::drop : Act::accept};
    }
    for (const auto* entry = iptc_first_rule(name, table); entry != nullptr; entry = iptc_next_rule(entry, table)) {
        chain.rules.push_back(rule_of(*entry, table));
        chain.rules.back().number = chain.rules.size();
    }
    return chain;
}

}  // namespace

Rule rule_of(const ipt_entry& entry, xtc_handle* table) {
    auto target = target_of(entry, table);
    return {.conditions = conditions_of(entry), .act = target.act, .target = std::move(target.text)};
}

Result<std::vector<Table>> read_legacy_tables(Tables wanted) {
    std::vector<Table> tables;
    for (const auto& name : present_iptc_tables()) {
        if (!is_wanted(name, wanted)) {
            continue;
        }
        const IptcTable handle(iptc_init(name.c_str()));
        if (!handle) {
            const int code = errno;
            return std::unexpected(Error{code, fmt::format("read table {}: {}", name, iptc_strerror(code))});
        }
        Table table{.dialect = Dialect::iptables_legacy, .family = "ip", .name = name};
        for (const char* chain = iptc_first_chain(handle.get()); chain != nullptr;
             chain = iptc_next_chain(handle.get())) {
            table.chains.push_back(read_chain(chain, handle.get()));
        }
        tables.push_back(std::move(table));
    }
    return tables;
}

}  // namespace podlane::netfilter
