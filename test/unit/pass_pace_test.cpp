// SPDX-License-Identifier: Apache-2.0
#include "agent/node/pass_pace.h"

#include <gtest/gtest.h>

namespace podlane {
namespace {

using namespace std::chrono_literals;
using Time = PassPace::Time;

constexpr Time noon{12h};

TEST(PassPaceTest, FirstPass_WaitsForTheRestOfItsBurst) {
    const PassPace pace;
    EXPECT_FALSE(pace.is_too_early(noon));
    EXPECT_EQ(pace.delay(noon), PassPace::burst);
}

TEST(PassPaceTest, PassAfterAShortOne_WaitsForTheRestOfItsBurst) {
    PassPace pace;
    pace.ran(noon, noon + 3ms);
    EXPECT_EQ(pace.delay(noon + 3ms), PassPace::burst);
    EXPECT_FALSE(pace.is_too_early(noon + 23ms));
}

TEST(PassPaceTest, PassAfterALongOne_StartsTwiceItsDurationAfterIt) {
    PassPace pace;
    pace.ran(noon, noon + 400ms);
    EXPECT_EQ(pace.delay(noon + 400ms), 800ms);
    EXPECT_EQ(pace.delay(noon + 1000ms), 200ms);
    EXPECT_EQ(pace.delay(noon + 1000ms + 1us), 200ms) << "rounded up: a timer that comes too early is armed again";
    EXPECT_EQ(pace.delay(noon + 5s), PassPace::burst);
    EXPECT_TRUE(pace.is_too_early(noon + 1200ms - 1us));
    EXPECT_FALSE(pace.is_too_early(noon + 1200ms));
}

TEST(PassPaceTest, PassAfterOneThatLoadedPrograms_StartsWithinASecond) {
    PassPace pace;
    pace.ran(noon, noon + 3s);
    EXPECT_EQ(pace.delay(noon + 3s), PassPace::patience);
    EXPECT_FALSE(pace.is_too_early(noon + 3800ms));
}

// An event at any moment, for a minute, on a node whose pass takes 250 ms.
TEST(PassPaceTest, EventsThatNeverCease_LeaveTwoThirdsOfTheTime) {
    PassPace pace;
    Time now = noon;
    auto busy = 0ms;
    while (now < noon + 60s) {
        now += pace.delay(now);
        ASSERT_FALSE(pace.is_too_early(now));
        pace.ran(now, now + 250ms);
        now += 250ms;
        busy += 250ms;
    }
    EXPECT_LE(busy, 20s + 250ms);
    EXPECT_GE(busy, 19s) << "nor less than that";
}

}  // namespace
}  // namespace podlane
