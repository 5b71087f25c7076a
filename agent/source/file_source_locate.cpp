// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "agent/source/file_source.h"
#include "agent/source/state_file.h"

namespace podlane {
namespace {

using Interest = DirectoryWatches::Interest;

struct CloseDirectory {
    void operator()(DIR* directory) const { closedir(directory); }
};

}  // namespace

// Finds out where the path leads by now, watches every step of the way, and notes which files have changed.
void FileSource::locate() {
    const Trust trust = std::exchange(relocate_, std::nullopt).value_or(Trust::settling);
    watch_way();
    if (walk_.target != PathWalk::Target::none) {
        missing_since_.reset();
    }
    switch (walk_.target) {
        case PathWalk::Target::file:
            return locate_file(trust);
        case PathWalk::Target::directory:
            return locate_directory(trust);
        case PathWalk::Target::other:
            return;
        case PathWalk::Target::none:
            break;
    }
    dirty_.clear();
    if (!missing_since_) {
        missing_since_ = Clock::now();
        look_later(options_.path, std::nullopt);
    }
}

void FileSource::locate_file(Trust trust) {
    for (auto& [path, file] : files_) {
        file.gone = path != options_.path;
    }
    compare(options_.path, trust);
}

void FileSource::locate_directory(Trust trust) {
    dirty_.erase(options_.path);
    later_.erase(options_.path);
    const auto found = list_directory();
    for (const auto& path : found) {
        compare(path, trust);
    }
    for (auto& [path, file] : files_) {
        if (path == options_.path) {
            file.gone = true;  // the path led to a file before
        } else if (!found.contains(path)) {
            dirty_.insert(path);
        }
    }
}

std::set<std::string> FileSource::list_directory() {
    std::set<std::string> found;
    const std::unique_ptr<DIR, CloseDirectory> directory(opendir(options_.path.c_str()));
    if (!directory) {
        watch_problem_ = fail_errno(errno, "list {}", options_.path).error().message;
        for (const auto& [path, file] : files_) {
            found.insert(path);
        }
        return found;
    }
    while (const dirent* entry = readdir(directory.get())) {
        if (is_state_file_name(entry->d_name)) {
            found.insert(join_path(options_.path, entry->d_name));
        }
    }
    return found;
}

void FileSource::compare(const std::string& path, Trust trust) {
    const auto known = files_.find(path);
    const auto stamp = stamp_of(path);
    const bool same = known != files_.end() && stamp && *stamp == known->second.stamp && known->second.conclusive &&
                      !known->second.gone && !known->second.missing_since;
    if (same || dirty_.contains(path)) {
        return;
    }
    // What has been bad so far may be read too early: nothing is lost.
    if (trust == Trust::complete || !stamp) {
        dirty_.insert(path);
    } else {
        look_later(path, stamp);
    }
}

void FileSource::watch_way() {
    // Until nothing has changed between walking the way and watching it.
    constexpr int most_attempts = 10;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        walk_ = walk_path(options_.path);
        watch_everything();
        if (walk_path(options_.path) == walk_) {
            return;
        }
    }
    relocate(Trust::settling);
}

void FileSource::watch_everything() {
    watch_problem_.clear();
    watches_.begin_update();
    for (const auto& lookup : walk_.lookups) {
        const bool last = &lookup == &walk_.lookups.back();
        watch(lookup.directory, last && !is_directory() ? Interest::names_and_data : Interest::names);
    }
    if (is_directory()) {
        watch(walk_.real_path, Interest::names_and_data);
    }
    for (const auto& [lookup, paths] : linked_files_) {
        watch(lookup.directory, Interest::names_and_data);
    }
    watches_.end_update();
}

void FileSource::watch(const std::string& directory, Interest interest) {
    const auto watched = watches_.watch(directory, interest);
    if (watched) {
        return;
    }
    const int code = watched.error().code;
    const bool raced = code == ENOENT || code == ENOTDIR;
    const bool closed_ancestor = code == EACCES && interest == Interest::names;
    if (!raced && !closed_ancestor && watch_problem_.empty()) {
        watch_problem_ = watched.error().message;
    }
}

// Watches the ways of links in the directory, after some of them have changed.
void FileSource::follow_links() {
    const auto relinked = std::exchange(relinked_, {});
    linked_files_.clear();
    for (const auto& [path, file] : files_) {
        for (const auto& lookup : file.links) {
            linked_files_[lookup].insert(path);
        }
    }
    watch_everything();
    for (const auto& path : relinked) {
        const auto known = files_.find(path);
        if (known != files_.end() && !known->second.links.empty() && walk_path(path).lookups != known->second.links) {
            dirty_.insert(path);  // it led elsewhere before its way was watched
        }
    }
}

}  // namespace podlane
