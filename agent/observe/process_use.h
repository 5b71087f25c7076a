// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace podlane {

// What this process has taken so far. Zero: /proc did not say.
struct ProcessUse {
    double cpu_seconds = 0;            // user and system, those before a restart in place included
    std::uint64_t resident_bytes = 0;  // now
    double started = 0;                // seconds since the Unix epoch: of the program, not of the process
};
[[nodiscard]] ProcessUse process_use();

}  // namespace podlane
