// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace podlane::doctor {

enum class Severity : std::uint8_t {
    problem,  // something does not work
    warning,  // it may not work: it cannot be told for certain
    note,     // worth knowing; nothing to mend
};
[[nodiscard]] std::string_view to_string(Severity severity);

// What a check found.
struct Finding {
    std::string id{};  // of the check: "firewall"
    Severity severity = Severity::problem;
    std::string what{};      // in the operator's words: who cannot do what
    std::string evidence{};  // what was seen, where
    std::string mend{};      // the command, to be run as it stands, a remark after " # "; empty for most notes

    bool operator==(const Finding&) const = default;
};
// Two or three lines for a terminal, without control characters; ends with a newline.
[[nodiscard]] std::string to_text(const Finding& finding);
[[nodiscard]] nlohmann::ordered_json to_json(const Finding& finding);

}  // namespace podlane::doctor
