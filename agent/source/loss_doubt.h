// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <set>
#include <string>

namespace podlane {

// A list that lacks more than half of what is known is doubted until a second one agrees: a server whose data were put
// back, or a cache that has just begun, would otherwise take a cluster's routes down. Pure.
class LossDoubt {
public:
    using Names = std::set<std::string>;

    // From a list that is doubted to the next one: some time of these, by chance.
    static constexpr std::chrono::milliseconds shortest_wait = std::chrono::seconds(2);
    static constexpr std::chrono::milliseconds longest_wait = std::chrono::seconds(4);

    // A list is complete. True: it is to be forgotten, and another one asked for. False: it holds, and replaces
    // `known`. A second list agrees when more than half of `known` is neither in it nor in the one before.
    [[nodiscard]] bool doubts(const Names& listed, const Names& known);

    // A list waits to be confirmed.
    [[nodiscard]] bool is_pending() const { return doubted_.has_value(); }
    // So many of the known names it lacks; 0 when there is none.
    [[nodiscard]] std::size_t loss() const { return loss_; }

private:
    std::optional<Names> doubted_;  // what that list had
    std::size_t loss_ = 0;
};

}  // namespace podlane
