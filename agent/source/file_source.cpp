// SPDX-License-Identifier: Apache-2.0
#include "agent/source/file_source.h"

#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/log.h"
#include "agent/source/source_log.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;

// So long may reading hold up the event loop; the rest waits for the next turn.
constexpr milliseconds longest_turn(100);
// A file that is gone may come back within this time.
constexpr milliseconds grace(200);

bool is_link(const std::string& path) {
    struct stat status{};
    return lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
}

}  // namespace

Result<std::unique_ptr<FileSource>> FileSource::create(EventLoop& loop, Options options) {
    auto watches = DirectoryWatches::create();
    if (!watches) {
        return std::unexpected(watches.error());
    }
    return std::unique_ptr<FileSource>(new FileSource(loop, std::move(options), std::move(*watches)));
}

Result<void> FileSource::start() {
    auto watch = loop_.watch(watches_.fd(), EPOLLIN, [this](std::uint32_t) { take_events(); });
    if (!watch) {
        return std::unexpected(watch.error());
    }
    inotify_watch_ = std::move(*watch);
    relocate_ = Trust::complete;
    locate();
    read_dirty_files(Clock::time_point::max());
    publish();
    schedule_later();
    if (relocate_) {
        schedule_work(milliseconds(0));
    }
    return {};
}

void FileSource::reload() {
    relocate(Trust::complete);
    schedule_work(milliseconds(0));
}

void FileSource::work() {
    if (relocate_) {
        locate();
    }
    read_dirty_files(Clock::now() + longest_turn);
    publish();
    schedule_later();
    if (!dirty_.empty() || relocate_) {
        schedule_work(milliseconds(0));
    }
}

void FileSource::read_dirty_files(Clock::time_point until) {
    while (!dirty_.empty() && Clock::now() < until) {
        const std::string path = std::move(dirty_.extract(dirty_.begin()).value());
        later_.erase(path);
        read_file(path);
    }
    if (!relinked_.empty()) {
        follow_links();
    }
    drop_gone_files();
}

void FileSource::read_file(const std::string& path) {
    StateFile fresh;
    const auto known = files_.find(path);
    StateFile& file = known == files_.end() ? fresh : known->second;
    if (is_directory()) {
        // Before the file is opened: a link that changes in between is noticed when its way is watched.
        auto links = is_link(path) ? walk_path(path).lookups : std::vector<Lookup>();
        if (links != file.links) {
            file.links = std::move(links);
            relinked_.insert(path);
        }
    }
    if (load_state_file(path, options_.node_name, file) == LoadOutcome::missing) {
        note_missing(path);
        return;
    }
    file.missing_since.reset();
    content_changed_ = true;
    if (known == files_.end()) {
        files_.emplace(path, std::move(fresh));
    }
}

void FileSource::note_missing(const std::string& path) {
    if (!is_directory()) {
        relocate(Trust::settling);  // it went after its way had been walked
        return;
    }
    const auto known = files_.find(path);
    if (known == files_.end() || known->second.gone) {
        return;
    }
    StateFile& file = known->second;
    const auto now = Clock::now();
    if (!file.missing_since) {
        file.missing_since = now;
    }
    if (now - *file.missing_since < grace) {
        look_later(path, std::nullopt);
        return;
    }
    file.gone = true;
    file.problem.clear();
}

void FileSource::drop_gone_files() {
    if (walk_.target == PathWalk::Target::none) {
        return;
    }
    // A state that is gone as a whole is kept until there is another.
    const bool another =
        std::ranges::any_of(files_, [](const auto& entry) { return entry.second.good && !entry.second.gone; });
    if (!another) {
        return;
    }
    const auto dropped = std::erase_if(files_, [this](const auto& entry) {
        if (entry.second.gone && !entry.second.links.empty()) {
            relinked_.insert(entry.first);
        }
        return entry.second.gone;
    });
    content_changed_ |= dropped > 0;
    if (!relinked_.empty()) {
        follow_links();
    }
}

void FileSource::publish() {
    SourceHealth health{.in_sync = health_.in_sync, .problem = current_problem(), .warnings = health_.warnings};
    bool objects_changed = false;
    if (std::exchange(content_changed_, false)) {
        auto merged = merge(files_);
        health.warnings = std::move(merged.warnings);
        objects_changed = merged.objects != objects_;
        objects_ = std::move(merged.objects);
    }
    health.in_sync |= complete();
    const bool health_changed = health != health_;
    std::swap(health, health_);
    log_changes(health, *this, options_.path);
    if ((objects_changed || health_changed) && on_change_) {
        on_change_();
    }
}

// Everything that is there has been read and was good.
bool FileSource::complete() const {
    const bool found = walk_.target == PathWalk::Target::file || walk_.target == PathWalk::Target::directory;
    return found && !relocate_ && dirty_.empty() && !files_.empty() &&
           std::ranges::all_of(files_, [](const auto& entry) {
               return entry.second.good && entry.second.problem.empty() && !entry.second.gone;
           });
}

std::string FileSource::current_problem() const {
    if (walk_.target == PathWalk::Target::none) {
        const bool waiting = health_.in_sync && missing_since_ && Clock::now() - *missing_since_ < grace;
        return waiting ? health_.problem : fmt::format("read {}: {}", options_.path, std::strerror(walk_.error));
    }
    if (walk_.target == PathWalk::Target::other) {
        return fmt::format("{} is neither a file nor a directory", options_.path);
    }
    if (files_.empty() && !later_.empty()) {
        return health_.problem;  // what was just created is waiting to be read
    }
    if (std::ranges::all_of(files_, [](const auto& entry) { return entry.second.gone; })) {
        return fmt::format("{} holds no state file (*.yaml, *.yml, *.json)", options_.path);
    }
    const auto bad = [](const auto& entry) { return !entry.second.problem.empty(); };
    const auto first = std::ranges::find_if(files_, bad);
    if (first == files_.end()) {
        return watch_problem_;
    }
    const auto others = std::ranges::count_if(files_, bad) - 1;
    return others == 0 ? first->second.problem
                       : fmt::format("{} (and {} more bad files)", first->second.problem, others);
}

}  // namespace podlane
