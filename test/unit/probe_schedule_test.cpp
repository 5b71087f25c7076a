// SPDX-License-Identifier: Apache-2.0
#include "agent/node/probe_schedule.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <set>

#include <gtest/gtest.h>

namespace podlane {
namespace {

using namespace std::chrono_literals;
using Time = ProbeSchedule::Time;

constexpr std::uint32_t eth0 = 2;

Ipv4Address peer(std::uint32_t number) {
    return Ipv4Address::from_host(0x0a000000U + number);
}

ProbeTarget on_eth0(std::uint32_t number) {
    return {.address = peer(number), .ifindex = eth0, .has_carrier = true};
}

// The schedule and a clock that runs as fast as the test does. Peers in `deaf` do not answer.
class ProbeScheduleTest : public testing::Test {
protected:
    void follow(const std::vector<ProbeTarget>& targets) { schedule_.follow(targets, now_); }

    // Works as an event loop would, until `duration` is over.
    void run(std::chrono::milliseconds duration) {
        const Time end = now_ + duration;
        while (true) {
            work();
            const auto next = schedule_.next();
            const Time wake = next ? std::max(*next, last_burst_ + ProbeSchedule::burst_interval) : end;
            if (!next || wake > end) {
                now_ = end;
                return;
            }
            now_ = std::max(now_, wake);
        }
    }
    [[nodiscard]] Standing standing(std::uint32_t number) const { return schedule_.adjacency(peer(number)).standing; }
    // How long it takes until peer 1 is in that standing.
    std::chrono::milliseconds time_until(Standing wanted) {
        const Time start = now_;
        while (standing(1) != wanted && now_ < start + 60s) {
            run(10ms);
        }
        return std::chrono::duration_cast<std::chrono::milliseconds>(now_ - start);
    }

