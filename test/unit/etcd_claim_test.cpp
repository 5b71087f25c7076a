// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/claim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane::etcd {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;
using Mac = Claim::Options::Mac;

Ipv4Prefix subnet(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}
MacAddress mac(std::string_view text) {
    return MacAddress::parse(text).value();
}

// A clock that only the test moves, and random numbers that it chooses.
class EtcdClaimTest : public testing::Test {
protected:
    Claim make() {
        return Claim({.endpoints = 1, .random = [this] { return random_; }, .mac = mac_}, own_);
    }
    Claim::Step next() { return next_in(&network_); }
    Claim::Step next_in(const Network* network) {
        Claim::View view{.network = network, .subnets = &subnets_, .taken = {}};
        for (const auto& [prefix, each] : subnets_) {
            view.taken.push_back(prefix);
        }
        return claim_->next(view, now_);
    }
    // etcd has this node's key like that.
    Subnet& own_key(std::string_view prefix, std::int64_t lease, std::int64_t revision) {
        return subnets_[subnet(prefix)] = {.subnet = subnet(prefix),
                                           .public_ip = own_.public_ip,
                                           .backend_type = "vxlan",
                                           .vtep_mac = own_.vtep_mac,
                                           .vni = own_.vni,
                                           .lease = lease,
                                           .revision = revision};
    }
    void others_key(std::string_view prefix, std::string_view public_ip) {
        subnets_[subnet(prefix)] = {
            .subnet = subnet(prefix), .public_ip = Ipv4Address::parse(public_ip).value(), .backend_type = "vxlan"};
    }
    [[nodiscard]] Claim::Step write(std::string_view prefix, std::int64_t lease, std::int64_t revision = 0) const {
        return Claim::Write{.subnet = subnet(prefix), .attributes = own_, .lease = lease, .revision = revision};
    }
    // Holds 10.5.2.0/24 by lease 7.
    void hold() {
        own_key("10.5.2.0/24", 7, 10);
        EXPECT_EQ(next(), Claim::Step(Claim::KeepAlive{7}));
        claim_->kept_alive({.id = 7, .ttl = hours(24)}, now_);
        EXPECT_TRUE(std::holds_alternative<Claim::Wait>(next()));
    }

    double random_ = 0;
    Network network_ = parse_network(R"({"Network":"10.5.0.0/16","SubnetMax":"10.5.4.0"})").value();
    std::map<Ipv4Prefix, Subnet> subnets_;
    Attributes own_{
        .public_ip = Ipv4Address::parse("192.168.0.1").value(), .vni = 1, .vtep_mac = mac("02:50:c0:a8:00:01")};
    Claim::Clock::time_point now_{seconds(1000)};
    Mac mac_ = Mac::own;
    std::optional<Claim> claim_ = make();
};

TEST_F(EtcdClaimTest, WithoutANetwork_NothingIsAskedFor) {
    EXPECT_EQ(claim_->next({.network = nullptr, .subnets = &subnets_, .taken = {}}, now_), Claim::Step(Claim::Idle{}));
}

TEST_F(EtcdClaimTest, WithoutANetwork_TheHeldKeyIsRenewedMendedAndPutBack) {
    hold();
    now_ += minutes(60);
    EXPECT_EQ(next_in(nullptr), Claim::Step(Claim::KeepAlive{7}));
    claim_->kept_alive({.id = 7, .ttl = hours(24)}, now_);
    own_key("10.5.2.0/24", 7, 12).vtep_mac = mac("02:00:00:00:00:09");
    EXPECT_EQ(next_in(nullptr), write("10.5.2.0/24", 7, 12));
    claim_->refused(now_);
    now_ += seconds(1);
    subnets_.clear();
    EXPECT_EQ(next_in(nullptr), write("10.5.2.0/24", 7));
    claim_->refused(now_);
    now_ += seconds(1);
    others_key("10.5.2.0/24", "192.168.0.9");
    EXPECT_EQ(next_in(nullptr), Claim::Step(Claim::Idle{}));
    EXPECT_EQ(claim_->problem(), "");
}

TEST_F(EtcdClaimTest, RestartWithoutANetwork_RenewsTheKeyOfBeforeAndTakesNoOther) {
    own_key("10.5.1.0/24", 5, 9);
    EXPECT_EQ(next_in(nullptr), Claim::Step(Claim::Idle{}));
    own_key("10.5.2.0/24", 7, 10);
    claim_->remember({.subnet = subnet("10.5.2.0/24")});
    EXPECT_EQ(next_in(nullptr), Claim::Step(Claim::KeepAlive{7}));
    EXPECT_EQ(claim_->held(), subnet("10.5.2.0/24"));
}

