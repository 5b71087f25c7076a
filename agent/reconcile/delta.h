// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace podlane {

// What has to happen for `actual` to become `wanted`. Values are the wanted ones.
template <typename Key, typename Value>
struct MapDelta {
    std::vector<std::pair<Key, Value>> to_add;
    std::vector<std::pair<Key, Value>> to_change;
    std::vector<Key> to_remove;

    [[nodiscard]] bool empty() const { return to_add.empty() && to_change.empty() && to_remove.empty(); }
};

template <typename Key>
struct SetDelta {
    std::vector<Key> to_add;
    std::vector<Key> to_remove;

    [[nodiscard]] bool empty() const { return to_add.empty() && to_remove.empty(); }
};

// For std::map, std::unordered_map and their like, each in its own order. `same(wanted, actual)` says whether a value
// may stay; the two maps may hold different types of value.
template <typename Wanted, typename Actual, typename Same = std::equal_to<>>
[[nodiscard]] auto map_delta(const Wanted& wanted, const Actual& actual, Same same = {}) {
    MapDelta<typename Wanted::key_type, typename Wanted::mapped_type> delta;
    for (const auto& [key, value] : wanted) {
        const auto found = actual.find(key);
        if (found == actual.end()) {
            delta.to_add.emplace_back(key, value);
        } else if (!same(value, found->second)) {
            delta.to_change.emplace_back(key, value);
        }
    }
    for (const auto& [key, value] : actual) {
        if (!wanted.contains(key)) {
            delta.to_remove.push_back(key);
        }
    }
    return delta;
}

// For std::set, std::unordered_set and their like.
template <typename Set>
[[nodiscard]] auto set_delta(const Set& wanted, const Set& actual) {
    SetDelta<typename Set::key_type> delta;
    for (const auto& key : wanted) {
        if (!actual.contains(key)) {
            delta.to_add.push_back(key);
        }
    }
    for (const auto& key : actual) {
        if (!wanted.contains(key)) {
            delta.to_remove.push_back(key);
        }
    }
    return delta;
}

}  // namespace podlane
