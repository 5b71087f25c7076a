// SPDX-License-Identifier: Apache-2.0
#include "agent/state/objects.h"

#include <fmt/format.h>

namespace podlane {

std::string ObjectWarning::to_string() const {
    auto text = fmt::format("{}: {}: {}", object, field, message);
    return origin.empty() ? text : fmt::format("{} ({})", text, origin);
}

bool is_relevant_annotation(std::string_view key) {
    return key.starts_with("podlane.io/") || key.starts_with("flannel.alpha.coreos.com/");
}

}  // namespace podlane