TEST_F(EtcdClaimTest, NodeWithoutASubnet_TakesAFreeOneWithALease) {
    others_key("10.5.1.0/24", "192.168.0.9");
    EXPECT_EQ(next(), Claim::Step(Claim::Grant{hours(24)}));
    EXPECT_EQ(next(), Claim::Step(Claim::Running{}));
    claim_->granted({.id = 7, .ttl = hours(24)}, now_);
    const auto step = next();
    EXPECT_EQ(step, write("10.5.2.0/24", 7));
    claim_->written(std::get<Claim::Write>(step));
    EXPECT_EQ(claim_->held(), subnet("10.5.2.0/24"));
}

TEST_F(EtcdClaimTest, SubnetThatAnotherNodeWasQuickerToTake_IsFollowedByAnother) {
    static_cast<void>(next());
    claim_->granted({.id = 7, .ttl = hours(24)}, now_);
    EXPECT_EQ(next(), write("10.5.1.0/24", 7));
    others_key("10.5.1.0/24", "192.168.0.9");
    claim_->refused(now_);
    EXPECT_EQ(next(), Claim::Step(Claim::Wait{now_ + milliseconds(250)}));
    now_ += milliseconds(250);
    EXPECT_EQ(next(), write("10.5.2.0/24", 7));
    EXPECT_FALSE(claim_->held());
}

TEST_F(EtcdClaimTest, SubnetOfBefore_ComesFirstIfItIsFree) {
    claim_->remember({.subnet = subnet("10.5.3.0/24")});
    static_cast<void>(next());
    claim_->granted({.id = 7, .ttl = hours(24)}, now_);
    EXPECT_EQ(next(), write("10.5.3.0/24", 7));
    claim_->failed(0, now_);
    now_ += seconds(1);
    others_key("10.5.3.0/24", "192.168.0.9");
    EXPECT_EQ(next(), write("10.5.1.0/24", 7));
}

TEST_F(EtcdClaimTest, KeyWithThisNodesPublicIp_IsTakenOverWithItsLease) {
    own_key("10.5.4.0/24", 99, 10);
    EXPECT_EQ(next(), Claim::Step(Claim::KeepAlive{99}));
    EXPECT_EQ(claim_->held(), subnet("10.5.4.0/24"));
    claim_->kept_alive({.id = 99, .ttl = hours(24)}, now_);
    EXPECT_EQ(next(), Claim::Step(Claim::Wait{now_ + minutes(45)}));
}

TEST_F(EtcdClaimTest, KeyOfBeforeWithThePublicIpOfBefore_IsTakenOverByAChange) {
    const auto old_ip = Ipv4Address::parse("192.168.0.77").value();
    const auto old_mac = mac("02:50:c0:a8:00:4d");
    claim_->remember({.subnet = subnet("10.5.3.0/24"), .public_ip = old_ip, .mac = old_mac});
    auto& key = own_key("10.5.3.0/24", 99, 10);
    key.public_ip = old_ip;
    key.vtep_mac = old_mac;
    own_key("10.5.4.0/24", 98, 9);  // that another node has given up
    EXPECT_EQ(next(), Claim::Step(Claim::KeepAlive{99}));
    claim_->kept_alive({.id = 99, .ttl = hours(24)}, now_);
    EXPECT_EQ(next(), write("10.5.3.0/24", 99, 10));
}

TEST_F(EtcdClaimTest, KeyOfBeforeThatAnotherNodeHas_IsNot) {
    const auto old_ip = Ipv4Address::parse("192.168.0.77").value();
    claim_->remember({.subnet = subnet("10.5.3.0/24"), .public_ip = old_ip, .mac = mac("02:50:c0:a8:00:4d")});
    auto& key = own_key("10.5.3.0/24", 99, 10);
    key.public_ip = old_ip;
    key.vtep_mac = mac("c6:d2:32:6f:8f:44");
    EXPECT_FALSE(claim_->owns(key));
    EXPECT_EQ(next(), Claim::Step(Claim::Grant{hours(24)}));
}

TEST_F(EtcdClaimTest, LeaseOfADay_IsRenewedEveryHourAndAfterFailuresSoon) {
    random_ = 0.999999;
    hold();
    now_ += minutes(60);
    EXPECT_EQ(next(), Claim::Step(Claim::KeepAlive{7}));
    claim_->failed(0, now_);
    now_ += milliseconds(500);
    EXPECT_EQ(next(), Claim::Step(Claim::KeepAlive{7}));
    EXPECT_EQ(claim_->held(), subnet("10.5.2.0/24"));
}

