// SPDX-License-Identifier: Apache-2.0
#include "agent/source/directory_watches.h"

#include <sys/inotify.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace podlane {
namespace {

constexpr std::uint32_t name_events = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

}  // namespace

Result<DirectoryWatches> DirectoryWatches::create() {
    Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify.valid()) {
        const int code = errno;
        return code == EMFILE ? fail_errno(code, "create an inotify instance (fs.inotify.max_user_instances)")
                              : fail_errno(code, "create an inotify instance");
    }
    return DirectoryWatches(std::move(inotify));
}

Result<void> DirectoryWatches::watch(const std::string& directory, Interest interest) {
    std::uint32_t mask = name_events | (interest == Interest::names ? 0U : IN_CLOSE_WRITE);
    for (auto& [descriptor, watched] : watched_) {
        const bool asked_for = watched.generation == generation_ && watched.directory == directory;
        if (asked_for && (watched.mask & mask) == mask) {
            return {};
        }
        mask |= asked_for ? watched.mask : 0U;
    }
    const int descriptor = inotify_add_watch(inotify_.get(), directory.c_str(), mask | IN_ONLYDIR);
    if (descriptor < 0) {
        const int code = errno;
        return code == ENOSPC ? fail_errno(code, "watch {} (fs.inotify.max_user_watches)", directory)
                              : fail_errno(code, "watch {}", directory);
    }
    watched_[descriptor] = {directory, mask, generation_};
    return {};
}

void DirectoryWatches::end_update() {
    std::erase_if(watched_, [this](const auto& entry) {
        const bool old = entry.second.generation != generation_;
        if (old) {
            inotify_rm_watch(inotify_.get(), entry.first);
        }
        return old;
    });
}

Result<DirectoryWatches::Events> DirectoryWatches::take() {
    Events events;
    alignas(inotify_event) std::array<char, 64UL * 1024> buffer{};
    for (;;) {
        const auto size = read(inotify_.get(), buffer.data(), buffer.size());
        if (size <= 0) {
            const bool drained = size < 0 && (errno == EAGAIN || errno == EINTR);
            return drained ? Result<Events>(std::move(events)) : fail_errno(errno, "read inotify events");
        }
        std::size_t at = 0;
        while (at < static_cast<std::size_t>(size)) {
            inotify_event header{};
            std::memcpy(&header, buffer.data() + at, sizeof(header));
            const char* name = buffer.data() + at + sizeof(header);
            at += sizeof(header) + header.len;
            events.overflow |= (header.mask & IN_Q_OVERFLOW) != 0;
            const auto watched = watched_.find(header.wd);
            if (watched == watched_.end()) {
                continue;
            }
            events.list.push_back({watched->second.directory, header.len > 0 ? name : "", header.mask});
            if ((header.mask & IN_IGNORED) != 0) {
                watched_.erase(watched);
            }
        }
    }
}

}  // namespace podlane
