// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/patience.h"

#include <cerrno>
#include <thread>

namespace podlane::netfilter {

Result<void> with_patience(const std::function<Result<void>()>& change, std::chrono::milliseconds patience) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds interval{100};
    const auto deadline = Clock::now() + patience;
    auto done = change();
    while (!done && done.error().code == EAGAIN && Clock::now() < deadline) {
        std::this_thread::sleep_for(interval);
        done = change();
    }
    return done;
}

}  // namespace podlane::netfilter
