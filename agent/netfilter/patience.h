// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

#include "maps/base/result.h"

namespace podlane::netfilter {

inline constexpr std::chrono::seconds usual_patience{10};

// Makes the change, again every 100 ms while it fails with EAGAIN (another program is at the rules, or has iptables'
// lock) and `patience` is not over. Blocks: not for the agent's loop.
[[nodiscard]] Result<void> with_patience(const std::function<Result<void>()>& change,
                                         std::chrono::milliseconds patience = usual_patience);

}  // namespace podlane::netfilter
