// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "agent/ctl/command.h"
#include "agent/doctor/collect.h"

namespace podlane::ctl {

struct DoctorOptions {
    std::optional<std::string> config{};   // the agent's file; nothing: where the agent looks for it
    std::optional<std::string> run_dir{};  // nothing: what the configuration says
    doctor::Probing probing = doctor::Probing::off;
};

// `agentctl doctor`: with or without an agent. JSON: [{"id","severity","what","evidence","mend"}], problems first.
// degraded when there is more than notes.
[[nodiscard]] Outcome<ExitStatus> doctor_report(const Context& context, const DoctorOptions& options);

}  // namespace podlane::ctl
