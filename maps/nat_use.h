// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "maps/spec.h"

namespace podlane {

// How many translations one pod may hold, whatever the range of ports.
inline constexpr std::uint32_t nat_flows_per_pod = spec::nat_by_flow::capacity / 4;

// Towards what the translation's port is in use.
[[nodiscard]] nat_destination nat_destination_of(const flow_key& flow, const nat_entry& entry);

// Whether the translation's port is one of `count` from `low` on; both in host byte order.
[[nodiscard]] bool has_port_of(const nat_entry& entry, std::uint16_t low, std::uint16_t count);

}  // namespace podlane
