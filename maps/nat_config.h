// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "maps/spec.h"

namespace podlane {

// What the programs are told when they translate to ports from `low` to `high`, both included: the range in blocks of
// about the square root of its size, the timeouts (nat_config.cpp, with their RFCs), and a quarter of the table for
// each pod.
[[nodiscard]] nat_config nat_config_for(std::uint16_t low, std::uint16_t high);

// When the entry's time is over, nanoseconds of CLOCK_MONOTONIC; may lie in the past.
[[nodiscard]] std::int64_t nat_expiry(const flow_key& flow, const nat_entry& entry);

}  // namespace podlane
