// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/legacy_forward_table.h"

#include <linux/netfilter/xt_comment.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ranges>

#include "agent/netfilter/iptc_table.h"
#include "maps/base/prefix_mask.h"

namespace podlane {
namespace {

using netfilter::fail_by_libiptc;
using netfilter::IptcTable;

constexpr std::size_t aligned(std::size_t size) {
    return XT_ALIGN(size);
}

// An entry as the kernel wants it: header, the comment match, the target.
struct Entry {
    static constexpr std::size_t match_at = aligned(sizeof(ipt_entry));
    static constexpr std::size_t match_size = aligned(sizeof(xt_entry_match)) + aligned(sizeof(xt_comment_info));
    static constexpr std::size_t target_at = match_at + match_size;
    static constexpr std::size_t size = target_at + aligned(sizeof(xt_standard_target));
    alignas(8) std::array<std::byte, size> bytes{};
};

Entry encode(const ForwardRule& rule) {
    Entry entry;
    auto* header = reinterpret_cast<ipt_entry*>(entry.bytes.data());
    const auto mask = Ipv4Address::from_host(rule.pods.mask_host()).wire();
    if (rule.side == PodSide::source) {
        header->ip.src.s_addr = rule.pods.address().wire();
        header->ip.smsk.s_addr = mask;
    } else {
        header->ip.dst.s_addr = rule.pods.address().wire();
        header->ip.dmsk.s_addr = mask;
    }
    header->target_offset = Entry::target_at;
    header->next_offset = Entry::size;
    auto* match = reinterpret_cast<xt_entry_match*>(entry.bytes.data() + Entry::match_at);
    match->u.user.match_size = Entry::match_size;
    std::strcpy(match->u.user.name, "comment");
    forward_rule_comment.copy(reinterpret_cast<char*>(match->data), XT_MAX_COMMENT_LEN - 1);
    // libiptc makes it the verdict.
    auto* target = reinterpret_cast<xt_entry_target*>(entry.bytes.data() + Entry::target_at);
    target->u.user.target_size = aligned(sizeof(xt_standard_target));
    std::strcpy(target->u.user.name, IPTC_LABEL_ACCEPT);
    return entry;
}

bool has_our_comment(const ipt_entry& entry) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&entry);
    for (std::size_t at = sizeof(ipt_entry); at + sizeof(xt_entry_match) <= entry.target_offset;) {
        const auto* match = reinterpret_cast<const xt_entry_match*>(bytes + at);
        if (match->u.match_size == Entry::match_size && std::strcmp(match->u.user.name, "comment") == 0) {
            const auto* text = reinterpret_cast<const char*>(match->data);
            return std::string_view(text, strnlen(text, XT_MAX_COMMENT_LEN)) == forward_rule_comment;
        }
        at += std::max<std::size_t>(match->u.match_size, sizeof(xt_entry_match));
    }
    return false;
}

// No condition but those of `rule`.
bool is_accept(const ipt_entry& entry, const ForwardRule& rule, xtc_handle* table) {
    const Entry ours = encode(rule);
    const auto& wanted = *reinterpret_cast<const ipt_entry*>(ours.bytes.data());
    return std::memcmp(&entry.ip, &wanted.ip, sizeof(wanted.ip)) == 0 && entry.target_offset == wanted.target_offset &&
           std::strcmp(iptc_get_target(&entry, table), IPTC_LABEL_ACCEPT) == 0;
}

std::optional<Ipv4Prefix> prefix_of(in_addr address, in_addr mask) {
    return prefix_of_mask(Ipv4Address::from_wire(address.s_addr), Ipv4Address::from_wire(mask.s_addr).host());
}

std::optional<ForwardRule> decode(const ipt_entry& entry, xtc_handle* table) {
    const auto side = entry.ip.smsk.s_addr != 0 ? PodSide::source : PodSide::destination;
    const auto prefix =
        side == PodSide::source ? prefix_of(entry.ip.src, entry.ip.smsk) : prefix_of(entry.ip.dst, entry.ip.dmsk);
    if (!prefix) {
        return std::nullopt;
    }
    const ForwardRule rule{side, *prefix};
    return is_accept(entry, rule, table) ? std::optional(rule) : std::nullopt;
}

// A host that has none stays without.
bool has_filter_table() {
    const auto names = netfilter::present_iptc_tables();
    return std::ranges::find(names, forward_table) != names.end();
}

Result<IptcTable> open_table() {
    IptcTable table(iptc_init(forward_table));
    if (!table) {
        return fail_by_libiptc("read the filter table");
    }
    return table;
}

ForwardChain chain_of(xtc_handle* table) {
    ForwardChain chain;
    xt_counters counters{};
    const char* policy = iptc_get_policy(forward_chain, &counters, table);
    chain.policy =
        policy != nullptr && std::strcmp(policy, IPTC_LABEL_DROP) == 0 ? ForwardPolicy::drop : ForwardPolicy::accept;
    std::uint64_t number = 1;
    for (const auto* entry = iptc_first_rule(forward_chain, table); entry != nullptr;
         entry = iptc_next_rule(entry, table), ++number) {
        if (has_our_comment(*entry)) {
            chain.ours.push_back({number, decode(*entry, table)});
        }
    }
    return chain;
}

bool is_same(const FoundForwardRule& one, const FoundForwardRule& other) {
    return one.handle == other.handle && one.rule == other.rule;
}

}  // namespace

Result<ForwardChain> LegacyForwardTable::read() {
    if (!has_filter_table()) {
        return ForwardChain{};
    }
    const auto table = open_table();
    if (!table) {
        return std::unexpected(table.error());
    }
    return chain_of(table->get());
}

Result<void> LegacyForwardTable::apply(const ForwardPlan& plan) {
    const auto lock = netfilter::lock_iptc_tables();
    if (!lock) {
        return std::unexpected(lock.error());
    }
    const auto table = open_table();
    if (!table) {
        return std::unexpected(table.error());
    }
    // Numbers are only good as long as nobody changed the chain since they were read.
    const auto now = chain_of(table->get());
    const bool unchanged = std::ranges::all_of(plan.remove, [&](const FoundForwardRule& rule) {
        return std::ranges::any_of(now.ours, [&](const FoundForwardRule& found) { return is_same(found, rule); });
    });
    if (!unchanged) {
        return fail_errno(EAGAIN, "change the filter table: it changed meanwhile");
    }
    // From the end, so that the numbers of the others stay.
    for (const auto& rule : plan.remove | std::views::reverse) {
        const auto index = static_cast<unsigned>(rule.handle - 1);
        if (iptc_delete_num_entry(forward_chain, index, table->get()) == 0) {
            return fail_by_libiptc(fmt::format("delete rule {} of {}", rule.handle, forward_chain));
        }
    }
    for (const auto& rule : plan.add) {
        const Entry entry = encode(rule);
        if (iptc_append_entry(forward_chain, reinterpret_cast<const ipt_entry*>(entry.bytes.data()), table->get()) ==
            0) {
            return fail_by_libiptc(rule.to_string());
        }
    }
    if (iptc_commit(table->get()) == 0) {
        return fail_by_libiptc("change the filter table");
    }
    return {};
}

}  // namespace podlane
