// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "maps/map_handle.h"
#include "maps/spec.h"

namespace podlane {

// A walk over a hash table in pages, for tables too large to be read at one time. Entries that are added or removed
// meanwhile may or may not be seen.
class MapPages {
public:
    // `fd` must outlive the walk. A page holds about so many entries, or more where one hash bucket does.
    MapPages(int fd, const MapShape& shape, std::uint32_t page) : fd_(fd), shape_(shape), room_(page) {}

    // The next page. After the last one at_end() is true, and the next call begins from the start.
    [[nodiscard]] Result<RawEntries> next();
    [[nodiscard]] bool at_end() const { return !started_; }

private:
    int fd_;
    MapShape shape_;
    std::uint32_t room_;
    bool started_ = false;
    std::uint32_t bucket_ = 0;
};

}  // namespace podlane
