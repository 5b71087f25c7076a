// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/list_watch.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = RequestFailure::Kind;
using Verdict = ListWatch::Verdict;
using List = ListWatch::List;
using Watch = ListWatch::Watch;
using Wait = ListWatch::Wait;

// A clock that only the test moves, and jitter in the middle of its range.
class KubeListWatchTest : public testing::Test {
protected:
    ListWatch::Step next() { return machine_.next(now_); }
    // Moves the clock to where the next request is due, and gives how long that took.
    milliseconds delay() {
        const auto step = next();
        const auto* wait = std::get_if<Wait>(&step);
        if (wait == nullptr) {
            running_ = step;
            return milliseconds(0);
        }
        const auto waited = std::chrono::duration_cast<milliseconds>(wait->until - now_);
        now_ = wait->until;
        running_ = next();
        return waited;
    }
    template <typename Request>
    Request begun() {
        delay();
        EXPECT_TRUE(std::holds_alternative<Request>(running_)) << running_.index();
        const auto* request = std::get_if<Request>(&running_);
        return request == nullptr ? Request() : *request;
    }
    Verdict listed(const std::string& version, const std::string& token = "", const ListWatch::Names& names = {}) {
        return machine_.listed({.resource_version = version, .continue_token = token}, names, known_, now_);
    }
    void fail_with(int status, std::optional<seconds> retry_after = std::nullopt) {
        machine_.failed({.kind = Kind::status, .status = status, .retry_after = retry_after}, now_);
    }
    void fail_connection() { machine_.failed({.kind = Kind::connection}, now_); }
    // The usual start: a list, then a watch from 257.
    void watch() {
        EXPECT_EQ(begun<List>(), (List{.resource_version = "0"}));
        EXPECT_EQ(listed("257"), Verdict::complete);
        EXPECT_EQ(begun<Watch>().resource_version, "257");
    }

    ListWatch machine_{{.loss = ListWatch::Options::Loss::confirmed, .random = [this] { return random_; }}};
    ListWatch::Clock::time_point now_{seconds(1000)};
    ListWatch::Names known_;
    double random_ = 0.5;
    ListWatch::Step running_;
};

TEST_F(KubeListWatchTest, Start_ListsFromTheCacheAndWatchesFromThere) {
    EXPECT_EQ(next(), ListWatch::Step(List{.resource_version = "0", .continue_token = "", .limit = 0}));
    EXPECT_EQ(next(), ListWatch::Step(ListWatch::Running{}));
    EXPECT_EQ(listed("257"), Verdict::complete);
    EXPECT_EQ(next(), ListWatch::Step(Watch{.resource_version = "257", .timeout = seconds(450)}));
}

TEST_F(KubeListWatchTest, WatchThatIsOver_GoesOnFromTheLastBookmark) {
    watch();
    machine_.progressed("270");
    machine_.progressed("286");
    now_ += seconds(300);
    machine_.watch_ended(now_);
    EXPECT_EQ(delay(), milliseconds(500));  // all nodes at once otherwise
    EXPECT_EQ(std::get<Watch>(running_).resource_version, "286");
    EXPECT_EQ(machine_.failures(), 0U);
}

TEST_F(KubeListWatchTest, WatchesThatEndAtOnce_AreAskedForMoreAndMoreSlowly) {
    watch();
    std::vector<milliseconds> delays;
    for (int i = 0; i < 4; ++i) {
        machine_.watch_ended(now_);
        delays.push_back(delay());
    }
    EXPECT_THAT(delays,
                testing::ElementsAre(milliseconds(375), milliseconds(750), milliseconds(1500), milliseconds(3000)));
}

TEST_F(KubeListWatchTest, TooOldInTheWatch_ListsAtOnceFromWhatIsNotOlder) {
    watch();
    machine_.progressed("286");
    fail_with(410);
    EXPECT_EQ(delay(), milliseconds(0));
    EXPECT_EQ(std::get<List>(running_), (List{.resource_version = "286"}));
}

TEST_F(KubeListWatchTest, TooOldAgainRightAfterTheList_WaitsAndListsExactly) {
    watch();
    fail_with(410);
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("260"), Verdict::complete);
    static_cast<void>(begun<Watch>());
    fail_with(410);
    EXPECT_EQ(delay(), milliseconds(375));
    EXPECT_EQ(std::get<List>(running_), (List{.resource_version = "", .limit = 500}));
}

TEST_F(KubeListWatchTest, ExactList_IsReadInPages) {
    watch();
    fail_with(410);
    static_cast<void>(begun<List>());
    fail_with(410);
    EXPECT_EQ(begun<List>(), (List{.limit = 500}));
    EXPECT_EQ(listed("300", "token"), Verdict::more);
    EXPECT_EQ(begun<List>(), (List{.continue_token = "token", .limit = 500}));
    EXPECT_EQ(listed("300"), Verdict::complete);
    EXPECT_EQ(begun<Watch>().resource_version, "300");
}

