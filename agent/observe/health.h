// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace podlane {

enum class HealthState { ok, degraded, failed };
[[nodiscard]] std::string_view to_string(HealthState state);

// One line of `agentctl status`.
struct SubsystemHealth {
    std::string name;
    HealthState state = HealthState::ok;
    std::string reason;  // what is the case; also when all is well, where that is worth knowing
    std::string action;  // what an operator can do about it; empty when ok

    bool operator==(const SubsystemHealth&) const = default;
};

// The subsystems in the order in which they depend on one another.
class HealthBoard {
public:
    explicit HealthBoard(std::vector<std::string> names);

    void ok(std::string_view name, std::string reason = {});
    void degraded(std::string_view name, std::string reason, std::string action);
    void failed(std::string_view name, std::string reason, std::string action);

    [[nodiscard]] const std::vector<SubsystemHealth>& subsystems() const { return subsystems_; }
    // The worst of all; a failed subsystem degrades the node, which may well be forwarding.
    [[nodiscard]] HealthState overall() const;

private:
    // Logs a state that changed; says nothing while it stays.
    void set(std::string_view name, HealthState state, std::string reason, std::string action);
    std::vector<SubsystemHealth> subsystems_;
};

}  // namespace podlane
