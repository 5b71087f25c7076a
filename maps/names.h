// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "maps/spec.h"

// Names of the schema's enums, for people. A value without a name (of a newer kernel side) is shown as its number.
namespace podlane {

struct NamedValue {
    unsigned value;
    std::string_view name;
    std::string_view help;  // one line; empty where the name says it all
};
using Names = std::span<const NamedValue>;

namespace names {

inline constexpr auto drop_reasons = std::to_array<NamedValue>({{DROP_NONE, "none", ""},
#define PODLANE_NAME(name, text, help) {DROP_##name, text, help},
                                                                DROP_REASONS(PODLANE_NAME)
#undef PODLANE_NAME
});
inline constexpr auto handover_reasons = std::to_array<NamedValue>({{HANDOVER_NONE, "none", ""},
#define PODLANE_NAME(name, text, help) {HANDOVER_##name, text, help},
                                                                    HANDOVER_REASONS(PODLANE_NAME)
#undef PODLANE_NAME
});
inline constexpr auto directions = std::to_array<NamedValue>({
#define PODLANE_NAME(name, text) {DIRECTION_##name, text, ""},
    DIRECTIONS(PODLANE_NAME)
#undef PODLANE_NAME
});
inline constexpr auto forward_paths = std::to_array<NamedValue>({
#define PODLANE_NAME(name, text) {PATH_##name, text, ""},
    FORWARD_PATHS(PODLANE_NAME)
#undef PODLANE_NAME
});
inline constexpr auto protocols = std::to_array<NamedValue>({
    {1, "icmp", ""},  // IANA protocol numbers
    {6, "tcp", ""},
    {17, "udp", ""},
    {132, "sctp", ""},
});

}  // namespace names

[[nodiscard]] std::string name_of(Names names, unsigned value);
// A name of the list, or a number.
[[nodiscard]] std::optional<unsigned> value_of(Names names, std::string_view text);
// "one, two, three": what an error lists.
[[nodiscard]] std::string joined(Names names);

[[nodiscard]] std::string name_of(node_path path);          // "vxlan"
[[nodiscard]] std::string name_of(flow_owner owner);        // "fast"
[[nodiscard]] std::string name_of(flow_pending direction);  // "from-pod"
[[nodiscard]] std::string name_of(network_class network);   // "cluster"
[[nodiscard]] std::string name_of(nat_flag flag);           // "stack"
[[nodiscard]] std::string name_of(nat_device_flag flag);    // "own"
[[nodiscard]] std::string name_of(nat_seen seen);           // "fin"
[[nodiscard]] std::string name_of(nat_state state);         // "established"

}  // namespace podlane
