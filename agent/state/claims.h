// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

#include "maps/base/address.h"

namespace podlane {

// Address ranges and who has them, no two of them overlapping. O(log n) each.
class Claims {
public:
    struct Claim {
        Ipv4Prefix prefix;
        std::string_view owner;  // must outlive the claims
    };

    // The claim that holds a part of `prefix`; null: it is free. With several, the last by address.
    [[nodiscard]] const Claim* find(const Ipv4Prefix& prefix) const {
        const std::uint32_t last = prefix.address().host() | ~prefix.mask_host();
        auto after = by_address_.upper_bound(last);
        if (after == by_address_.begin()) {
            return nullptr;
        }
        // Claims do not overlap: when the nearest one below the range's end stays out of it, so do all before.
        const Claim& nearest = std::prev(after)->second;
        return nearest.prefix.overlaps(prefix) ? &nearest : nullptr;
    }
    [[nodiscard]] const Claim* find(Ipv4Address address) const { return find(Ipv4Prefix::masked(address, 32)); }

    // Only where find() is null.
    void add(const Ipv4Prefix& prefix, std::string_view owner) {
        by_address_.emplace(prefix.address().host(), Claim{prefix, owner});
    }
    void add(Ipv4Address address, std::string_view owner) { add(Ipv4Prefix::masked(address, 32), owner); }

private:
    std::map<std::uint32_t, Claim> by_address_;
};

}  // namespace podlane
