// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/follow.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::ElementsAre;
using Verdict = Follow::Verdict;

// A clock that only the test moves, and jitter in the middle of its range.
class EtcdFollowTest : public testing::Test {
protected:
    // Moves the clock to where the next request is due, and gives how long that took.
    milliseconds delay(Follow& machine) {
        step_ = machine.next(now_);
        const auto* wait = std::get_if<Follow::Wait>(&step_);
        if (wait == nullptr) {
            return milliseconds(0);
        }
        const auto waited = std::chrono::duration_cast<milliseconds>(wait->until - now_);
        now_ = wait->until;
        step_ = machine.next(now_);
        return waited;
    }
    template <typename Request>
    Request begun() {
        delay(machine_);
        EXPECT_TRUE(std::holds_alternative<Request>(step_)) << step_.index();
        const auto* request = std::get_if<Request>(&step_);
        return request == nullptr ? Request() : *request;
    }
    // The usual start: a list, then a watch from there.
    void watch() {
        begun<Follow::List>();
        EXPECT_EQ(machine_.listed({.cluster = 7, .revision = 100}, {}, now_), Verdict::complete);
        EXPECT_EQ(begun<Follow::Watch>(), (Follow::Watch{.start_revision = 101, .time = seconds(450)}));
        EXPECT_TRUE(machine_.watching({.cluster = 7, .revision = 100}, now_));
    }

    // What is known: n1 to n5.
    Verdict listed(std::int64_t revision, const Follow::Names& names) {
        return machine_.listed({.cluster = 7, .revision = revision},
                               {.listed = names, .known = {"n1", "n2", "n3", "n4", "n5"}}, now_);
    }

    const Random half_ = [] { return 0.5; };
    Follow machine_{1, half_};
    Follow::Clock::time_point now_{seconds(1000)};
    Follow::Step step_;
};

TEST_F(EtcdFollowTest, Request_IsBegunOnce) {
    begun<Follow::List>();
    EXPECT_EQ(machine_.next(now_), Follow::Step(Follow::Running{}));
}

TEST_F(EtcdFollowTest, WatchWhoseTimeIsOver_GoesOnAfterACheckFromTheLastRevision) {
    watch();
    machine_.progressed(140);
    now_ += minutes(7);
    machine_.watch_ended(now_);
    begun<Follow::Check>();
    machine_.checked({.cluster = 7, .revision = 150}, now_);
    EXPECT_EQ(begun<Follow::Watch>().start_revision, 141);
}

TEST_F(EtcdFollowTest, CompactedRevision_IsListedAnewAtOnce) {
    watch();
    machine_.compacted(now_);
    EXPECT_EQ(delay(machine_), milliseconds(0));
    EXPECT_TRUE(std::holds_alternative<Follow::List>(step_));
}

TEST_F(EtcdFollowTest, RevisionThatGoesBackOrAnotherCluster_IsListedAnew) {
    for (const auto& position : {Position{.cluster = 7, .revision = 99}, Position{.cluster = 8, .revision = 500}}) {
        machine_.restart(now_);
        watch();
        now_ += minutes(7);
        machine_.watch_ended(now_);
        begun<Follow::Check>();
        machine_.checked(position, now_);
        begun<Follow::List>();
    }
}

TEST_F(EtcdFollowTest, MemberThatIsBehind_IsLeftAndListedElsewhere) {
    Follow machine(3, half_);
    static_cast<void>(machine.next(now_));
    static_cast<void>(machine.listed({.cluster = 7, .revision = 100}, {}, now_));
    static_cast<void>(machine.next(now_));
    EXPECT_EQ(machine.endpoint(), 0U);
    EXPECT_FALSE(machine.watching({.cluster = 7, .revision = 99}, now_));
    EXPECT_EQ(machine.endpoint(), 1U);
    EXPECT_EQ(delay(machine), milliseconds(50));
    EXPECT_TRUE(std::holds_alternative<Follow::List>(step_));
}

TEST_F(EtcdFollowTest, Failures_GoThroughAllEndpointsAndWaitLongerEachRound) {
    Follow machine(2, half_);
    std::vector<std::size_t> endpoints;
    std::vector<milliseconds> delays;
    for (int i = 0; i < 18; ++i) {
        delays.push_back(delay(machine));
        endpoints.push_back(machine.endpoint());
        machine.failed(now_);
    }
    const auto ms = [](int time) { return milliseconds(time); };
    EXPECT_THAT(delays, ElementsAre(ms(0), ms(50), ms(375), ms(50), ms(750), ms(50), ms(1500), ms(50), ms(3000), ms(50),
                                    ms(6000), ms(50), ms(12000), ms(50), ms(22500), ms(50), ms(22500), ms(50)));
    EXPECT_THAT(endpoints, ElementsAre(0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1));
}

TEST_F(EtcdFollowTest, WatchThatIsCut_IsCheckedElsewhereAndGoesOn) {
    watch();
    machine_.progressed(105);
    now_ += seconds(30);
    machine_.failed(now_);
    begun<Follow::Check>();
    machine_.checked({.cluster = 7, .revision = 105}, now_);
    EXPECT_EQ(begun<Follow::Watch>().start_revision, 106);
    EXPECT_EQ(machine_.failures(), 1U);
    machine_.progressed(106);
    EXPECT_EQ(machine_.failures(), 0U);
}

TEST_F(EtcdFollowTest, WatchesThatEndAtOnce_AreAskedForMoreAndMoreSlowly) {
    watch();
    std::vector<milliseconds> delays;
    for (int i = 0; i < 3; ++i) {
        machine_.watch_ended(now_);
        delays.push_back(delay(machine_));
        machine_.checked({.cluster = 7, .revision = 100}, now_);
        begun<Follow::Watch>();
    }
    EXPECT_THAT(delays, ElementsAre(milliseconds(375), milliseconds(750), milliseconds(1500)));
}

TEST_F(EtcdFollowTest, ListThatLacksMoreThanHalf_IsBelievedTheSecondTime) {
    watch();
    machine_.compacted(now_);
    begun<Follow::List>();
    EXPECT_EQ(listed(200, {"n1", "n2", "n3"}), Verdict::complete);
    machine_.restart(now_);
    begun<Follow::List>();
    EXPECT_EQ(listed(200, {"n1", "n2"}), Verdict::doubted);
    EXPECT_EQ(machine_.doubted_loss(), 3U);
    EXPECT_EQ(delay(machine_), seconds(3));
    EXPECT_TRUE(std::holds_alternative<Follow::List>(step_));
    EXPECT_EQ(listed(201, {"n1", "n2"}), Verdict::complete);
    EXPECT_EQ(begun<Follow::Watch>().start_revision, 202);
}

TEST_F(EtcdFollowTest, SecondListThatLacksOthers_IsDoubtedInItsTurn) {
    begun<Follow::List>();
    EXPECT_EQ(listed(200, {"n1", "n2"}), Verdict::doubted);
    begun<Follow::List>();
    EXPECT_EQ(listed(201, {"n4", "n5"}), Verdict::doubted);
    begun<Follow::List>();
    EXPECT_EQ(listed(202, {"n5"}), Verdict::complete);
}

}  // namespace
}  // namespace podlane::etcd
