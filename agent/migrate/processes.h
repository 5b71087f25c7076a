// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

namespace podlane::migrate {

// Process IDs of those that this process can see, by the name in /proc/PID/comm (15 bytes at the most), in order.
[[nodiscard]] std::vector<int> find_processes(std::string_view command);
// The same of those in this network namespace.
[[nodiscard]] std::vector<int> find_processes_here(std::string_view command);
// Whether all of the node's can be seen: not from a PID namespace of a container's.
[[nodiscard]] bool sees_all_processes();

}  // namespace podlane::migrate
