// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace podlane {

// A name as the kernel looks it up on the way along a path. The directory is a real one: no link on its way.
struct Lookup {
    std::string directory;
    std::string name;

    auto operator<=>(const Lookup&) const = default;
};

struct PathWalk {
    enum class Target { file, directory, other, none };

    // Every name whose change can lead the path elsewhere: also those of links, and where the links point.
    std::vector<Lookup> lookups;
    Target target = Target::none;
    std::string real_path;  // without links; where the walk ended
    int error = 0;          // errno, where the target is none

    bool operator==(const PathWalk&) const = default;
};

// Follows an absolute path name by name, as path_resolution(7) does. ".." is taken of the real directory.
[[nodiscard]] PathWalk walk_path(const std::string& path);

// "/" + "etc" is "/etc".
[[nodiscard]] std::string join_path(const std::string& directory, const std::string& name);

}  // namespace podlane
