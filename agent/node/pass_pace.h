// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>

namespace podlane {

// When the pass that events call for may start. Events come in bursts (a flap flushes every route), and one pass
// answers all of a burst; where they never cease (a routing daemon, IPVS) passes take a third of the time at the most
// (more where one takes over 400 ms), so that the rest of the loop has its turn. No clock but the one that is handed
// in.
class PassPace {
public:
    using Clock = std::chrono::steady_clock;
    using Time = Clock::time_point;
    static constexpr auto burst = std::chrono::milliseconds(20);  // the least there is between event and pass
    // The most there is: a pass that loads programs takes seconds, and says nothing about the next one.
    static constexpr auto patience = std::chrono::milliseconds(800);

    // A pass ran, whatever called for it.
    void ran(Time start, Time end) { earliest_ = end + std::min<Clock::duration>(2 * (end - start), patience); }
    [[nodiscard]] bool is_too_early(Time now) const { return now < earliest_; }
    // Between an event at `now` and its pass.
    [[nodiscard]] std::chrono::milliseconds delay(Time now) const {
        return std::max(burst, std::chrono::ceil<std::chrono::milliseconds>(earliest_ - now));
    }

private:
    Time earliest_{};
};

}  // namespace podlane
