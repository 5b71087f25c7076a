// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/ctl/command.h"
#include "agent/ctl/map_entry.h"

// `agentctl map ...`: reads the pinned maps themselves, with or without an agent.
namespace podlane::ctl {

[[nodiscard]] Outcome<ExitStatus> map_list(const Context& context);
// All pinned maps when `names` is empty. JSON: [{"name","type","maxEntries","entries":[{"key","value"}]}], written
// as it is read, so that a large map needs no second copy of itself.
[[nodiscard]] Outcome<ExitStatus> map_dump(const Context& context, const std::vector<std::string>& names,
                                           Decoding decoding);
// JSON: {"key","value"}.
[[nodiscard]] Outcome<ExitStatus> map_get(const Context& context, const std::string& name, const std::string& key,
                                          Decoding decoding);
// JSON: [{"name","type","entries","maxEntries","memoryBytes"}].
[[nodiscard]] Outcome<ExitStatus> map_stats(const Context& context);

}  // namespace podlane::ctl
