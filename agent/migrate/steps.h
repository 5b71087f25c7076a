// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/migrate/facts.h"
#include "agent/migrate/plan.h"
#include "agent/migrate/record.h"
#include "agent/migrate/verify.h"
#include "maps/base/result.h"

// What changes the node. Each step tells every thing that it has done at once, in a line, so that what was told before
// an error is what was done; an error says how to go on. Each may be run again.
namespace podlane::migrate {

using Say = std::function<void(const std::string&)>;

// Of a clear plan for facts that were collected with Probe::peers. Writes the record, unless there is one, and hands
// the pods over.
[[nodiscard]] Result<void> apply(const Facts& facts, const Plan& plan, const Place& place, const Say& say);

// Of verified facts. Brings the record up to date, deletes flannel's device and waits until the agent has its own in
// place and all is verified again; then removes flannel's rules, unless a pod on the bridge that is not the agent's
// needs them, and the bridge if nothing is on it. Returns the last verification: one that has not passed means that no
// rule was removed.
[[nodiscard]] Result<std::vector<Check>> commit(const Facts& facts, const Place& place, const Say& say);

// What a rollback works on. Paths of `place` are those that agentctl sees.
struct WayBack {
    Place place;
    std::optional<Record> record;  // nothing: apply was never run, so that flannel has everything of its own
    RecordedAgent agent;           // paths as on the node
};
// Refuses while an agent runs. flannel's device and rules first, then podlane's part goes (which prints its own lines
// on stdout), so that packets have a way throughout.
[[nodiscard]] Result<void> roll_back(const WayBack& way, const Say& say);

}  // namespace podlane::migrate
