// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "maps/base/result.h"

namespace podlane::clsact {

// Filters of a clsact qdisc in this network namespace. Ours have a priority and a handle of their own and stand beside
// other people's; a device has one of them in each direction at most.
enum class Direction { ingress, egress };

// Attaches, in place of our earlier filter when there is one: no packet passes between the two. Adds the qdisc where
// there is none, for which the kernel stops a device that is up: a few packets that it is given to send meanwhile are
// lost.
[[nodiscard]] Result<void> attach(std::uint32_t ifindex, Direction direction, int program_fd);
// Also good when there is no filter, qdisc or device. The qdisc stays: other people's filters may hang on it, and an
// empty one costs nothing.
[[nodiscard]] Result<void> detach(std::uint32_t ifindex, Direction direction);
// The id of the program in our filter; 0: there is none.
[[nodiscard]] std::uint32_t attached_program(std::uint32_t ifindex, Direction direction);

}  // namespace podlane::clsact
