// SPDX-License-Identifier: Apache-2.0
#include "agent/observe/repairs.h"

#include <unordered_set>

#include <fmt/chrono.h>

#include "agent/log.h"

namespace podlane {
namespace {

constexpr std::size_t kept = 20;

}  // namespace

void RepairLog::record(std::string_view subsystem, std::string_view what) {
    log::warning("{}: repaired: {}", subsystem, what);
    count(subsystem, what);
}

void RepairLog::count(std::string_view subsystem, std::string_view what) {
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
    constexpr std::size_t shown = 20;  // of either kind: a device can take thousands of routes with it
    const std::unordered_set<std::string_view> repaired(repairs.begin(), repairs.end());
    std::size_t others = 0;
    for (const auto& change : changes) {
        if (!repaired.contains(change) && others++ < shown) {
            log::info("{}", change);
        }
    }
    for (std::size_t i = 0; i < repairs.size(); ++i) {
        count(subsystem, repairs[i]);
        if (i < shown) {
            log::warning("{}: repaired: {}", subsystem, repairs[i]);
        }
    }
    if (others > shown) {
        log::info("and {} changes more", others - shown);
    }
    if (repairs.size() > shown) {
        log::warning("{}: repaired: {} objects more", subsystem, repairs.size() - shown);
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
