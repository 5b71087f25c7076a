// SPDX-License-Identifier: Apache-2.0
#include "agent/observe/repairs.h"

#include <algorithm>

#include <fmt/chrono.h>

#include "agent/log.h"

namespace podlane {
namespace {

constexpr std::size_t kept = 20;

}  // namespace

void RepairLog::record(std::string_view subsystem, std::string_view what) {
    log::warning("{}: repaired: {}", subsystem, what);
    ++total_;
    ++by_subsystem_[std::string(subsystem)];
    recent_.push_back(
        {.at = std::chrono::system_clock::now(), .subsystem = std::string(subsystem), .what = std::string(what)});
    if (recent_.size() > kept) {
        recent_.pop_front();
    }
}

void RepairLog::note(std::string_view subsystem, const std::vector<std::string>& changes,
                     const std::vector<std::string>& repairs) {
    constexpr std::size_t shown = 20;
    std::size_t others = 0;
    for (const auto& change : changes) {
        if (std::ranges::find(repairs, change) != repairs.end()) {
            record(subsystem, change);
        } else if (others++ < shown) {
            log::info("{}", change);
        }
    }
    if (others > shown) {
        log::info("and {} changes more", others - shown);
    }
}

std::string RepairLog::summary() const {
    if (recent_.empty()) {
        return "none needed";
    }
    const auto& last = recent_.back();
    return fmt::format("{}, the last at {}: {}", total_, to_rfc3339(last.at), last.what);
}

std::string to_rfc3339(std::chrono::system_clock::time_point time) {
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

}  // namespace podlane
