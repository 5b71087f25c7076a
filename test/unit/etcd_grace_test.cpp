// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/grace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/source/etcd/store.h"

namespace podlane::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

// A clock that only the test moves. Node n<i> has 10.5.<i>.0/24.
class EtcdGraceTest : public testing::Test {
protected:
    static Grace::Nodes nodes(const std::vector<unsigned>& numbers) {
        Grace::Nodes result;
        for (const auto number : numbers) {
            NodeObject node;
            node.name = fmt::format("n{}", number);
            node.internal_ips = {fmt::format("192.168.0.{}", number)};
            node.pod_cidrs = {fmt::format("10.5.{}.0/24", number)};
            result.emplace(node.name, node);
        }
        return result;
    }
    std::vector<std::string> take(const Grace::Nodes& live) {
        std::vector<std::string> names;
        for (const auto& [name, node] : grace_.take(live, now_)) {
            names.push_back(name);
        }
        return names;
    }

    Grace grace_;
    Grace::Clock::time_point now_{seconds(1000)};
};

TEST_F(EtcdGraceTest, OneNodeThatGoes_GoesAtOnce) {
    take(nodes({1, 2}));
    EXPECT_THAT(take(nodes({1})), ElementsAre("n1"));
    EXPECT_FALSE(grace_.ends());
}

TEST_F(EtcdGraceTest, MostNodesAtOnce_StayForAMinute) {
    take(nodes({1, 2, 3, 4, 5}));
    EXPECT_THAT(take(nodes({1})), ElementsAre("n1", "n2", "n3", "n4", "n5"));
    EXPECT_EQ(grace_.ends(), now_ + seconds(60));
    now_ += seconds(30);
    EXPECT_THAT(take(nodes({1, 3})), ElementsAre("n1", "n2", "n3", "n4", "n5"));
    now_ += seconds(30) - milliseconds(1);
    EXPECT_THAT(take(nodes({1, 3})), ElementsAre("n1", "n2", "n3", "n4", "n5"));
    now_ += milliseconds(1);
    EXPECT_THAT(take(nodes({1, 3})), ElementsAre("n1", "n3"));
    EXPECT_FALSE(grace_.ends());
}

TEST_F(EtcdGraceTest, NodesThatComeBackOneByOne_NeverWent) {
    take(nodes({1, 2, 3}));
    take(nodes({}));
    take(nodes({1}));
    take(nodes({1, 2}));
    EXPECT_THAT(take(nodes({1, 2, 3})), ElementsAre("n1", "n2", "n3"));
    EXPECT_FALSE(grace_.ends());
    now_ += seconds(60);
    EXPECT_THAT(take(nodes({1, 2})), ElementsAre("n1", "n2"));
}

TEST_F(EtcdGraceTest, AfterAnAlarm_EvenOneNodeStays) {
    take(nodes({1, 2}));
    grace_.alarm(now_);
    EXPECT_THAT(take(nodes({1})), ElementsAre("n1", "n2"));
    now_ += seconds(59);
    grace_.alarm(now_);
    now_ += seconds(59);
    EXPECT_THAT(take(nodes({1})), ElementsAre("n1", "n2"));
    now_ += seconds(1);
    EXPECT_THAT(take(nodes({1})), ElementsAre("n1"));
}

TEST_F(EtcdGraceTest, SubnetOrAddressThatAnotherNodeHasByNow_EndsTheStay) {
    take(nodes({1, 2, 3, 4}));
    auto live = nodes({1, 5, 6});
    live.at("n5").pod_cidrs = {"10.5.2.0/24"};
    live.at("n6").internal_ips = {"192.168.0.3"};
    EXPECT_THAT(take(live), ElementsAre("n1", "n4", "n5", "n6"));
    EXPECT_THAT(grace_.missing(), ElementsAre("n4"));
}

TEST_F(EtcdGraceTest, StateFromBeforeTheStart_StaysToo) {
    grace_.remember(nodes({1, 2, 3}));
    EXPECT_THAT(take(nodes({1})), ElementsAre("n1", "n2", "n3"));
    now_ += seconds(60);
    EXPECT_THAT(take(nodes({1})), ElementsAre("n1"));
}

}  // namespace
}  // namespace podlane::etcd
