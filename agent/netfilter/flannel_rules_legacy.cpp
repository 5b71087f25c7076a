// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <functional>
#include <ranges>
#include <utility>

#include "agent/netfilter/flannel_entry.h"
#include "agent/netfilter/flannel_rules_parts.h"
#include "agent/netfilter/iptc_table.h"

namespace podlane::netfilter::flannel {
namespace {

// A rule of the table; flannel's have a line.
struct Row {
    FlannelRule rule{};
    std::string chain_jumped_to{};
    bool flannels = false;
};

struct ChainRows {
    std::string name;
    std::vector<Row> rows;
};

Result<IptcTable> open_table(const std::string& name) {
    IptcTable table(iptc_init(name.c_str()));
    if (!table) {
        return fail_by_libiptc(fmt::format("read table {}", name));
    }
    return table;
}

std::vector<Row> rows_of(std::string_view name, const std::string& chain, xtc_handle* table) {
    std::vector<Row> rows;
    for (const auto* entry = iptc_first_rule(chain.c_str(), table); entry != nullptr;
         entry = iptc_next_rule(entry, table)) {
        Row row;
        row.rule.number = static_cast<std::uint32_t>(rows.size() + 1);
        row.rule.content = entry_content(*entry, table);
        const std::string target = iptc_get_target(entry, table);
        if (iptc_is_chain(target.c_str(), table) != 0) {
            row.chain_jumped_to = target;
        }
        const auto comment = entry_comment(row.rule.content);
        row.flannels = is_flannels({name, chain, row.chain_jumped_to, comment});
        if (row.flannels) {
            row.rule.line = legacy_line(chain, rule_of(*entry, table), *entry);
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

std::vector<ChainRows> chains_of(std::string_view name, xtc_handle* table) {
    std::vector<ChainRows> chains;
    for (const char* chain = iptc_first_chain(table); chain != nullptr; chain = iptc_next_chain(table)) {
        chains.push_back({.name = chain, .rows = {}});
    }
    for (auto& chain : chains) {
        chain.rows = rows_of(name, chain.name, table);
    }
    return chains;
}

FlannelTable flannels_of(const std::string& name, xtc_handle* handle) {
    FlannelTable table{.filter = PacketFilter::ip_tables, .name = name};
    for (auto& from : chains_of(name, handle)) {
        FlannelChain chain{.name = from.name, .own = is_chain(from.name)};
        for (auto& row : from.rows) {
            if (row.flannels) {
                chain.rules.push_back(std::move(row.rule));
            }
        }
        if (chain.own || !chain.rules.empty()) {
            table.chains.push_back(std::move(chain));
        }
    }
    return table;
}

// Changes of a table that libiptc has in memory, until they are committed.
class Change {
public:
    explicit Change(std::string table) : name_(std::move(table)) {}

    Result<void> open() {
        auto table = open_table(name_);
        if (!table) {
            return std::unexpected(table.error());
        }
        table_ = std::move(*table);
        return {};
    }
    [[nodiscard]] xtc_handle* handle() const { return table_.get(); }
    // One of libiptc's changes, which return 0 on an error.
    Result<void> done(int result, const std::string& what) {
        changed_ = true;
        return result != 0 ? Result<void>() : fail_by_libiptc(fmt::format("{}: {}", name_, what));
    }
    Result<void> commit() {
        if (changed_ && iptc_commit(table_.get()) == 0) {
            return fail_by_libiptc(fmt::format("change table {}", name_));
        }
        return {};
    }

private:
    std::string name_;
    IptcTable table_;
    bool changed_ = false;
};

const FlannelChain* find_chain(const FlannelTable& table, const std::string& name) {
    const auto found = std::ranges::find(table.chains, name, &FlannelChain::name);
    return found == table.chains.end() ? nullptr : &*found;
}

Result<void> remove_rules(const FlannelTable& table, const ChainRows& chain, Change& change) {
    const auto* saved = find_chain(table, chain.name);
    Doomed doomed(saved == nullptr ? std::span<const FlannelRule>() : std::span(saved->rules));
    std::vector<std::uint32_t> numbers;
    for (const auto& row : chain.rows) {
        const auto* target = find_chain(table, row.chain_jumped_to);
        if (doomed.take(row.rule) || (target != nullptr && target->own)) {
            numbers.push_back(row.rule.number);
        }
    }
    // From the end, so that the numbers of the others stay.
    for (const auto number : numbers | std::views::reverse) {
        const int result = iptc_delete_num_entry(chain.name.c_str(), number - 1, change.handle());
        if (auto done = change.done(result, fmt::format("delete rule {} of {}", number, chain.name)); !done) {
            return done;
        }
    }
    return {};
}

Result<void> remove_chains(std::span<const std::string> names, Change& change) {
    for (const auto& name : names) {
        const int result = iptc_flush_entries(name.c_str(), change.handle());
        if (auto done = change.done(result, "empty chain " + name); !done) {
            return done;
        }
    }
    for (const auto& name : names) {
        const int result = iptc_delete_chain(name.c_str(), change.handle());
        if (auto done = change.done(result, "delete chain " + name); !done) {
            return done;
        }
    }
    return {};
}

Result<void> remove_from(const FlannelTable& table, Change& change) {
    std::vector<std::string> own;
    for (const auto& chain : chains_of(table.name, change.handle())) {
        const auto* saved = find_chain(table, chain.name);
        if (saved != nullptr && saved->own) {
            own.push_back(chain.name);
        } else if (auto done = remove_rules(table, chain, change); !done) {
            return done;
        }
    }
    return remove_chains(own, change);
}

Result<void> restore_rules(std::string_view table, const FlannelChain& chain, Change& change) {
    std::vector<FlannelRule> actual;
    for (auto& row : rows_of(table, chain.name, change.handle())) {
        actual.push_back(std::move(row.rule));
    }
    for (const auto& insertion : plan_insertions(chain.rules, actual)) {
        const auto bytes = entry_bytes(insertion.rule->content);
        const int result = iptc_insert_entry(chain.name.c_str(), reinterpret_cast<const ipt_entry*>(bytes.data()),
                                             static_cast<unsigned>(insertion.at), change.handle());
        if (auto done = change.done(result, insertion.rule->line); !done) {
            return done;
        }
    }
    return {};
}

Result<void> restore_into(const FlannelTable& table, Change& change) {
    for (const auto& chain : table.chains) {
        if (iptc_is_chain(chain.name.c_str(), change.handle()) != 0) {
            continue;
        }
        const int result = iptc_create_chain(chain.name.c_str(), change.handle());
        if (auto done = change.done(result, "make chain " + chain.name); !done) {
            return done;
        }
    }
    for (const auto& chain : table.chains) {
        if (auto done = restore_rules(table.name, chain, change); !done) {
            return done;
        }
    }
    return {};
}

using Step = Result<void> (*)(const FlannelTable&, Change&);

Result<void> change_table(const FlannelTable& table, Step step) {
    Change change(table.name);
    if (auto done = change.open(); !done) {
        return done;
    }
    if (auto done = step(table, change); !done) {
        return done;
    }
    return change.commit();
}

// One after the other, under the lock that iptables takes; none where there is nothing to do.
Result<void> change_tables(std::span<const FlannelTable> tables,
                           const std::function<Result<void>(const FlannelTable&)>& change) {
    if (tables.empty()) {
        return {};
    }
    const auto lock = lock_iptc_tables();
    if (!lock) {
        return std::unexpected(lock.error());
    }
    for (const auto& table : tables) {
        if (auto done = change(table); !done) {
            return done;
        }
    }
    return {};
}

bool is_present(const std::string& table) {
    const auto names = present_iptc_tables();
    return std::ranges::find(names, table) != names.end();
}

}  // namespace

Result<std::vector<FlannelTable>> read_legacy() {
    std::vector<FlannelTable> tables;
    for (const auto& name : present_iptc_tables()) {
        if (!is_shared_table(name)) {
            continue;
        }
        const auto handle = open_table(name);
        if (!handle) {
            return std::unexpected(handle.error());
        }
        if (auto table = flannels_of(name, handle->get()); !table.chains.empty()) {
            tables.push_back(std::move(table));
        }
    }
    return tables;
}

Result<void> remove_legacy(std::span<const FlannelTable> tables) {
    return change_tables(tables, [](const FlannelTable& table) {
        return is_present(table.name) ? change_table(table, &remove_from) : Result<void>();
    });
}

Result<void> restore_legacy(std::span<const FlannelTable> tables) {
    return change_tables(tables, [](const FlannelTable& table) { return change_table(table, &restore_into); });
}

}  // namespace podlane::netfilter::flannel
