// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/state/objects.h"

namespace podlane {

inline constexpr std::string_view network_condition = "NetworkUnavailable";

// What is read of the Node in a NodeList of one.
struct NodeView {
    std::string status;               // of that condition: "True", "False", "Unknown"; empty: there is none
    std::string reason;               // its reason
    Annotations annotations;          // all
    std::vector<std::string> taints;  // their keys, in order
};
// Nothing: the text is no list, or has no such node.
[[nodiscard]] std::optional<NodeView> read_node_view(const std::string& node_list);

// Those of `wanted` that are missing or different: as they are; empty where they are missing.
[[nodiscard]] Annotations differing_annotations(const Annotations& wanted, const Annotations& present);

// A JSON patch (RFC 6902) that removes those of the taints, of any effect; it fails where they are not the Node's any
// more. Empty: there is none.
[[nodiscard]] std::string untaint_patch(const std::vector<std::string>& taints, std::string_view key);

}  // namespace podlane
