// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "loader/feature.h"
#include "loader/probe.h"
#include "maps/base/result.h"

namespace podlane {

// Whether podlane can run here, and which ways it will take. Before everything else: creates nothing, in the kernel or
// on the disk. An error is one line that names what is missing and the kernel that has it. `without`: as probe_kernel.
[[nodiscard]] Result<KernelFeatures> probe_node(const FeatureSet& without);

}  // namespace podlane
