// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/cni/config.h"

namespace podlane::cni {

// The keys of `link: "macvlan"`. Errors name the key: 7 a bad value, 2 what the reference plugin can do and podlane
// cannot.
[[nodiscard]] Outcome<void> read_macvlan(const nlohmann::json& config, MacvlanConfig& result);

// A MAC that somebody wrote; an error (code 7) begins with `origin`.
[[nodiscard]] Outcome<std::optional<MacAddress>> parse_mac_of_user(const std::string& text, std::string_view origin);

}  // namespace podlane::cni
