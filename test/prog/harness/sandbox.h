// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "maps/base/result.h"

namespace podlane::prog {

// Moves this process into a network and a mount namespace of its own, with an empty file system at scratch_dir().
// Devices, bpffs mounts and pins therefore vanish with the process, however it ends, and no two runs see each other.
// Once, before the first thread. An error says what this machine lacks: privileges, as a rule.
[[nodiscard]] Result<void> enter_sandbox();

// Where tests keep their files and mount their bpffs.
[[nodiscard]] std::filesystem::path scratch_dir();

}  // namespace podlane::prog
