// SPDX-License-Identifier: Apache-2.0
#include "agent/observe/health.h"

#include <algorithm>
#include <utility>

#include "agent/log.h"

namespace podlane {

std::string_view to_string(HealthState state) {
    switch (state) {
        case HealthState::ok:
            return "ok";
        case HealthState::degraded:
            return "degraded";
        case HealthState::failed:
            return "failed";
    }
    return "failed";
}

HealthBoard::HealthBoard(std::vector<std::string> names) {
    for (auto& name : names) {
        subsystems_.push_back(
            {.name = std::move(name), .state = HealthState::degraded, .reason = "not started yet", .action = "wait"});
    }
}

void HealthBoard::ok(std::string_view name, std::string reason) {
    set(name, HealthState::ok, std::move(reason), {});
}

void HealthBoard::degraded(std::string_view name, std::string reason, std::string action) {
    set(name, HealthState::degraded, std::move(reason), std::move(action));
}

void HealthBoard::failed(std::string_view name, std::string reason, std::string action) {
    set(name, HealthState::failed, std::move(reason), std::move(action));
}

HealthState HealthBoard::overall() const {
    const bool all_ok = std::ranges::all_of(subsystems_, [](const auto& one) { return one.state == HealthState::ok; });
    return all_ok ? HealthState::ok : HealthState::degraded;
}

void HealthBoard::set(std::string_view name, HealthState state, std::string reason, std::string action) {
    const auto found = std::ranges::find(subsystems_, name, &SubsystemHealth::name);
    if (found == subsystems_.end()) {
        return;
    }
    const bool changed = found->state != state || (state != HealthState::ok && found->reason != reason);
    found->state = state;
    found->reason = std::move(reason);
    found->action = std::move(action);
    if (changed && state == HealthState::ok) {
        log::info("{}: ok{}{}", name, found->reason.empty() ? "" : ": ", found->reason);
    } else if (changed) {
        log::warning("{}: {}: {}", name, to_string(state), found->reason);
    }
}

}  // namespace podlane
