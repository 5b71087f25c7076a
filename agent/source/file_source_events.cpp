// SPDX-License-Identifier: Apache-2.0
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "agent/log.h"
#include "agent/source/file_source.h"
#include "agent/source/state_file.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;

// Changes that come together are handled together.
constexpr milliseconds coalescing(10);
// What was created without being closed or renamed is read when it has not changed for this long.
constexpr milliseconds rest(200);

constexpr std::uint32_t done_or_gone = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;

// A link to something is complete from the start. A file that was just created is not: it will be closed.
bool is_created_complete(const std::string& path) {
    struct stat status{};
    if (lstat(path.c_str(), &status) != 0) {
        return false;
    }
    return S_ISLNK(status.st_mode) || (S_ISREG(status.st_mode) && status.st_nlink > 1);
}

}  // namespace

void FileSource::take_events() {
    const auto events = watches_.take();
    if (!events) {
        log::error("cluster state: {}", events.error().message);
        return;
    }
    if (events->overflow) {
        log::info("cluster state: too many changes at once, looking at every file");
        relocate(Trust::settling);
    }
    for (const auto& event : events->list) {
        take_event(event);
    }
    if (relocate_ || !dirty_.empty()) {
        schedule_work(coalescing);
    }
    schedule_later();
}

void FileSource::take_event(const DirectoryWatches::Event& event) {
    const Lookup lookup{event.directory, event.name};
    if (event.name.empty()) {
        relocate(Trust::settling);  // a watched directory is gone
    }
    if (std::ranges::find(walk_.lookups, lookup) != walk_.lookups.end()) {
        if ((event.mask & IN_CLOSE_WRITE) == 0) {
            relocate((event.mask & IN_MOVED_TO) != 0 ? Trust::complete : Trust::settling);
        }
        if (!is_directory()) {
            touch(options_.path, event);
        }
    } else if (is_directory() && event.directory == walk_.real_path && is_state_file_name(event.name)) {
        touch(join_path(options_.path, event.name), event);
    }
    const auto linked = linked_files_.find(lookup);
    if (linked != linked_files_.end()) {
        for (const auto& path : linked->second) {
            touch(path, event);
        }
    }
}

void FileSource::touch(const std::string& path, const DirectoryWatches::Event& event) {
    if ((event.mask & done_or_gone) != 0 || is_created_complete(join_path(event.directory, event.name))) {
        dirty_.insert(path);
    } else {
        look_later(path, stamp_of(path));
    }
}

void FileSource::relocate(Trust trust) {
    relocate_ = std::max(relocate_.value_or(trust), trust);
}

void FileSource::look_later(const std::string& path, std::optional<FileStamp> stamp) {
    later_.insert_or_assign(path, Later{Clock::now() + rest, stamp});
}

void FileSource::take_later() {
    const auto now = Clock::now();
    for (auto& [path, later] : later_) {
        if (later.due > now) {
            continue;
        }
        const auto stamp = stamp_of(path);
        if (later.stamp && stamp && stamp != later.stamp) {
            later = {now + rest, stamp};
        } else {
            dirty_.insert(path);
        }
    }
    std::erase_if(later_, [this](const auto& entry) { return dirty_.contains(entry.first); });
    work();
}

void FileSource::schedule_work(milliseconds delay) {
    if (work_timer_.active()) {
        return;
    }
    auto timer = loop_.after(delay, [this] {
        work_timer_.cancel();
        work();
    });
    if (!timer) {
        log::error("cluster state: {}", timer.error().message);
        work();
        return;
    }
    work_timer_ = std::move(*timer);
}

void FileSource::schedule_later() {
    later_timer_.cancel();
    if (later_.empty()) {
        return;
    }
    const auto due =
        std::ranges::min_element(later_, {}, [](const auto& entry) { return entry.second.due; })->second.due;
    const auto delay = std::chrono::ceil<milliseconds>(due - Clock::now());
    auto timer = loop_.after(std::max(delay, milliseconds(1)), [this] {
        later_timer_.cancel();
        take_later();
    });
    if (!timer) {
        log::error("cluster state: {}", timer.error().message);
        return;
    }
    later_timer_ = std::move(*timer);
}

}  // namespace podlane
