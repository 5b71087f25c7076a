// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/migrate/facts.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane::migrate {

// Keeps other agentctl that change this node away, by a lock on the agent's run directory, until the Fd is closed; it
// ends with the process. An error where another one has it. Without a run directory nothing is podlane's, and there is
// nothing to lock: the Fd is not valid.
[[nodiscard]] Result<Fd> lock_out_others(const Place& place);

}  // namespace podlane::migrate
