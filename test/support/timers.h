// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace podlane::test {

// When the first of this process's armed timers is due, from now; none: nothing but an event wakes it. Of
// /proc/PID/fdinfo, proc(5): unlike a count of wake-ups it does not depend on what else the machine does.
[[nodiscard]] inline std::optional<std::chrono::nanoseconds> first_timer() {
    std::optional<std::chrono::nanoseconds> first;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
        std::ifstream info(entry.path());
        for (std::string line; std::getline(info, line);) {
            long long seconds = 0;
            long long nanoseconds = 0;
            if (std::sscanf(line.c_str(), "it_value: (%lld, %lld)", &seconds, &nanoseconds) != 2 ||
                (seconds == 0 && nanoseconds == 0)) {
                continue;
            }
            const auto due = std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanoseconds);
            first = first ? std::min(*first, due) : due;
        }
    }
    return first;
}

}  // namespace podlane::test
