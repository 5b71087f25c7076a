// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "agent/doctor/facts.h"
#include "agent/doctor/packet_filter.h"

namespace podlane::doctor {

// Pure. What this node's pods send to the host, and through its stack to other pods and back. Where there are no pods
// yet a whole network of them, or one as it would be, stands for them.
[[nodiscard]] std::vector<Traffic> pod_traffic(const Facts& facts);

}  // namespace podlane::doctor
