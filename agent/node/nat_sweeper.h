// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "maps/base/result.h"
#include "maps/map_pages.h"
#include "maps/typed_map.h"

namespace podlane {

// Removes translations that are over, a part of the table at a time. The programs take what is over themselves when
// they need a port; this keeps the table from filling up, and the counts near the truth.
class NatSweeper {
public:
    // `table` must be nat_by_flow of the programs that `config` was loaded into.
    NatSweeper(ReadOnlyMap<spec::nat_by_flow> table, const nat_config& config);

    // Looks at the next part of the table, at most about 16384 entries, and removes by `sweep_program`
    // (bpf/nat_sweep.bpf.c) what is over, or has lost its address. Returns how many.
    [[nodiscard]] Result<std::size_t> sweep(int sweep_program);

    // The addresses that translations may have, sorted; empty: not known. sweep() removes the pods' that have any
    // other.
    void use_addresses(std::vector<std::uint32_t> addresses) { addresses_ = std::move(addresses); }

    // Entries at the last complete walk.
    [[nodiscard]] std::size_t entries() const { return entries_; }

private:
    ReadOnlyMap<spec::nat_by_flow> table_;
    MapPages pages_;
    std::vector<std::uint32_t> addresses_;  // network byte order
    std::int64_t shortest_timeout_;         // ns
    std::size_t entries_ = 0;
    std::size_t seen_ = 0;  // of the walk that goes on
};

}  // namespace podlane
