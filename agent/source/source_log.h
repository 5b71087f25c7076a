// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "agent/source/source.h"

namespace podlane {

// Logs what is new in a source's health, as operators are to see it. `from`: a path or an address, for messages.
void log_changes(const SourceHealth& before, const Source& source, std::string_view from);

}  // namespace podlane
