// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "maps/map_handle.h"
#include "maps/map_pages.h"

namespace podlane {

// How full the maps are that the programs fill. The kernel does not tell, so entries are counted, a few thousand in
// one step: a walk over a full table at once would hold up the event loop. The maps that the agent itself fills it
// knows (MapReconciler::sizes).
class MapCensus {
public:
    // Entries of one map that one step looks at, about.
    static constexpr std::uint32_t entries_of_a_step = 4096;

    explicit MapCensus(std::filesystem::path map_pins) : map_pins_(std::move(map_pins)) {}

    // Goes on where the last step ended. True: a round over all maps is complete.
    bool step();
    // Of the last count of each map; those that were never counted are not in it.
    [[nodiscard]] const std::map<std::string_view, std::size_t>& entries() const { return entries_; }
    // The maps that are counted.
    [[nodiscard]] static std::span<const MapShape> maps();

private:
    struct Walk {
        MapHandle map;
        MapPages pages;
        std::size_t counted = 0;
    };
    // Of the present map.
    void count_page();

    std::filesystem::path map_pins_;
    std::size_t index_ = 0;  // of the present map
    std::optional<Walk> walk_;
    std::map<std::string_view, std::size_t> entries_;
};

}  // namespace podlane
