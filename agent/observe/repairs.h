// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace podlane {

// What had to be put right although nothing else was wanted: somebody had removed or changed it. Each one is logged.
class RepairLog {
public:
    struct Entry {
        std::chrono::system_clock::time_point at;
        std::string subsystem;  // as on the health board, or "control"
        std::string what;       // "add route 10.244.2.0/24 dev podlane0 src 10.0.0.1"
    };

    void record(std::string_view subsystem, std::string_view what);
    // What a pass did: those of `changes` that are in `repairs` are recorded, the others logged only.
    void note(std::string_view subsystem, const std::vector<std::string>& changes,
              const std::vector<std::string>& repairs);

    [[nodiscard]] std::uint64_t total() const { return total_; }
    [[nodiscard]] const std::map<std::string, std::uint64_t>& by_subsystem() const { return by_subsystem_; }
    // The last ones, oldest first.
    [[nodiscard]] const std::deque<Entry>& recent() const { return recent_; }
    // One line: how many, and the last one with its time (RFC 3339, UTC).
    [[nodiscard]] std::string summary() const;

private:
    void count(std::string_view subsystem, std::string_view what);

    std::uint64_t total_ = 0;
    std::map<std::string, std::uint64_t> by_subsystem_;
    std::deque<Entry> recent_;
};

// "2026-01-31T23:59:59Z"
[[nodiscard]] std::string to_rfc3339(std::chrono::system_clock::time_point time);

}  // namespace podlane
