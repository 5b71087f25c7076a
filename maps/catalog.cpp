// SPDX-License-Identifier: Apache-2.0
#include "maps/catalog.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <nlohmann/json.hpp>

#include "maps/typed_map.h"

namespace podlane {
namespace {

template <typename Spec>
Json key_json(ConstBytes bytes) {
    typename Spec::Key key;
    std::memcpy(&key, bytes.data(), sizeof(key));
    return KeyFormat<Spec>::json(key);
}

template <typename Spec>
Json value_json(ConstBytes bytes) {
    if constexpr (spec_is_per_cpu<Spec>) {
        std::vector<typename Spec::Value> values(bytes.size() / sizeof(typename Spec::Value));
        std::memcpy(values.data(), bytes.data(), bytes.size());
        return json_of(sum(values));
    } else {
        typename Spec::Value value;
        std::memcpy(&value, bytes.data(), sizeof(value));
        return json_of(value);
    }
}

template <typename Spec>
Result<std::vector<std::byte>> parse_key(std::string_view text) {
    const auto key = KeyFormat<Spec>::parse(text);
    if (!key) {
        return std::unexpected(key.error());
    }
    const auto bytes = bytes_of(*key);
    return std::vector<std::byte>(bytes.begin(), bytes.end());
}

template <typename Spec>
CatalogMap entry() {
    return {.shape = shape_of<Spec>(),
            .purpose = Spec::purpose,
            .key_json = key_json<Spec>,
            .value_json = value_json<Spec>,
            .parse_key = parse_key<Spec>};
}

}  // namespace

std::span<const CatalogMap> map_catalog() {
    static const auto catalog = std::to_array<CatalogMap>({
#define PODLANE_CATALOG_ENTRY(name, type, key, value, capacity, flags, purpose) entry<spec::name>(),
        PODLANE_MAPS(PODLANE_CATALOG_ENTRY)
#undef PODLANE_CATALOG_ENTRY
    });
    return catalog;
}

const CatalogMap* find_map(std::string_view name) {
    const auto maps = map_catalog();
    const auto found =
        std::ranges::find_if(maps, [name](const CatalogMap& candidate) { return candidate.shape.name == name; });
    return found != maps.end() ? &*found : nullptr;
}

}  // namespace podlane
