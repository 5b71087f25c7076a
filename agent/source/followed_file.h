// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/event_loop.h"
#include "agent/source/directory_watches.h"
#include "agent/source/path_walk.h"
#include "maps/base/result.h"

namespace podlane {

// One small file, or a link to one, that may come and go, followed by inotify: what it holds each time that this
// changes. A change counts when the writer closes the file, or renames it (or a link or directory on its way, as the
// `..data` of a mounted ConfigMap) into place. A file that goes may come back within a moment: editors remove a file
// before they write it anew.
class FollowedFile {
public:
    using Text = std::optional<std::string>;  // nothing: there is no file
    // An error names the file, which is there and cannot be read.
    using Callback = std::function<void(const Result<Text>&)>;

    // Calls back with what there is before it returns. `path` is absolute; the loop must outlive the file.
    [[nodiscard]] static Result<std::unique_ptr<FollowedFile>> create(EventLoop& loop, std::string path,
                                                                      Callback callback);

private:
    FollowedFile(EventLoop& loop, std::string path, Callback callback, DirectoryWatches watches);
    void take_events();
    [[nodiscard]] bool counts(const DirectoryWatches::Event& event) const;
    void look_later(std::chrono::milliseconds delay);
    void look();
    void watch_way();
    void watch(const Lookup& lookup, DirectoryWatches::Interest interest);

    EventLoop& loop_;
    const std::string path_;
    const Callback callback_;
    DirectoryWatches watches_;
    PathWalk walk_;
    std::optional<Result<Text>> known_;  // what was told last
    bool missed_ = false;                // it was there, and was not at the last look
    EventLoop::Watch inotify_watch_;
    EventLoop::Watch pending_;
};

}  // namespace podlane
