// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace podlane {

// How long passes took, counted in buckets.
class PassTimes {
public:
    // Upper bounds, seconds. A pass that finds all in order takes milliseconds, one that loads programs seconds.
    static constexpr std::array<double, 12> bounds = {.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10};

    void add(std::chrono::duration<double> took) {
        std::size_t bucket = 0;
        while (bucket < bounds.size() && took.count() > bounds.at(bucket)) {
            ++bucket;
        }
        ++counts_.at(bucket);
        ++count_;
        sum_ += took.count();
    }

    // Passes that took no longer than bounds[index].
    [[nodiscard]] std::uint64_t up_to(std::size_t index) const {
        std::uint64_t total = 0;
        for (std::size_t bucket = 0; bucket <= index; ++bucket) {
            total += counts_.at(bucket);
        }
        return total;
    }
    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] double sum() const { return sum_; }  // seconds

private:
    std::array<std::uint64_t, bounds.size() + 1> counts_{};
    std::uint64_t count_ = 0;
    double sum_ = 0;
};

}  // namespace podlane
