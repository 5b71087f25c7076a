// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

// The directories that are watched by inotify(7), by their paths without links. What is watched is renewed as a
// whole: begin_update(), watch() for each, end_update().
class DirectoryWatches {
public:
    enum class Interest {
        names,           // names come, go and are renamed
        names_and_data,  // and files are closed after writing
    };
    struct Event {
        std::string directory;
        std::string name;        // empty: the directory itself is gone
        std::uint32_t mask = 0;  // IN_CREATE, IN_CLOSE_WRITE, ...
    };
    struct Events {
        std::vector<Event> list;
        bool overflow = false;  // the kernel dropped some
    };

    [[nodiscard]] static Result<DirectoryWatches> create();

    [[nodiscard]] int fd() const { return inotify_.get(); }

    void begin_update() { ++generation_; }
    // A directory that stands at a path where another one stood is watched anew.
    [[nodiscard]] Result<void> watch(const std::string& directory, Interest interest);
    // Ends the watches that were not asked for since begin_update().
    void end_update();

    // Everything that has happened; does not wait.
    [[nodiscard]] Result<Events> take();

private:
    struct Watched {
        std::string directory;
        std::uint32_t mask = 0;
        std::uint64_t generation = 0;
    };
    explicit DirectoryWatches(Fd inotify) : inotify_(std::move(inotify)) {}

    Fd inotify_;
    std::map<int, Watched> watched_;  // by watch descriptor
    std::uint64_t generation_ = 0;
};

}  // namespace podlane
