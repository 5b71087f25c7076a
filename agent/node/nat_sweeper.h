// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "agent/node/nat_pressure.h"
#include "maps/base/result.h"
#include "maps/map_pages.h"
#include "maps/typed_map.h"

namespace podlane {

// Removes translations that are over, a part of the table at a time. The programs take what is over themselves when
// they need a port; this keeps the table from filling up, and counts what is in use on the way.
class NatSweeper {
public:
    // `table` must be nat_by_flow of the programs that `config` was loaded into.
    NatSweeper(ReadOnlyMap<spec::nat_by_flow> table, const nat_config& config);

    // Looks at the next part of the table, at most about 16384 entries, and removes by `sweep_program`
    // (bpf/nat_sweep.bpf.c) what is over, or has lost its address. Returns how many.
    [[nodiscard]] Result<std::size_t> sweep(int sweep_program);
    // The same with all of the table.
    [[nodiscard]] Result<std::size_t> sweep_all(int sweep_program);

    // At the last complete walk, or by now in the present one: what is more.
    [[nodiscard]] NatUse use() const { return larger_of(last_, walk_.use()); }
    // The addresses that translations may have, sorted; empty: not known. sweep() removes the pods' that have any
    // other.
    void use_addresses(std::vector<std::uint32_t> addresses) { addresses_ = std::move(addresses); }
    // Flows that have this address (network byte order), though packets would get another one by now, and that nobody
    // has answered: the next walk removes them, so that their next packet begins anew.
    void revise_unanswered(std::uint32_t address) { revised_[address] = walks_to_revise; }

private:
    // Why flows are to be removed: what nat_sweep is told of them.
    struct Order {
        std::uint32_t address;  // 0: they look expired
        bool unanswered;
        auto operator<=>(const Order&) const = default;
    };
    using Keys = std::map<Order, std::vector<flow_key>>;
    // The rest of the present walk, and a whole one.
    static constexpr unsigned walks_to_revise = 2;

    static Result<std::size_t> run(int program, std::span<const flow_key> keys, const Order& order);
    static Result<std::size_t> run_over_all(int program, std::span<const flow_key> keys, const Order& order);
    // Counts what is alive.
    [[nodiscard]] Keys look_at(const RawEntries& page);
    [[nodiscard]] bool has_lost_its_address(const nat_entry& entry) const;
    [[nodiscard]] bool is_to_begin_anew(const nat_entry& entry) const;
    void end_walk();

    ReadOnlyMap<spec::nat_by_flow> table_;
    MapPages pages_;
    std::vector<std::uint32_t> addresses_;       // network byte order
    std::map<std::uint32_t, unsigned> revised_;  // addresses, network byte order: how many walks are left
    std::int64_t shortest_timeout_;              // ns
    NatUse last_;
    NatTally walk_;  // the one that goes on
};

}  // namespace podlane
