// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>

#include "test/net/harness/links.h"

namespace podlane::net {

// The programs that run on a device as packets come in and as they go out, whoever attached them.
struct HookCount {
    unsigned tcx_in = 0;
    unsigned tcx_out = 0;
    unsigned filters_in = 0;
    unsigned filters_out = 0;

    bool operator==(const HookCount&) const = default;
};
inline constexpr HookCount one_by_tcx{1, 1, 0, 0};
inline constexpr HookCount one_by_clsact{0, 0, 1, 1};

std::ostream& operator<<(std::ostream& out, const HookCount& count);

// Asks the kernel for the TCX links and tc for the filters.
[[nodiscard]] HookCount count_hooks(const DeviceRef& device);

}  // namespace podlane::net
