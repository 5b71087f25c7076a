// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <optional>

#include "maps/base/address.h"

namespace podlane {

// The prefix whose mask, in host byte order, is `mask`; bits of `address` outside of it are cleared. Nothing: the mask
// has holes (255.0.255.0), and what it matches is no prefix. A mask of 0 gives 0.0.0.0/0.
[[nodiscard]] inline std::optional<Ipv4Prefix> prefix_of_mask(Ipv4Address address, std::uint32_t mask) {
    const auto prefix = Ipv4Prefix::masked(address, static_cast<unsigned>(std::countl_one(mask)));
    return prefix.mask_host() == mask ? std::optional(prefix) : std::nullopt;
}

}  // namespace podlane
