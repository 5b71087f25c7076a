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

// ---- with the store and the claim: two nodes and an etcd that loses everything

constexpr int http_not_found = 404;

struct FakeEtcd {
    std::map<std::string, KeyValue> keys;
    std::int64_t revision = 1;
    std::int64_t lease = 0;

    [[nodiscard]] RangeAnswer list() const {
        RangeAnswer answer{.position = {.cluster = 1, .revision = revision}, .values = {}};
        for (const auto& [key, value] : keys) {
            answer.values.push_back(value);
        }
        return answer;
    }
};

class FakeNode {
public:
    FakeNode(FakeEtcd& etcd, unsigned number)
        : etcd_(etcd),
          own_{.public_ip = Ipv4Address::from_host(0xc0a80000U + number), .vni = 1, .vtep_mac = {}},
          claim_({.endpoints = 1, .random = [] { return 0.5; }}, own_) {
        claim_.remember({.subnet = Ipv4Prefix::parse(fmt::format("10.5.{}.0/24", number)).value()});
    }
    Follow::Verdict list(Grace::Clock::time_point now) {
        static_cast<void>(follow_.next(now));
        store_.list_begins();
        const auto answer = etcd_.list();
        const auto verdict = follow_.listed(answer.position, store_.compare(answer), now);
        if (verdict == Follow::Verdict::doubted) {
            store_.doubt(answer);
            grace_.alarm(now);
        } else {
            store_.replace(answer);
        }
        return verdict;
    }
    // What the claim wants is done at once, until it wants nothing more.
    void claim(Grace::Clock::time_point now) {
        for (int i = 0; i < 10; ++i) {
            const auto step = claim_.next(store_.view(&network_), now);
            if (claim_.held()) {
                store_.hold(*claim_.held());
            }
            if (std::holds_alternative<Claim::Grant>(step)) {
                claim_.granted({.id = ++etcd_.lease, .ttl = std::chrono::hours(24)}, now);
            } else if (const auto* write = std::get_if<Claim::Write>(&step)) {
                put(*write, now);
            } else if (const auto* wait = std::get_if<Claim::Wait>(&step); wait && wait->until < now + seconds(1)) {
                now = wait->until;
            }
        }
    }
    [[nodiscard]] std::size_t count(Grace::Clock::time_point now) {
        auto nodes = store_.nodes([this](const Subnet& subnet) { return claim_.owns(subnet); });
        nodes["self"].name = "self";
        return grace_.take(std::move(nodes), now).size();
    }

private:
    void put(const Claim::Write& write, Grace::Clock::time_point now) {
        if (write.lease > etcd_.lease) {
            claim_.failed(http_not_found, now);
            return;
        }
        const auto key = store_.key_of(write.subnet);
        const KeyValue value{
            .key = key, .value = subnet_value(write.attributes), .revision = ++etcd_.revision, .lease = write.lease};
        etcd_.keys[key] = value;
        store_.put_own(value);
        claim_.written(write);
    }

    FakeEtcd& etcd_;
    Network network_ = parse_network(R"({"Network":"10.5.0.0/16"})").value();
    Attributes own_;
    Claim claim_;
    Store store_{"/p"};
    Follow follow_{1, [] { return 0.5; }};
    Grace grace_;
};

TEST_F(EtcdGraceTest, NodesWhoseEtcdLostEverything_NeverLackEachOther) {
    FakeEtcd etcd{.keys = {}, .lease = 50};
    FakeNode n1(etcd, 1);
    FakeNode n2(etcd, 2);
    for (auto* node : {&n1, &n2, &n1}) {
        EXPECT_EQ(node->list(now_), Follow::Verdict::complete);
        node->claim(now_);
    }
    EXPECT_EQ(n1.list(now_), Follow::Verdict::complete);
    EXPECT_EQ(n1.count(now_), 2U);
    EXPECT_EQ(n2.count(now_), 2U);

    etcd = {};
    // n1 notices first, and puts its key back before it believes that the others' are gone.
    EXPECT_EQ(n1.list(now_), Follow::Verdict::doubted);
    n1.claim(now_);
    EXPECT_EQ(etcd.keys.size(), 1U);
    now_ += seconds(4);
    EXPECT_EQ(n1.list(now_), Follow::Verdict::complete);
    EXPECT_EQ(n1.count(now_), 2U);
    // n2 as late as can be.
    now_ += seconds(45);
    EXPECT_EQ(n1.count(now_), 2U);
    n2.list(now_);
    n2.claim(now_);
    EXPECT_EQ(etcd.keys.size(), 2U);
    EXPECT_EQ(n2.count(now_), 2U);
    EXPECT_EQ(n1.list(now_), Follow::Verdict::complete);
    now_ += seconds(60);
    EXPECT_EQ(n1.count(now_), 2U);
    EXPECT_EQ(n2.count(now_), 2U);
}

}  // namespace
}  // namespace podlane::etcd
