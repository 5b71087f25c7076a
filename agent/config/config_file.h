// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "agent/config/config.h"
#include "maps/base/result.h"

namespace podlane {

// Puts what a configuration text says into `config`; keys it does not name stay as they are. Checks each value by
// itself; `name` stands in messages.
[[nodiscard]] Result<void> apply_config_text(std::string_view text, std::string_view name, Config& config);

}  // namespace podlane
