// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <iostream>

#include "agent/ctl/agentctl.h"

int main(int argc, char** argv) {
    std::ios::sync_with_stdio(false);
    try {
        return static_cast<int>(podlane::ctl::run_agentctl({argv + 1, argv + argc}, std::cout, std::cerr));
    } catch (const std::exception& bug) {
        std::cerr << "agentctl: " << bug.what() << '\n';
        return static_cast<int>(podlane::ctl::ExitStatus::error);
    }
}
