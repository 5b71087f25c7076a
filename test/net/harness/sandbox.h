// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "maps/base/result.h"

namespace podlane::net {

// Moves this process into a mount namespace of its own, with empty file systems over the places that network tests
// write to: /run/netns, /var/lib/cni and scratch_dir(). Named network namespaces, bpffs mounts, pins and sockets
// therefore vanish with the process, however it ends, and no two runs see each other.
// Once, before the first thread. An error says what this machine lacks: privileges, as a rule.
[[nodiscard]] Result<void> enter_sandbox();

// Where tests keep their files.
[[nodiscard]] std::filesystem::path scratch_dir();

// The folder of the programs under test: the one this executable lies in.
[[nodiscard]] std::filesystem::path program_dir();

}  // namespace podlane::net
