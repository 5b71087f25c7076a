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
        std::optional<FileStamp> stamp;  // read it once it has rested like this; none: just look again
    };
    // What a new way to the state says about what is found there.
    enum class Trust {
        settling,  // it may still be written
        complete,  // it was renamed into place
    };

    FileSource(EventLoop& loop, Options options, DirectoryWatches watches)
        : loop_(loop), options_(std::move(options)), watches_(std::move(watches)) {}

    // Noticing changes: file_source_events.cpp.
    void take_events();
    void take_event(const DirectoryWatches::Event& event);
    void touch(const std::string& path, const DirectoryWatches::Event& event);
    void look_later(const std::string& path, std::optional<FileStamp> stamp);
    void take_later();
    void relocate(Trust trust);
    void schedule_work(std::chrono::milliseconds delay);
    void schedule_later();

    // Finding the files and what to watch: file_source_locate.cpp.
    void locate();
    void locate_file(Trust trust);
    void locate_directory(Trust trust);
    [[nodiscard]] std::set<std::string> list_directory();
    void compare(const std::string& path, Trust trust);
    void watch_way();
    void watch_everything();
    void watch(const std::string& directory, DirectoryWatches::Interest interest);
    void follow_links();

    // Reading and telling: file_source.cpp.
    void work();
    void read_dirty_files(Clock::time_point until);
    void read_file(const std::string& path);
    void note_missing(const std::string& path);
    void drop_gone_files();
    void publish();
    [[nodiscard]] bool complete() const;
    [[nodiscard]] std::string current_problem() const;
    [[nodiscard]] bool is_directory() const { return walk_.target == PathWalk::Target::directory; }

    EventLoop& loop_;
    const Options options_;
    DirectoryWatches watches_;
    EventLoop::Watch inotify_watch_;
    EventLoop::Watch work_timer_;
    EventLoop::Watch later_timer_;
    std::function<void()> on_change_;

    PathWalk walk_;                                   // the way to the state, as it was found last
    std::optional<Clock::time_point> missing_since_;  // there is nothing at its end
    std::string watch_problem_;
    std::map<std::string, StateFile> files_;                // by path, as it is written
    std::map<Lookup, std::set<std::string>> linked_files_;  // files of a directory, by the lookups of their links
    std::set<std::string> relinked_;                        // files whose links have changed

    std::optional<Trust> relocate_;  // the way to the state has changed
    std::set<std::string> dirty_;    // to be read
    std::map<std::string, Later> later_;
    bool content_changed_ = false;

    ClusterObjects objects_;
    SourceHealth health_;
};

}  // namespace podlane
