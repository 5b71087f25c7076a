// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor/finding.h"

#include <array>

#include <fmt/format.h>

#include "agent/text/printable.h"

namespace podlane::doctor {

std::string_view to_string(Severity severity) {
    constexpr auto names = std::to_array<std::string_view>({"problem", "warning", "note"});
    return names.at(static_cast<std::size_t>(severity));
}

std::string to_text(const Finding& finding) {
    std::string text =
        without_controls(fmt::format("{:<8}  {}: {}", to_string(finding.severity), finding.id, finding.what)) + '\n' +
        without_controls(fmt::format("          seen: {}", finding.evidence)) + '\n';
    if (!finding.mend.empty()) {
        text += without_controls(fmt::format("          mend: {}", finding.mend)) + '\n';
    }
    return text;
}

nlohmann::ordered_json to_json(const Finding& finding) {
    return {{"id", finding.id},
            {"severity", to_string(finding.severity)},
            {"what", finding.what},
            {"evidence", finding.evidence},
            {"mend", finding.mend}};
}

}  // namespace podlane::doctor
