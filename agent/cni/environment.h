// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/cni/failure.h"

namespace podlane::cni {

using Environment = std::map<std::string, std::string>;

enum class Command { add, del, check, gc, status, version };

// The parameters that a runtime passes in CNI_* variables, checked.
struct Invocation {
    Command command = Command::version;
    std::string container_id;
    std::string netns;  // may be empty for DEL
    std::string if_name;
    std::map<std::string, std::string> args;  // CNI_ARGS
    std::vector<std::string> path;            // CNI_PATH
    Environment environment;                  // everything, for the IPAM plugin
};

// An error (code 4) names the variables.
[[nodiscard]] Outcome<Invocation> parse_environment(const Environment& environment);

}  // namespace podlane::cni
