// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "loader/probe.h"

namespace podlane {

[[nodiscard]] Error no_privileges();

// Finds out what maps are charged to, and raises RLIMIT_MEMLOCK to infinity where it is that. An error: BPF is not
// there, not permitted, or the limit cannot be raised.
[[nodiscard]] Result<MemoryAccounting> probe_memory(const FeatureSet& without);

}  // namespace podlane
