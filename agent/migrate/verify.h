// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "agent/migrate/facts.h"

// Whether podlane forwards all that flannel did. Pure.
namespace podlane::migrate {

enum class Stage : std::uint8_t {
    borrowed,   // flannel's device is there, and the agent uses it
    switched,   // it has gone, or is down and the agent has its own; the rules are still there
    committed,  // and so have they, but for pods that must be restarted first
};
[[nodiscard]] std::string_view to_string(Stage stage);

enum class CheckState : std::uint8_t { ok, failed, note };
[[nodiscard]] std::string_view to_string(CheckState state);

struct Check {
    std::string id;       // "agent", "pod", "peer", "echo", "cni", "flanneld", "record", "overlay", "rules", "looking"
    std::string subject;  // "10.244.2.0/24"
    CheckState state = CheckState::ok;
    std::string evidence;  // what was seen
    std::string mend;      // of one that failed

    bool operator==(const Check&) const = default;
};

// By what is there: before or after the commit.
[[nodiscard]] Stage stage_of(const Facts& facts);

// `facts` collected with Probe::peers.
[[nodiscard]] std::vector<Check> verify(const Facts& facts, Stage stage);
[[nodiscard]] bool have_passed(const std::vector<Check>& checks);

// {"stage","passed","checks":[{"id","subject","state","evidence","mend"}]}
[[nodiscard]] nlohmann::ordered_json to_json(const std::vector<Check>& checks, Stage stage);

}  // namespace podlane::migrate
