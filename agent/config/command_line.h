// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <span>
#include <string>

#include "agent/config/config.h"
#include "loader/feature.h"

namespace podlane {

enum class AgentCommand { run, cleanup, check_config };

// What the agent was told to do.
struct Invocation {
    AgentCommand command = AgentCommand::run;
    bool dry_run = false;  // of cleanup
    Overrides flags;       // to load the configuration from, now and at every reload
    // Taken for missing in the kernel, so that fallbacks can be tested where nothing is missing. Hidden from --help.
    FeatureSet without;
};

// The process ends here: after --help or --version (status 0, text for stdout), or because of a usage error
// (status 2, text for stderr).
struct Exit {
    int status = 0;
    std::string text;
};

// Arguments of `podlane-agent`, without the program's name.
[[nodiscard]] std::expected<Invocation, Exit> parse_command_line(std::span<const std::string> arguments);

}  // namespace podlane
