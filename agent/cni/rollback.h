// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <functional>
#include <ranges>
#include <utility>
#include <vector>

#include "agent/cni/failure.h"

namespace podlane::cni {

// What to undo, last first, unless all went well. Steps own what they need: they run when the function's other
// variables may be gone already.
class Rollback {
public:
    Rollback() = default;
    Rollback(const Rollback&) = delete;
    Rollback& operator=(const Rollback&) = delete;
    ~Rollback() {
        for (const auto& step : std::ranges::reverse_view(steps_)) {
            if (const auto undone = step(); !undone) {
                fmt::print(stderr, "podlane: while undoing ADD: {}\n", undone.error().message);
            }
        }
    }
    void then(std::function<Outcome<void>()> step) { steps_.push_back(std::move(step)); }
    void dismiss() { steps_.clear(); }

private:
    std::vector<std::function<Outcome<void>()>> steps_;
};

}  // namespace podlane::cni
