// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
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

// How often one kind of objects was asked for, since the start.
struct SourceActivity {
    std::string_view resource;   // "nodes"
    std::uint64_t lists = 0;     // read whole
    std::uint64_t watches = 0;   // begun
    std::uint64_t failures = 0;  // requests that failed, or were refused
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
    // Of a source that asks a server.
    [[nodiscard]] virtual std::vector<SourceActivity> activity() const { return {}; }
    // Called after every change of objects() or health(); set before start.
    virtual void on_change(std::function<void()> callback) = 0;
    // Begins to read and to follow. Afterwards objects() and health() hold what there is so far. An error is one
    // that no change of the state can mend.
    [[nodiscard]] virtual Result<void> start() = 0;
    // Looks again at everything, in case a change went unnoticed (SIGHUP).
    virtual void reload() = 0;
};

}  // namespace podlane
