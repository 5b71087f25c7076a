// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maps/format.h"
#include "maps/map_handle.h"

namespace podlane {

// One map of maps/schema/maps.h, for code that treats all maps alike.
struct CatalogMap {
    MapShape shape;
    std::string_view purpose;
    // Bytes as MapHandle has them; a per-CPU value is shown as the sum over all CPUs.
    Json (*key_json)(ConstBytes key);
    Json (*value_json)(ConstBytes stored);
    // Of what an operator types: see KeyFormat.
    Result<std::vector<std::byte>> (*parse_key)(std::string_view text);
};

// All of them, in the order of maps/schema/maps.h.
[[nodiscard]] std::span<const CatalogMap> map_catalog();
// nullptr: there is no map of that name.
[[nodiscard]] const CatalogMap* find_map(std::string_view name);

}  // namespace podlane
