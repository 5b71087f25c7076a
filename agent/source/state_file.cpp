// SPDX-License-Identifier: Apache-2.0
#include "agent/source/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "maps/base/fd.h"

namespace podlane {
namespace {

constexpr std::int64_t largest_file = 512L * 1024 * 1024;

std::int64_t nanoseconds(const timespec& time) {
    return time.tv_sec * 1'000'000'000L + time.tv_nsec;
}

FileStamp stamp_from(const struct stat& status) {
    return {.device = status.st_dev,
            .inode = status.st_ino,
            .size = status.st_size,
            .modified_ns = nanoseconds(status.st_mtim),
            .changed_ns = nanoseconds(status.st_ctim)};
}

// File systems keep time in ticks: a write within the same tick as the last one leaves the stamp as it is.
bool is_conclusive(const FileStamp& stamp) {
    constexpr auto tick = std::chrono::milliseconds(50);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::nanoseconds(stamp.changed_ns) + tick < now;
}

bool exists(const std::string& path) {
    struct stat status{};
    return lstat(path.c_str(), &status) == 0;
}

Result<ReadObjects> read_open_file(int fd, const std::string& path, const std::string& node_name, StateFile& file) {
    struct stat status{};
    if (fstat(fd, &status) != 0) {
        return fail_errno(errno, "read {}", path);
    }
    file.stamp = stamp_from(status);
    file.conclusive = is_conclusive(file.stamp);
    if (!S_ISREG(status.st_mode)) {
        return fail("{} is not a regular file", path);
    }
    if (status.st_size == 0) {
        return fail("{}:1: the file is empty", path);
    }
    if (status.st_size > largest_file) {
        return fail("{} is larger than {} MiB", path, largest_file / (1024L * 1024));
    }
    const auto format = path.ends_with(".json") ? TextFormat::json : TextFormat::detect;
    return read_objects_from_file(fd, {.name = path, .node_name = node_name, .format = format});
}

class Merger {
public:
    MergedState run(const std::map<std::string, StateFile>& files) {
        for (const auto& [path, file] : files) {
            for (const auto& node : file.content.nodes) {
                add(merged_.objects.nodes, node.name, node, "node");
            }
            for (const auto& pod : file.content.pods) {
                add(merged_.objects.pods, pod.name_space + '/' + pod.name, pod, "pod");
            }
            merged_.warnings.insert(merged_.warnings.end(), file.content.warnings.begin(), file.content.warnings.end());
        }
        return std::move(merged_);
    }

private:
    template <typename Object>
    void add(std::map<std::string, Object>& objects, const std::string& name, const Object& object,
             std::string_view kind) {
        const auto [first, added] = objects.try_emplace(name, object);
        if (!added) {
            merged_.warnings.push_back({fmt::format("{} {}", kind, name), "metadata.name",
                                        fmt::format("is defined twice: the one at {} counts", first->second.origin),
                                        object.origin});
        }
    }

    MergedState merged_;
};

}  // namespace

bool is_state_file_name(std::string_view name) {
    const bool known = name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
    return known && !name.starts_with('.');
}

std::optional<FileStamp> stamp_of(const std::string& path) {
    struct stat status{};
    return stat(path.c_str(), &status) == 0 ? std::optional(stamp_from(status)) : std::nullopt;
}

LoadOutcome load_state_file(const std::string& path, const std::string& node_name, StateFile& file) {
    // Not blocking: somebody may have put a FIFO there.
    const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    const int code = errno;
    if (!fd.valid() && !exists(path)) {
        return LoadOutcome::missing;
    }
    file.gone = false;
    auto content = fd.valid() ? read_open_file(fd.get(), path, node_name, file)
                              : Result<ReadObjects>(fail_errno(code, "read {}", path));
    if (!content) {
        file.problem = std::move(content.error().message);
        return LoadOutcome::loaded;
    }
    file.content = std::move(*content);
    file.good = true;
    file.problem.clear();
    return LoadOutcome::loaded;
}

MergedState merge(const std::map<std::string, StateFile>& files) {
    return Merger().run(files);
}

}  // namespace podlane
