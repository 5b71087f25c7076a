// SPDX-License-Identifier: Apache-2.0
#include "agent/source/followed_file.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "agent/files.h"
#include "agent/log.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;

// Changes that come together are handled together.
constexpr milliseconds coalescing(50);
// A file that is gone may come back within this time.
constexpr milliseconds grace(300);
// Far more than anyone writes: a wrong file is not read to its end. A ConfigMap holds no more.
constexpr std::size_t largest_file = 1024UL * 1024;

Result<FollowedFile::Text> read_text(const std::string& path) {
    auto text = read_small_file(path, largest_file);
    if (text) {
        return std::move(*text);
    }
    const int code = text.error().code;
    return code == ENOENT || code == ENOTDIR ? Result<FollowedFile::Text>(std::nullopt)
                                             : std::unexpected(std::move(text.error()));
}

bool same(const Result<FollowedFile::Text>& one, const Result<FollowedFile::Text>& other) {
    return one && other ? *one == *other : !one && !other && one.error().message == other.error().message;
}

}  // namespace

FollowedFile::FollowedFile(EventLoop& loop, std::string path, Callback callback, DirectoryWatches watches)
    : loop_(loop), path_(std::move(path)), callback_(std::move(callback)), watches_(std::move(watches)) {}

Result<std::unique_ptr<FollowedFile>> FollowedFile::create(EventLoop& loop, std::string path, Callback callback) {
    auto watches = DirectoryWatches::create();
    if (!watches) {
        return std::unexpected(watches.error());
    }
    std::unique_ptr<FollowedFile> file(
        new FollowedFile(loop, std::move(path), std::move(callback), std::move(*watches)));
    auto watch =
        loop.watch(file->watches_.fd(), EPOLLIN, [followed = file.get()](std::uint32_t) { followed->take_events(); });
    if (!watch) {
        return std::unexpected(watch.error());
    }
    file->inotify_watch_ = std::move(*watch);
    file->look();
    return file;
}

void FollowedFile::take_events() {
    const auto events = watches_.take();
    if (!events) {
        log::error("{}: {}", path_, events.error().message);
        return;
    }
    if (events->overflow || std::ranges::any_of(events->list, [this](const auto& event) { return counts(event); })) {
        look_later(coalescing);
    }
}

bool FollowedFile::counts(const DirectoryWatches::Event& event) const {
    if (event.name.empty()) {
        return true;  // a watched directory is gone
    }
    if (std::ranges::find(walk_.lookups, Lookup{event.directory, event.name}) == walk_.lookups.end()) {
        return false;
    }
    // A file that was just created is still to be written and closed; a link to one is not.
    struct stat status{};
    const bool unfinished = event.mask == IN_CREATE &&
                            lstat(join_path(event.directory, event.name).c_str(), &status) == 0 &&
                            S_ISREG(status.st_mode) && status.st_nlink == 1;
    return !unfinished;
}

void FollowedFile::look_later(milliseconds delay) {
    if (pending_.active()) {
        return;
    }
    auto timer = loop_.after(delay, [this] {
        pending_.cancel();
        look();
    });
    if (timer) {
        pending_ = std::move(*timer);
    } else {
        look();
    }
}

void FollowedFile::look() {
    watch_way();
    auto found = read_text(path_);
    const bool gone = found && !*found && known_ && !(*known_ && !**known_);
    if (gone && !std::exchange(missed_, true)) {
        look_later(grace);
        return;
    }
    missed_ = false;
    if (!known_ || !same(*known_, found)) {
        known_ = std::move(found);
        callback_(*known_);
    }
}

void FollowedFile::watch_way() {
    // Until nothing has changed between walking the way and watching it.
    constexpr int most_attempts = 10;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        walk_ = walk_path(path_);
        watches_.begin_update();
        for (const auto& lookup : walk_.lookups) {
            const bool last = &lookup == &walk_.lookups.back();
            watch(lookup, last ? DirectoryWatches::Interest::names_and_data : DirectoryWatches::Interest::names);
        }
        watches_.end_update();
        if (walk_path(path_) == walk_) {
            return;
        }
    }
    look_later(grace);
}

void FollowedFile::watch(const Lookup& lookup, DirectoryWatches::Interest interest) {
    const auto watched = watches_.watch(lookup.directory, interest);
    if (watched) {
        return;
    }
    const int code = watched.error().code;
    if (code != ENOENT && code != ENOTDIR && code != EACCES) {
        log::warning("{}: {}", path_, watched.error().message);
    }
}

}  // namespace podlane