TEST_F(EtcdClaimTest, KeyThatSaysSomethingElse_IsMendedIfNobodyChangedItMeanwhile) {
    hold();
    own_key("10.5.2.0/24", 7, 12).vtep_mac = mac("02:00:00:00:00:09");
    now_ += seconds(1);
    EXPECT_EQ(next(), write("10.5.2.0/24", 7, 12));
}

TEST_F(EtcdClaimTest, BesideFlannel_TheMacThatIsPublishedStays) {
    mac_ = Mac::keep;
    claim_.emplace(make());
    own_key("10.5.2.0/24", 7, 12).vtep_mac = mac("02:00:00:00:00:09");
    EXPECT_EQ(next(), Claim::Step(Claim::KeepAlive{7}));
    claim_->kept_alive({.id = 7, .ttl = hours(24)}, now_);
    EXPECT_TRUE(std::holds_alternative<Claim::Wait>(next()));
    EXPECT_EQ(claim_->attributes().vtep_mac, mac("02:00:00:00:00:09"));
}

TEST_F(EtcdClaimTest, Reservation_IsFilledInWithoutALeaseAndNeverRenewed) {
    own_key("10.5.2.0/24", 0, 12).backend_type = "";
    own_key("10.5.1.0/24", 5, 11);
    const auto step = next();
    EXPECT_EQ(step, write("10.5.2.0/24", 0, 12));
    claim_->written(std::get<Claim::Write>(step));
    own_key("10.5.2.0/24", 0, 13);
    EXPECT_EQ(next(), Claim::Step(Claim::Idle{}));
    now_ += hours(100);
    EXPECT_EQ(next(), Claim::Step(Claim::Idle{}));
}

TEST_F(EtcdClaimTest, LostKey_IsCreatedAgainAndItsSubnetCountsMeanwhile) {
    hold();
    subnets_.clear();
    EXPECT_EQ(next(), write("10.5.2.0/24", 7));
    EXPECT_EQ(claim_->held(), subnet("10.5.2.0/24"));
    // The lease is gone too.
    claim_->failed(404, now_);
    now_ += seconds(1);
    EXPECT_EQ(next(), Claim::Step(Claim::Grant{hours(24)}));
    claim_->granted({.id = 8, .ttl = hours(24)}, now_);
    EXPECT_EQ(next(), write("10.5.2.0/24", 8));
}

TEST_F(EtcdClaimTest, LeaseThatIsOverBeforeItsKeyGoes_IsReplaced) {
    own_key("10.5.2.0/24", 7, 10);
    EXPECT_EQ(next(), Claim::Step(Claim::KeepAlive{7}));
    claim_->kept_alive({.id = 7, .ttl = seconds(0)}, now_);
    EXPECT_EQ(next(), Claim::Step(Claim::Grant{hours(24)}));
    claim_->granted({.id = 8, .ttl = hours(24)}, now_);
    EXPECT_EQ(next(), write("10.5.2.0/24", 8, 10));
}

TEST_F(EtcdClaimTest, SubnetThatWentToAnotherNode_IsReplacedAndCountsUntilThen) {
    hold();
    subnets_.clear();
    others_key("10.5.2.0/24", "192.168.0.9");
    const auto step = next();
    EXPECT_EQ(step, write("10.5.1.0/24", 7));
    EXPECT_EQ(claim_->held(), subnet("10.5.2.0/24"));
    claim_->written(std::get<Claim::Write>(step));
    EXPECT_EQ(claim_->held(), subnet("10.5.1.0/24"));
}

TEST_F(EtcdClaimTest, NoFreeSubnet_IsSaidAndWaitedFor) {
    others_key("10.5.0.0/16", "192.168.0.9");
    EXPECT_EQ(next(), Claim::Step(Claim::Idle{}));
    EXPECT_THAT(claim_->problem(), HasSubstr("no subnet is free from 10.5.1.0 to 10.5.4.0/24"));
    subnets_.clear();
    EXPECT_EQ(next(), Claim::Step(Claim::Grant{hours(24)}));
    EXPECT_EQ(claim_->problem(), "");
}

TEST_F(EtcdClaimTest, OwnKeyOutsideTheNetwork_IsNotTakenOver) {
    own_key("10.6.1.0/24", 5, 3);
    own_key("10.5.0.0/24", 5, 3);  // before SubnetMin
    EXPECT_EQ(next(), Claim::Step(Claim::Grant{hours(24)}));
}

}  // namespace
}  // namespace podlane::etcd
