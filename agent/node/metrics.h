// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/node/node_agent.h"
#include "agent/observe/map_census.h"

namespace podlane {

// Everything that is told to Prometheus (docs/metrics.md). Reads the counters from the pinned maps; what cannot be read
// is left out. Takes milliseconds with thousands of nodes, and changes nothing.
[[nodiscard]] std::string metrics_text(const NodeAgent& agent, const MapCensus& census);

}  // namespace podlane
