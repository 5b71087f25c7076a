// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "agent/cni/environment.h"
#include "maps/base/result.h"

namespace podlane::cni {

// What the process leaves behind.
struct Response {
    int exit_status = 0;
    std::string standard_output;  // JSON, or nothing
};

// One run of the plugin. `read_input` reads standard input to its end; it is called at most once, and not before the
// environment has turned out well.
[[nodiscard]] Response run_plugin(const Environment& environment,
                                  const std::function<Result<std::string>()>& read_input);

}  // namespace podlane::cni
