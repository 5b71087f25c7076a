// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

#include "agent/source/etcd/layout.h"

namespace podlane::etcd {

// Some time of a span, by the generator.
[[nodiscard]] inline std::chrono::milliseconds spread(const Random& random, std::chrono::milliseconds least,
                                                      std::chrono::milliseconds most) {
    const auto width = static_cast<double>((most - least).count());
    return least + std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(random() * width));
}

// Which endpoint to ask, and how long to wait after a failure. Every failure goes on to the next endpoint: within a
// round of all of them almost at once, and between rounds with a delay that doubles from half a second to half a
// minute, of which a random half is taken off.
class Retry {
public:
    Retry(std::size_t endpoints, Random random) : endpoints_(endpoints), random_(std::move(random)) {}

    [[nodiscard]] std::size_t endpoint() const { return endpoint_; }
    // In a row.
    [[nodiscard]] std::size_t failures() const { return failures_; }
    void succeeded() { failures_ = 0; }
    [[nodiscard]] std::chrono::milliseconds failed() {
        using std::chrono::milliseconds;
        constexpr milliseconds within_a_round(100);
        constexpr milliseconds first(500);
        constexpr milliseconds longest = std::chrono::seconds(30);
        constexpr std::size_t most_doublings = 6;
        endpoint_ = (endpoint_ + 1) % endpoints_;
        if (++failures_ % endpoints_ != 0) {
            return spread(random_, milliseconds(0), within_a_round);
        }
        const auto rounds = std::min(failures_ / endpoints_ - 1, most_doublings);
        const auto most = std::min(first * (1 << rounds), longest);
        return spread(random_, most / 2, most);
    }

private:
    std::size_t endpoints_;
    Random random_;
    std::size_t endpoint_ = 0;
    std::size_t failures_ = 0;
};

}  // namespace podlane::etcd
