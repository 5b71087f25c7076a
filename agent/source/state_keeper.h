// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "agent/event_loop.h"
#include "agent/source/state_cache.h"

namespace podlane {

struct SavePace {
    std::chrono::milliseconds delay{200};  // from a change to its being on disk
    // A cluster that changes all the time is written more rarely, and a write that failed is tried again after it.
    std::chrono::milliseconds interval = std::chrono::seconds(5);
};

// Writes a source's state to its file: a moment after a change, and every few seconds at the most. A write that fails
// is a warning, told once as long as it stays the same, and tried again until one succeeds.
class StateKeeper {
public:
    // `state` gives what is to be written. `path` empty: nothing is. The loop must outlive the keeper.
    StateKeeper(EventLoop& loop, std::string path, std::function<SavedState()> state, SavePace pace = {});
    StateKeeper(const StateKeeper&) = delete;
    StateKeeper& operator=(const StateKeeper&) = delete;
    // Writes what has not been written yet.
    ~StateKeeper();

    void changed();

private:
    void schedule();
    void save();

    EventLoop& loop_;
    const std::string path_;
    const std::function<SavedState()> state_;
    const SavePace pace_;
    std::chrono::steady_clock::time_point saved_last_;
    std::string problem_;  // of the last write; it is tried again
    EventLoop::Watch timer_;
};

// The time, as a SavedState has it.
[[nodiscard]] std::string now_as_text();

}  // namespace podlane
