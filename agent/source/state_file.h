// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/object_reader.h"
#include "agent/source/path_walk.h"
#include "agent/state/objects.h"

namespace podlane {

// Tells one content of a file from another, as far as the file system does.
struct FileStamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = 0;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;

    bool operator==(const FileStamp&) const = default;
};
[[nodiscard]] std::optional<FileStamp> stamp_of(const std::string& path);

// One file of the state: what it held when it was last good.
struct StateFile {
    ReadObjects content;
    bool good = false;                                                   // has been good at least once
    bool gone = false;                                                   // is not there any more
    std::string problem;                                                 // what is wrong with it now; empty: nothing
    std::optional<std::chrono::steady_clock::time_point> missing_since;  // not there, but may come back in a moment
    FileStamp stamp;                                                     // of what was read last
    bool conclusive = true;     // the stamp is old enough to tell a later write from the one that was read
    std::vector<Lookup> links;  // the way to its text, where that leads through links
};

// *.yaml, *.yml, *.json, and not hidden.
[[nodiscard]] bool is_state_file_name(std::string_view name);

enum class LoadOutcome { loaded, missing };

// Reads the file anew. When it is bad the content stays and `problem` says why. Missing: there is nothing by this
// name, and nothing was changed.
[[nodiscard]] LoadOutcome load_state_file(const std::string& path, const std::string& node_name, StateFile& file);

// All files together, in the order of their names: of two definitions of one object the first one counts, the
// other becomes a warning.
struct MergedState {
    ClusterObjects objects;
    std::vector<ObjectWarning> warnings;
};
[[nodiscard]] MergedState merge(const std::map<std::string, StateFile>& files);

}  // namespace podlane
