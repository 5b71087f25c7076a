// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "agent/cni/endpoint.h"
#include "agent/doctor/finding.h"
#include "agent/migrate/facts.h"

// What a migration of this node would do, and what stands in its way. Pure.
namespace podlane::migrate {

enum class PodState : std::uint8_t {
    adopted,    // the agent has it
    adoptable,  // apply will hand it over
    restart,    // apply leaves it to the bridge: it must be restarted
};
[[nodiscard]] std::string_view to_string(PodState state);

// A port of the bridge, or a CNI result without one.
struct PlannedPod {
    PodState state = PodState::restart;
    std::string interface;  // the host's end
    std::string reason;     // why it must be restarted
    Endpoint endpoint;      // whole where it is adopted or adoptable; otherwise what is known of it
};

struct Plan {
    std::vector<doctor::Finding> findings;  // problems stand in the way, and come first; notes do not
    std::vector<PlannedPod> pods;           // in the order of their interfaces
    std::vector<std::string> steps;         // what apply and commit will do, a line each

    [[nodiscard]] bool is_clear() const;
};

[[nodiscard]] Plan make_plan(const Facts& facts);

// {"clear","findings":[as agentctl doctor has them],"pods":[...],"steps":[...]}
[[nodiscard]] nlohmann::ordered_json to_json(const Plan& plan);

}  // namespace podlane::migrate