TEST_F(KubeListWatchTest, TokenThatExpiredBetweenPages_BeginsTheListAnew) {
    for (const int status : {410, 400}) {
        machine_.restart(now_);
        static_cast<void>(begun<List>());
        EXPECT_EQ(listed("300", "token"), Verdict::more);
        EXPECT_EQ(begun<List>().continue_token, "token");
        fail_with(status);
        EXPECT_EQ(begun<List>(), (List{.limit = 500})) << status;
        EXPECT_EQ(listed("301"), Verdict::complete);
    }
}

TEST_F(KubeListWatchTest, PageThatFailed_IsAskedForAgain) {
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("300", "token"), Verdict::more);
    static_cast<void>(begun<List>());
    fail_with(429, seconds(1));
    EXPECT_EQ(delay(), milliseconds(1500));
    EXPECT_EQ(std::get<List>(running_).continue_token, "token");
    fail_connection();
    EXPECT_EQ(begun<List>().continue_token, "token");
}

TEST_F(KubeListWatchTest, VersionOfTheFuture_EndsInAnExactList) {
    watch();
    fail_with(410);
    EXPECT_EQ(begun<List>().resource_version, "257");
    fail_with(504, seconds(1));
    EXPECT_GE(delay(), seconds(1));
    EXPECT_EQ(std::get<List>(running_), (List{.limit = 500}));
}

TEST_F(KubeListWatchTest, SlowStoreAtTheFirstList_GoesOnAskingTheCache) {
    static_cast<void>(begun<List>());
    fail_with(504);
    EXPECT_EQ(begun<List>(), (List{.resource_version = "0"}));
}

TEST_F(KubeListWatchTest, ConnectionFailures_AreRetriedWithGrowingDelays) {
    watch();
    std::vector<milliseconds::rep> delays;
    for (int i = 0; i < 9; ++i) {
        fail_connection();
        delays.push_back(delay().count());
        EXPECT_EQ(std::get<Watch>(running_).resource_version, "257");
    }
    EXPECT_THAT(delays, testing::ElementsAre(375, 750, 1500, 3000, 6000, 12000, 22500, 22500, 22500));
    EXPECT_EQ(machine_.failures(), 9U);
    machine_.progressed("258");
    EXPECT_EQ(machine_.failures(), 0U);
    fail_connection();
    EXPECT_EQ(delay(), milliseconds(375));
}

TEST_F(KubeListWatchTest, Jitter_TakesOffUpToHalfOfADelay) {
    watch();
    random_ = 0;
    fail_connection();
    EXPECT_EQ(delay(), milliseconds(250));
    random_ = 0.999;
    fail_connection();
    EXPECT_NEAR(static_cast<double>(delay().count()), 1000, 2);
}

