// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/state/objects.h"
#include "maps/base/result.h"

namespace podlane {

// How a source of cluster state is doing, for `agentctl status`.
struct SourceHealth {
    bool in_sync = false;  // a complete, good state has been read at least once
    std::string problem;   // empty: all well. Otherwise one line that names file and line, object or endpoint
    std::vector<ObjectWarning> warnings;  // objects that could not be taken from an otherwise good state

    bool operator==(const SourceHealth&) const = default;
};

// Where nodes and pods come from. Keeps its objects current by itself, in the event loop; a state that is broken
// changes nothing but the health.
class Source {
public:
    Source() = default;
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    virtual ~Source() = default;

    // The last good state.
    [[nodiscard]] virtual const ClusterObjects& objects() const = 0;
    [[nodiscard]] virtual const SourceHealth& health() const = 0;
    // Called after every change of objects() or health(); set before start.
    virtual void on_change(std::function<void()> callback) = 0;
    // Begins to read and to follow. Afterwards objects() and health() hold what there is so far. An error is one
    // that no change of the state can mend.
    [[nodiscard]] virtual Result<void> start() = 0;
    // Looks again at everything, in case a change went unnoticed (SIGHUP).
    virtual void reload() = 0;
};

}  // namespace podlane
