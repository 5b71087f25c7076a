// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "agent/state/objects.h"
#include "maps/base/result.h"

namespace podlane {

// The last good state of a source that may be away when the agent starts. Below two lines of header it is a List of
// Nodes and Pods, which the file source reads as well.
struct SavedState {
    std::string node_name;  // whose pods are in it
    std::string server;     // where it came from
    std::string saved_at;   // RFC 3339, UTC
    ClusterObjects objects;
};

// Replaces the file in one step, with a checksum, mode 0600. Makes its directory.
[[nodiscard]] Result<void> save_state(const std::string& path, const SavedState& state);

// An error: there is none (ENOENT), it is damaged, or is that of another node or server. `origin` becomes that of
// every object.
[[nodiscard]] Result<SavedState> load_state(const std::string& path, const SavedState& expected,
                                            const std::string& origin);
// The same of a server that several names may stand for: `is_ours` is asked, `expected.server` is not looked at.
[[nodiscard]] Result<SavedState> load_state(const std::string& path, const SavedState& expected,
                                            const std::string& origin,
                                            const std::function<bool(std::string_view server)>& is_ours);

}  // namespace podlane
