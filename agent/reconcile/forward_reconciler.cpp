// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/forward_reconciler.h"

#include <linux/netlink.h>

#include <algorithm>
#include <cerrno>

#include "agent/netfilter/legacy_forward_table.h"
#include "agent/netfilter/nft_forward_table.h"

namespace podlane {
namespace {

std::string describe(const FoundForwardRule& found) {
    return found.rule ? found.rule->to_string()
                      : fmt::format("-A {} ... -m comment --comment \"{}\"", forward_chain, forward_rule_comment);
}

// The words of iptables for the change: -A adds, -D deletes.
std::string removal(const ForwardTable& table, const FoundForwardRule& found) {
    return fmt::format("{}: {}", table.name(), describe(found).replace(0, 2, "-D"));
}

LinkItem item(const ForwardTable& table, std::string wanted, std::string actual, LinkState state) {
    return {.kind = "rule",
            .name = fmt::format("{} {}", table.name(), forward_chain),
            .wanted = std::move(wanted),
            .actual = std::move(actual),
            .state = state};
}

void add_items(const ForwardTable& table, const ForwardChain& chain, std::span<const ForwardRule> wanted,
               std::vector<LinkItem>& items) {
    const auto plan = plan_forward_rules(wanted, chain);
    for (const auto& rule : wanted) {
        const bool missing = std::ranges::find(plan.add, rule) != plan.add.end();
        items.push_back(item(table, rule.to_string(), missing ? "" : rule.to_string(),
                             missing ? LinkState::missing : LinkState::ok));
    }
    for (const auto& found : plan.remove) {
        items.push_back(item(table, "", describe(found), LinkState::wrong));
    }
}

void reconcile_table(ForwardTable& table, std::span<const Ipv4Prefix> cluster_cidrs, ForwardReport& report) {
    const auto chain = table.read();
    if (!chain) {
        report.errors.push_back(fail_within(table.name(), chain.error()).error());
        return;
    }
    if (chain->policy == ForwardPolicy::drop) {
        report.dropping.emplace_back(table.name());
    }
    const auto plan = plan_forward_rules(wanted_forward_rules(cluster_cidrs, chain->policy), *chain);
    if (plan.empty()) {
        return;
    }
    if (const auto applied = table.apply(plan); !applied) {
        report.errors.push_back(fail_within(table.name(), applied.error()).error());
        return;
    }
    for (const auto& found : plan.remove) {
        report.changes.push_back(removal(table, found));
    }
    for (const auto& rule : plan.add) {
        report.changes.push_back(fmt::format("{}: {}", table.name(), rule));
    }
}

}  // namespace

Result<ForwardReconciler> ForwardReconciler::create() {
    Tables tables;
    auto socket = netlink::Socket::open(NETLINK_NETFILTER);
    if (socket) {
        tables.push_back(std::make_unique<NftForwardTable>(std::move(*socket)));
    } else if (socket.error().code != EPROTONOSUPPORT) {  // a kernel without netfilter's netlink
        return std::unexpected(socket.error());
    }
    tables.push_back(std::make_unique<LegacyForwardTable>());
    return ForwardReconciler(std::move(tables));
}

ForwardReport ForwardReconciler::reconcile(std::span<const Ipv4Prefix> cluster_cidrs) {
    ForwardReport report;
    std::set<std::string> settled;
    for (const auto& table : tables_) {
        const auto changes = report.changes.size();
        const auto errors = report.errors.size();
        reconcile_table(*table, cluster_cidrs, report);
        const bool drops = std::ranges::find(report.dropping, table->name()) != report.dropping.end();
        if (drops && settled_.contains(std::string(table->name()))) {
            report.repairs.insert(report.repairs.end(), report.changes.begin() + static_cast<std::ptrdiff_t>(changes),
                                  report.changes.end());
        }
        if (drops && report.errors.size() == errors) {
            settled.emplace(table->name());
        }
    }
    settled_ = std::move(settled);
    return report;
}

Result<std::vector<LinkItem>> ForwardReconciler::inspect(std::span<const Ipv4Prefix> cluster_cidrs) {
    std::vector<LinkItem> items;
    for (const auto& table : tables_) {
        const auto chain = table->read();
        if (!chain) {
            return fail_within(table->name(), chain.error());
        }
        add_items(*table, *chain, wanted_forward_rules(cluster_cidrs, chain->policy), items);
    }
    return items;
}

CleanupReport ForwardReconciler::cleanup(CleanupMode mode) {
    CleanupReport report;
    for (const auto& table : tables_) {
        const auto chain = table->read();
        const auto plan = chain ? plan_forward_rules({}, *chain) : ForwardPlan{};
        const auto applied = !chain                                         ? std::unexpected(chain.error())
                             : plan.empty() || mode == CleanupMode::dry_run ? Result<void>()
                                                                            : table->apply(plan);
        if (!applied) {
            report.errors.push_back(fail_within(table->name(), applied.error()).error());
            continue;
        }
        for (const auto& found : plan.remove) {
            report.removed.push_back(removal(*table, found));
        }
    }
    return report;
}

}  // namespace podlane
