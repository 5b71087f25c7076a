// SPDX-License-Identifier: Apache-2.0
#include "agent/source/state_keeper.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "agent/log.h"

namespace podlane {

StateKeeper::StateKeeper(EventLoop& loop, std::string path, std::function<SavedState()> state, SavePace pace)
    : loop_(loop), path_(std::move(path)), state_(std::move(state)), pace_(pace) {}

StateKeeper::~StateKeeper() {
    if (timer_.active()) {
        save();
    }
}

void StateKeeper::changed() {
    if (!path_.empty() && !timer_.active()) {
        schedule();
    }
}

void StateKeeper::schedule() {
    const auto due = saved_last_ + pace_.interval - std::chrono::steady_clock::now();
    auto timer = loop_.after(std::max(pace_.delay, std::chrono::ceil<std::chrono::milliseconds>(due)), [this] {
        timer_.cancel();
        save();
        if (!problem_.empty()) {
            schedule();
        }
    });
    if (timer) {
        timer_ = std::move(*timer);
    } else {
        log::error("cluster state: {}", timer.error().message);
    }
}

void StateKeeper::save() {
    saved_last_ = std::chrono::steady_clock::now();
    const auto saved = save_state(path_, state_());
    const auto problem = saved ? std::string() : saved.error().message;
    if (!problem.empty() && problem != problem_) {
        log::warning("cluster state: the last good state cannot be kept: {}", problem);
    }
    problem_ = problem;
}

std::string now_as_text() {
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace podlane
