// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/flannel_rules.h"

#include <algorithm>
#include <ranges>
#include <tuple>

#include "agent/netfilter/flannel_rules_parts.h"

namespace podlane::netfilter {
namespace flannel {

Doomed::Doomed(std::span<const FlannelRule> rules) {
    for (const auto& rule : rules) {
        left_.push_back(&rule);
    }
}

bool Doomed::take(const FlannelRule& rule) {
    const auto found = std::ranges::find_if(left_, [&](const FlannelRule* one) { return one->does_the_same(rule); });
    if (found == left_.end()) {
        return false;
    }
    left_.erase(found);
    return true;
}

std::vector<Insertion> plan_insertions(std::span<const FlannelRule> wanted, std::span<const FlannelRule> actual) {
    Doomed there(actual);
    // The chain as it grows: indices of actual rules, nothing for a new one.
    std::vector<std::optional<std::size_t>> chain;
    chain.reserve(actual.size() + wanted.size());
    for (std::size_t index = 0; index < actual.size(); ++index) {
        chain.emplace_back(index);
    }
    std::vector<Insertion> plan;
    for (const auto& rule : wanted) {
        if (there.take(rule)) {
            continue;
        }
        const auto at = std::min<std::size_t>(std::max(rule.number, 1U) - 1, chain.size());
        // With ascending numbers no new rule stands behind this one.
        plan.push_back({&rule, at, at < chain.size() ? chain[at] : std::nullopt});
        chain.insert(chain.begin() + static_cast<std::ptrdiff_t>(at), std::nullopt);
    }
    return plan;
}

}  // namespace flannel

namespace {

void add_lines(std::vector<std::string>& lines, const FlannelTable& table) {
    if (table.own) {
        const auto name = fmt::format("nft {} {}", table.family, table.name);
        lines.push_back(name);
        for (const auto& chain : table.chains) {
            for (const auto& rule : chain.rules) {
                lines.push_back(fmt::format("{} {}: {}", name, chain.name, rule.line));
            }
        }
        return;
    }
    const auto program =
        fmt::format("iptables-{} -t {}", table.filter == PacketFilter::ip_tables ? "legacy" : "nft", table.name);
    for (const auto& chain : table.chains | std::views::filter(&FlannelChain::own)) {
        lines.push_back(fmt::format("{} -N {}", program, chain.name));
    }
    for (const auto& chain : table.chains) {
        for (const auto& rule : chain.rules) {
            lines.push_back(fmt::format("{} {}", program, rule.line));
        }
    }
}

// The kernel's order is that of their making. Within flannel's own tables it is kept: nft lists it.
void sort(std::vector<FlannelTable>& tables) {
    std::ranges::sort(tables, {},
                      [](const FlannelTable& table) { return std::tie(table.own, table.family, table.name); });
    for (auto& table : tables | std::views::filter([](const FlannelTable& one) { return !one.own; })) {
        std::ranges::sort(table.chains, {}, &FlannelChain::name);
    }
}

using Part = Result<void> (*)(std::span<const FlannelTable>);

// Each packet filter's part does its own; the second is done even when the first failed.
Result<void> for_each_filter(const FlannelRules& rules, Part legacy, Part nft) {
    std::vector<FlannelTable> tables = rules.tables;
    const auto others = std::ranges::stable_partition(
        tables, [](const FlannelTable& table) { return table.filter == PacketFilter::ip_tables; });
    const auto first = legacy(std::span(tables.begin(), others.begin()));
    const auto second = nft(others);
    return first ? second : first;
}

}  // namespace

std::vector<std::string> FlannelRules::lines() const {
    std::vector<std::string> lines;
    for (const auto& table : tables) {
        add_lines(lines, table);
    }
    return lines;
}

Result<FlannelRules> read_flannel_rules() {
    FlannelRules rules;
    for (const auto read : {&flannel::read_legacy, &flannel::read_nft}) {
        auto tables = read();
        if (!tables) {
            return fail_within("read flannel's rules", tables.error());
        }
        sort(*tables);
        std::ranges::move(*tables, std::back_inserter(rules.tables));
    }
    return rules;
}

Result<void> remove_flannel_rules(const FlannelRules& rules) {
    const auto done = for_each_filter(rules, &flannel::remove_legacy, &flannel::remove_nft);
    return done ? done : fail_within("remove flannel's rules", done.error());
}

Result<void> restore_flannel_rules(const FlannelRules& rules) {
    const auto done = for_each_filter(rules, &flannel::restore_legacy, &flannel::restore_nft);
    return done ? done : fail_within("restore flannel's rules", done.error());
}

}  // namespace podlane::netfilter
