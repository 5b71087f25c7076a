// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/event_loop.h"
#include "agent/source/directory_watches.h"
#include "agent/source/path_walk.h"
#include "agent/source/source.h"
#include "agent/source/state_file.h"

namespace podlane {

// Cluster state from a file, or from a directory of files (*.yaml, *.yml, *.json; hidden ones are not looked at),
// followed by inotify.
//
// A change counts when the writer closes the file, or renames it (or a link or directory on its way) into place.
// What is created is only looked at once it has been closed or has rested for a moment. A file that is bad changes
// nothing but the health, and so does a state that is missing as a whole: a removed file, a removed or emptied
// directory. A file that goes from a directory takes its objects along, after a moment in which it may come back:
// editors remove a file before they write it anew.
class FileSource final : public Source {
public:
    struct Options {
        std::string path;       // absolute
        std::string node_name;  // whose pods are kept
    };

    // The loop must outlive the source.
    [[nodiscard]] static Result<std::unique_ptr<FileSource>> create(EventLoop& loop, Options options);

    [[nodiscard]] const ClusterObjects& objects() const override { return objects_; }
    [[nodiscard]] const SourceHealth& health() const override { return health_; }
    void on_change(std::function<void()> callback) override { on_change_ = std::move(callback); }
    [[nodiscard]] Result<void> start() override;
    void reload() override;

private:
    using Clock = std::chrono::steady_clock;

    // Something to look at later.
    struct Later {
        Clock::time_point due;
        std::optional<FileStamp> stamp;  // to be read once it is still like this
    };
    // How far what is found can be trusted to be complete.
    enum class Trust { complete, settling };

    FileSource(EventLoop& loop, Options options, DirectoryWatches watches)
        : loop_(loop), options_(std::move(options)), watches_(std::move(watches)) {}

    // Noticing.
    void take_events();
    void take_event(const DirectoryWatches::Event& event);
    void touch(const std::string& path, const DirectoryWatches::Event& event);
    void look_later(const std::string& path, std::optional<FileStamp> stamp);
    void take_later();
    void schedule(std::chrono::milliseconds delay);
    void schedule_later();

    // Finding files.
    void locate();
    void follow_links();
    void watch_again();
    void list_directory(std::set<std::string>& found);
    void compare(const std::string& path, StateFile& file);
    [[nodiscard]] bool is_directory() const { return walk_.target == PathWalk::Target::directory; }

    // Reading and telling.
    void work();
    void read_file(const std::string& path);
    void drop_gone_files();
    void publish();
    [[nodiscard]] std::string current_problem() const;
    void log_changes(const SourceHealth& before) const;

    EventLoop& loop_;
    const Options options_;
    DirectoryWatches watches_;
    EventLoop::Watch inotify_watch_;
    EventLoop::Watch work_timer_;
    EventLoop::Watch later_timer_;
    std::function<void()> on_change_;

    PathWalk walk_;
    std::string watch_problem_;
    std::map<std::string, StateFile> files_;               // by path, as it is written
    std::map<Lookup, std::set<std::string>> linked_files_;  // by the lookups on their way
    std::optional<Trust> relocate_;                        // the way to the state changed
    std::set<std::string> dirty_;                          // to be read
    std::map<std::string, Later> later_;
    std::set<std::string> awaited_;  // were missing when last read; may come back within a moment
    bool links_changed_ = false;
    bool content_changed_ = false;

    ClusterObjects objects_;
    SourceHealth health_;
};

}  // namespace podlane
