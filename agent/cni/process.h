// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "agent/cni/environment.h"
#include "maps/base/result.h"

namespace podlane::cni {

struct ProcessOutput {
    int exit_status = 0;  // 128 + signal where a signal ended it
    std::string standard_output;
};

// Runs a program to its end with exactly `environment`, `input` on its standard input and our standard error as its
// own. It is killed when it takes longer than `timeout` or prints more than a MiB; both are errors.
[[nodiscard]] Result<ProcessOutput> run_process(const std::string& program, const Environment& environment,
                                                std::string_view input, std::chrono::milliseconds timeout);

}  // namespace podlane::cni
