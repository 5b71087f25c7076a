// SPDX-License-Identifier: Apache-2.0
#include "agent/source/path_walk.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <optional>
#include <string_view>

namespace podlane {
namespace {

constexpr int most_links = 40;  // as in the kernel

// Puts the names of `path` before those that are still to come.
void put_before(std::deque<std::string>& names, std::string_view path) {
    std::vector<std::string> parts;
    while (!path.empty()) {
        const auto slash = path.find('/');
        if (slash != 0) {
            parts.emplace_back(path.substr(0, slash));
        }
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    }
    names.insert(names.begin(), parts.begin(), parts.end());
}

std::string parent_of(const std::string& directory) {
    const auto slash = directory.rfind('/');
    return slash == 0 || slash == std::string::npos ? "/" : directory.substr(0, slash);
}

std::optional<std::string> read_link(const std::string& path) {
    std::array<char, PATH_MAX> text{};
    const auto size = readlink(path.c_str(), text.data(), text.size());
    return size < 0 ? std::nullopt : std::optional(std::string(text.data(), static_cast<std::size_t>(size)));
}

PathWalk failed(PathWalk walk, int error) {
    walk.target = PathWalk::Target::none;
    walk.error = error;
    return walk;
}

PathWalk::Target target_of(mode_t mode) {
    if (S_ISREG(mode)) {
        return PathWalk::Target::file;
    }
    return S_ISDIR(mode) ? PathWalk::Target::directory : PathWalk::Target::other;
}

}  // namespace

std::string join_path(const std::string& directory, const std::string& name) {
    return directory.ends_with('/') ? directory + name : directory + '/' + name;
}

PathWalk walk_path(const std::string& path) {
    PathWalk walk;
    walk.target = PathWalk::Target::directory;
    walk.real_path = "/";
    std::deque<std::string> names;
    put_before(names, path);
    int links = 0;
    while (!names.empty()) {
        const std::string name = std::move(names.front());
        names.pop_front();
        if (walk.target != PathWalk::Target::directory) {
            return failed(std::move(walk), ENOTDIR);
        }
        if (name == "." || name == "..") {
            walk.real_path = name == "." ? walk.real_path : parent_of(walk.real_path);
            continue;
        }
        walk.lookups.push_back({walk.real_path, name});
        const auto full = join_path(walk.real_path, name);
        struct stat status{};
        if (lstat(full.c_str(), &status) != 0) {
            return failed(std::move(walk), errno);
        }
        if (!S_ISLNK(status.st_mode)) {
            walk.real_path = full;
            walk.target = target_of(status.st_mode);
            continue;
        }
        const auto link = read_link(full);
        if (!link || ++links > most_links) {
            return failed(std::move(walk), link ? ELOOP : errno);
        }
        if (link->starts_with('/')) {
            walk.real_path = "/";
        }
        put_before(names, *link);
    }
    return walk;
}

}  // namespace podlane
