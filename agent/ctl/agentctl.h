// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "agent/ctl/command.h"
#include "maps/base/result.h"

namespace podlane::ctl {

// The whole of agentctl: `arguments` without the program's name; data to `out`, messages to `err`. Reads
// PODLANE_RUN_DIR and PODLANE_BPFFS.
[[nodiscard]] ExitStatus run_agentctl(std::vector<std::string> arguments, std::ostream& out, std::ostream& err);

// "5" and "5s" are seconds, "500ms" milliseconds; more than zero.
[[nodiscard]] Result<std::chrono::milliseconds> parse_timeout(std::string_view text);

}  // namespace podlane::ctl
