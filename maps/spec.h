// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <string_view>

// The schema is plain C, where the assertion has another name.
#define _Static_assert static_assert
#include "maps/schema/datapath_config.h"
#include "maps/schema/drop_reason.h"
#include "maps/schema/maps.h"
#include "maps/schema/version.h"
#undef _Static_assert

// Keys and values outside the specs: within spec::pod_cidr_lengths `struct pod_cidr_lengths` would be the spec itself.
namespace podlane::schema {

#define PODLANE_MAP_TYPES(map_name, map_type, key_type, value_type, max, map_flags, text) \
    using map_name##_key = key_type;                                                      \
    using map_name##_value = value_type;
PODLANE_MAPS(PODLANE_MAP_TYPES)
#undef PODLANE_MAP_TYPES

}  // namespace podlane::schema

// The maps of maps/schema/maps.h as C++ types: spec::nodes_by_pod_cidr and so on.
namespace podlane::spec {

#define PODLANE_MAP_SPEC(map_name, map_type, key_type, value_type, max, map_flags, text) \
    struct map_name {                                                                    \
        using Key = schema::map_name##_key;                                              \
        using Value = schema::map_name##_value;                                          \
        static constexpr std::string_view name = #map_name;                              \
        static constexpr bpf_map_type type = BPF_MAP_TYPE_##map_type;                    \
        static constexpr std::uint32_t capacity = max;                                   \
        static constexpr std::uint32_t flags = map_flags;                                \
        static constexpr std::string_view purpose = text;                                \
    };
PODLANE_MAPS(PODLANE_MAP_SPEC)
#undef PODLANE_MAP_SPEC

}  // namespace podlane::spec