    Time now_{1h};
    Time last_burst_{};
    std::uint64_t next_nonce_ = 0;
    ProbeSchedule schedule_{Patience{}, [this] { return next_nonce_ += 1000; }};
    std::set<Ipv4Address> deaf_;
    std::multimap<Time, Probe> sent_;
    unsigned changes_ = 0;

private:
    void work() {
        changes_ += schedule_.expire(now_) ? 1 : 0;
        if (now_ < last_burst_ + ProbeSchedule::burst_interval) {
            return;
        }
        for (const auto& probe : schedule_.take_due(now_)) {
            last_burst_ = now_;
            sent_.emplace(now_, probe);
            if (!deaf_.contains(probe.address)) {
                changes_ += schedule_.answered(probe, now_) ? 1 : 0;
            }
        }
    }
};

TEST_F(ProbeScheduleTest, NewPeer_IsProbedAtOnceAndTrustedWithItsFirstAnswer) {
    follow({on_eth0(1)});
    run(0ms);
    EXPECT_EQ(sent_.size(), 1U);
    EXPECT_EQ(standing(1), Standing::answering);
    EXPECT_EQ(changes_, 1U);
}

TEST_F(ProbeScheduleTest, AnsweringPeer_IsProbedEveryTwoSeconds) {
    follow({on_eth0(1)});
    run(20s);
    EXPECT_EQ(sent_.size(), 11U);
    EXPECT_EQ(changes_, 1U);
}

TEST_F(ProbeScheduleTest, PeerThatGoesDeaf_IsSilentAfterThreeMissesWithinTenSeconds) {
    for (const auto offset : {0ms, 1ms, 700ms, 1999ms}) {
        SCOPED_TRACE(offset.count());
        deaf_.clear();
        follow({});
        follow({on_eth0(1)});
        run(4s + offset);
        sent_.clear();
        deaf_.insert(peer(1));
        const auto took = time_until(Standing::silent);
        EXPECT_EQ(sent_.size(), 3U);
        EXPECT_GE(took, 3s);
        EXPECT_LE(took, 5s + 20ms);
    }
}

TEST_F(ProbeScheduleTest, PeerThatHearsAgain_IsTrustedAfterThreeAnswersWithinTenSeconds) {
    for (const auto offset : {0ms, 300ms, 1200ms, 1999ms}) {
        SCOPED_TRACE(offset.count());
        deaf_.insert(peer(1));
        follow({});
        follow({on_eth0(1)});
        run(8s + offset);
        EXPECT_EQ(standing(1), Standing::silent);
        deaf_.clear();
        const auto took = time_until(Standing::answering);
        EXPECT_GE(took, 2s);
        EXPECT_LE(took, 4s + 20ms);
    }
}

TEST_F(ProbeScheduleTest, OneLostProbe_ChangesNothing) {
    follow({on_eth0(1)});
    run(3s);
    deaf_.insert(peer(1));
    run(2s);
    deaf_.clear();
    run(20s);
    EXPECT_EQ(changes_, 1U);
}

TEST_F(ProbeScheduleTest, ThousandsOfPeers_NeverBurstAndAllHaveTheirTurn) {
    constexpr std::uint32_t count = 5000;
    std::vector<ProbeTarget> targets;
    for (std::uint32_t number = 1; number <= count; ++number) {
        targets.push_back(on_eth0(number));
    }
    follow(targets);
    run(2s);
    for (std::uint32_t number = 1; number <= count; ++number) {
        ASSERT_EQ(standing(number), Standing::answering) << number;
    }
    run(18s);
    std::map<Time, std::size_t> at_once;
    std::map<Ipv4Address, Time> latest;
    for (const auto& [time, probe] : sent_) {
        ++at_once[time];
        if (const auto before = latest.find(probe.address); before != latest.end()) {
            EXPECT_LE(time - before->second, 2500ms);
        }
        latest[probe.address] = time;
    }
    Time before{};
    for (const auto& [time, probes] : at_once) {
        EXPECT_LE(probes, ProbeSchedule::burst);
        EXPECT_GE(time - before, ProbeSchedule::burst_interval);
        before = time;
    }
}

// Every answer wakes the agent, which looks for missed probes each time: not through all that wait for their turn.
TEST_F(ProbeScheduleTest, WakeUpWithThousandsOfPeersDue_CostsNoLookAtEachOfThem) {
    std::vector<ProbeTarget> targets;
    for (std::uint32_t number = 1; number <= 5000; ++number) {
        targets.push_back(on_eth0(number));
    }
    follow(targets);
    const auto start = std::clock();
    for (int wake_up = 0; wake_up < 20000; ++wake_up) {
        ASSERT_FALSE(schedule_.expire(now_));
        ASSERT_EQ(schedule_.next(), now_);
    }
    const auto cost = std::chrono::milliseconds((std::clock() - start) * 1000 / CLOCKS_PER_SEC);
    EXPECT_LT(cost, 200ms);
}

TEST_F(ProbeScheduleTest, ThousandsThatGoDeafAtOnce_AreAllSilentWithinTenSeconds) {
    std::vector<ProbeTarget> targets;
    for (std::uint32_t number = 1; number <= 5000; ++number) {
        targets.push_back(on_eth0(number));
    }
    follow(targets);
    run(6s);
    for (const auto& target : targets) {
        deaf_.insert(target.address);
    }
    run(10s);
    for (const auto& target : targets) {
        ASSERT_EQ(schedule_.adjacency(target.address).standing, Standing::silent) << target.address.to_string();
    }
}

TEST_F(ProbeScheduleTest, AnswerThatIsNotTheAwaitedOne_ChangesNothing) {
    follow({on_eth0(1)});
    const auto probes = schedule_.take_due(now_);
    ASSERT_EQ(probes.size(), 1U);
    const auto wrong = [&](auto change) {
        Probe probe = probes.front();
        change(probe);
        EXPECT_FALSE(schedule_.answered(probe, now_));
        EXPECT_EQ(standing(1), Standing::undecided);
    };
    wrong([](Probe& probe) { probe.address = peer(2); });
    wrong([](Probe& probe) { probe.ifindex = 3; });
    wrong([](Probe& probe) { ++probe.sequence; });
    wrong([](Probe& probe) { ++probe.nonce; });
    EXPECT_TRUE(schedule_.answered(probes.front(), now_));
    EXPECT_EQ(standing(1), Standing::answering);
    EXPECT_FALSE(schedule_.answered(probes.front(), now_)) << "twice";
}

TEST_F(ProbeScheduleTest, AnswerAfterItsTime_IsNoAnswer) {
    deaf_.insert(peer(1));
    follow({on_eth0(1)});
    run(1500ms);
    ASSERT_FALSE(sent_.empty());
    EXPECT_FALSE(schedule_.answered(sent_.begin()->second, now_));
    EXPECT_EQ(standing(1), Standing::undecided);
}

TEST_F(ProbeScheduleTest, LostCarrier_SilencesAtOnceAndItsReturnIsProbedAtOnce) {
    follow({on_eth0(1)});
    run(1s);
    sent_.clear();
    follow({{.address = peer(1), .ifindex = eth0, .has_carrier = false}});
    EXPECT_EQ(standing(1), Standing::silent);
    run(10s);
    EXPECT_TRUE(sent_.empty()) << "probed without carrier";
    EXPECT_EQ(schedule_.next(), std::nullopt);
    follow({on_eth0(1)});
    EXPECT_LE(time_until(Standing::answering), 2s + 20ms);
}

TEST_F(ProbeScheduleTest, PeerOnAnotherDevice_StartsAnew) {
    follow({on_eth0(1)});
    run(1s);
    deaf_.insert(peer(1));
    follow({{.address = peer(1), .ifindex = 3, .has_carrier = true}});
    EXPECT_EQ(standing(1), Standing::undecided);
    sent_.clear();
    run(0ms);
    ASSERT_EQ(sent_.size(), 1U);
    EXPECT_EQ(sent_.begin()->second.ifindex, 3U);
}

TEST_F(ProbeScheduleTest, FollowingTheSameAgain_ChangesNothing) {
    follow({on_eth0(1)});
    run(1s);
    sent_.clear();
    for (int i = 0; i < 50; ++i) {
        follow({on_eth0(1)});
        run(10ms);
    }
    EXPECT_TRUE(sent_.empty());
    EXPECT_EQ(standing(1), Standing::answering);
}

TEST_F(ProbeScheduleTest, PeerThatLeft_IsForgotten) {
    follow({on_eth0(1), on_eth0(2)});
    run(1s);
    follow({on_eth0(2)});
    sent_.clear();
    run(10s);
    EXPECT_TRUE(std::ranges::none_of(sent_, [](const auto& entry) { return entry.second.address == peer(1); }));
    EXPECT_EQ(standing(1), Standing::undecided);
    EXPECT_EQ(standing(2), Standing::answering);
}

TEST_F(ProbeScheduleTest, FindingOfAnEarlierAgent_HoldsUntilProbesShowOtherwise) {
    deaf_.insert(peer(1));
    follow({on_eth0(1), on_eth0(2)});
    schedule_.assume_answering(peer(1), eth0);
    schedule_.assume_answering(peer(2), 3);  // on another device: says nothing about this one
    schedule_.assume_answering(peer(9), eth0);
    EXPECT_EQ(standing(1), Standing::answering);
    EXPECT_EQ(standing(2), Standing::undecided);
    EXPECT_EQ(time_until(Standing::silent), 3s);
}

TEST_F(ProbeScheduleTest, Nonces_DifferFromProbeToProbe) {
    follow({on_eth0(1)});
    run(20s);
    std::set<std::uint64_t> nonces;
    for (const auto& [time, probe] : sent_) {
        nonces.insert(probe.nonce);
    }
    EXPECT_EQ(nonces.size(), sent_.size());
}

}  // namespace
}  // namespace podlane