TEST_F(KubeListWatchTest, TooManyRequests_WaitsAsLongAsTheServerSays) {
    watch();
    fail_with(429, seconds(20));
    EXPECT_EQ(delay(), milliseconds(20500));
    EXPECT_EQ(std::get<Watch>(running_).resource_version, "257");
    fail_with(429, seconds(1'000'000));
    EXPECT_EQ(delay(), milliseconds(300'500));
    fail_with(503, seconds(7));
    EXPECT_EQ(delay(), milliseconds(7500));
}

TEST_F(KubeListWatchTest, Unauthorized_IsTriedOnceAtOnceWithNewCredentials) {
    static_cast<void>(begun<List>());
    fail_with(401);
    EXPECT_EQ(delay(), milliseconds(0));
    fail_with(401);
    EXPECT_GT(delay(), milliseconds(500));
    fail_with(401);
    EXPECT_GT(delay(), milliseconds(1000));
    EXPECT_EQ(listed("257"), Verdict::complete);
    static_cast<void>(begun<Watch>());
    fail_with(401);
    EXPECT_EQ(delay(), milliseconds(0));
    EXPECT_TRUE(std::holds_alternative<Watch>(running_));
}

TEST_F(KubeListWatchTest, MissingRights_AreAskedForSlowly) {
    for (const int status : {403, 404, 405, 301}) {
        machine_.restart(now_);
        static_cast<void>(begun<List>());
        fail_with(status);
        EXPECT_EQ(delay(), seconds(45)) << status;
    }
}

TEST_F(KubeListWatchTest, WatchThatIsRefusedAgainAndAgain_IsBegunAnewWithAList) {
    watch();
    fail_with(500);  // d-watch-bad-rv: without a reason
    EXPECT_TRUE((static_cast<void>(begun<Watch>()), true));
    fail_with(500);
    EXPECT_TRUE((static_cast<void>(begun<Watch>()), true));
    fail_with(500);
    EXPECT_EQ(begun<List>(), (List{.limit = 500}));
}

TEST_F(KubeListWatchTest, AnswerThatMakesNoSense_ListsAnew) {
    watch();
    machine_.failed({.kind = Kind::content}, now_);
    EXPECT_EQ(delay(), milliseconds(375));
    EXPECT_EQ(std::get<List>(running_).resource_version, "257");
}

// Each list succeeds, and each watch from there fails: no node of a cluster may ask for all nodes twice a second.
TEST_F(KubeListWatchTest, WatchesThatFailAfterGoodLists_AreTriedMoreAndMoreSlowly) {
    for (const auto& failure :
         {RequestFailure{.kind = Kind::content}, RequestFailure{.kind = Kind::status, .status = 410}}) {
        ListWatch machine({.loss = ListWatch::Options::Loss::believed, .random = [] { return 0.0; }});
        auto now = now_;
        milliseconds longest(0);
        for (int i = 0; i < 12; ++i) {
            auto step = machine.next(now);
            if (const auto* wait = std::get_if<Wait>(&step)) {
                longest = std::max(longest, std::chrono::duration_cast<milliseconds>(wait->until - now));
                now = wait->until;
                step = machine.next(now);
            }
            ASSERT_TRUE(std::holds_alternative<List>(step));
            static_cast<void>(machine.listed({.resource_version = "300", .continue_token = ""}, {}, {}, now));
            ASSERT_TRUE(std::holds_alternative<Watch>(machine.next(now)));
            machine.failed(failure, now);
        }
        EXPECT_EQ(longest, seconds(15)) << failure.status;
        EXPECT_GT(machine.failures(), 9U) << failure.status;
        machine.progressed("301");
        EXPECT_EQ(machine.failures(), 0U);
    }
}

// ---- a list that lost much

class KubeLossTest : public KubeListWatchTest {
protected:
    void SetUp() override { known_ = {"n1", "n2", "n3", "n4", "n5"}; }
};

TEST_F(KubeLossTest, LessThanHalf_IsBelieved) {
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("300", "", {"n1", "n2", "n3"}), Verdict::complete);
}

TEST_F(KubeLossTest, ExactlyHalf_IsBelieved) {
    known_ = {"n1", "n2"};
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("300", "", {"n1"}), Verdict::complete);
}

TEST_F(KubeLossTest, MoreThanHalf_IsBelievedWhenAnExactListAgrees) {
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("300", "", {"n1", "n2"}), Verdict::doubted);
    EXPECT_EQ(machine_.doubted_loss(), 3U);
    EXPECT_EQ(delay(), seconds(3));
    EXPECT_EQ(std::get<List>(running_), (List{.limit = 500}));
    EXPECT_EQ(listed("301", "", {"n1"}), Verdict::complete);
    EXPECT_EQ(machine_.doubted_loss(), 0U);
    EXPECT_EQ(begun<Watch>().resource_version, "301");
}

TEST_F(KubeLossTest, SecondListThatHasThemAgain_Counts) {
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("300", "", {}), Verdict::doubted);
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("301", "", known_), Verdict::complete);
}

TEST_F(KubeLossTest, ListsThatLackDifferentNodes_DoNotAgree) {
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("300", "", {"n1", "n2"}), Verdict::doubted);
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("301", "", {"n4", "n5"}), Verdict::doubted);
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("302", "", {"n5"}), Verdict::complete);
}

TEST_F(KubeLossTest, FailureInBetween_LeavesTheDoubt) {
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("300", "", {}), Verdict::doubted);
    static_cast<void>(begun<List>());
    fail_with(503);
    EXPECT_EQ(begun<List>(), (List{.limit = 500}));
    EXPECT_EQ(machine_.doubted_loss(), 5U);
    EXPECT_EQ(listed("301", "", {}), Verdict::complete);
}

TEST_F(KubeLossTest, RestartInBetween_StillAsksForAnExactList) {
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("300", "", {}), Verdict::doubted);
    machine_.restart(now_);
    EXPECT_EQ(begun<List>(), (List{.limit = 500}));
    EXPECT_EQ(listed("301", "", known_), Verdict::complete);
    machine_.restart(now_);
    EXPECT_EQ(begun<List>(), (List{.resource_version = "301"}));
}

TEST_F(KubeLossTest, OtherNodesInTheirPlace_AreALossToo) {
    static_cast<void>(begun<List>());
    EXPECT_EQ(listed("300", "", {"m1", "m2", "m3", "m4", "m5"}), Verdict::doubted);
}

}  // namespace
}  // namespace podlane
