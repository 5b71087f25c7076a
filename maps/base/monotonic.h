// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ctime>

namespace podlane {

inline constexpr std::int64_t ns_per_second = 1'000'000'000;

// CLOCK_MONOTONIC in ns: the clock that the programs read (bpf_ktime_get_ns).
[[nodiscard]] inline std::int64_t monotonic_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * ns_per_second + now.tv_nsec;
}

}  // namespace podlane
