// SPDX-License-Identifier: Apache-2.0
// The agent's walk over a table of translations that is larger than what it looks at in one go.
#include "agent/node/nat_sweeper.h"

#include <arpa/inet.h>

#include "maps/base/monotonic.h"
#include "test/prog/harness/nat.h"

namespace podlane::prog {
namespace {

constexpr std::uint32_t many = 40000;
constexpr std::uint32_t one_go = 16384;

class NatSweeperTest : public NatTest {
protected:
    void SetUp() override {
        NatTest::SetUp();
        sweeper_.emplace(must(ReadOnlyMap<spec::nat_by_flow>::open(node().pins().map(spec::nat_by_flow::name))),
                         nat_config_for(nat_range.first, nat_range.last));
    }
    // Of one pod, each to an address of its own, last seen so long ago. Without claims: as after a claim was lost.
    static void add_translations(std::uint32_t count, std::int64_t idle_seconds = 0) {
        std::vector<flow_key> flows(count);
        std::vector<nat_entry> entries(count);
        for (std::uint32_t i = 0; i < count; ++i) {
            flows[i].pod_address = web_ip.wire();
            flows[i].remote_address = Ipv4Address::from_host(0xcb000000 + i).wire();
            flows[i].pod_port = flows[i].remote_port = htons(kept_port);
            flows[i].protocol = IPPROTO_UDP;
            entries[i].last_seen = static_cast<__u64>(monotonic_ns() - idle_seconds * ns_per_second);
            entries[i].nat_address = n1_ip.wire();
            entries[i].nat_port = htons(kept_port);
        }
        must(map<spec::nat_by_flow>().update_all(flows, entries));
    }
    // Of every second of them the remote has been seen.
    static void answer_every_second() {
        auto table = map<spec::nat_by_flow>();
        bool answered = false;
        for (auto [flow, entry] : must(table.entries())) {
            entry.remote_seen = answered ? NAT_SEEN_DATA : 0;
            answered = !answered;
            must(table.update(flow, entry));
        }
    }
    std::size_t sweep_part() { return must(sweeper_->sweep(node().nat_sweep_fd())); }
    std::size_t sweep_all() { return must(sweeper_->sweep_all(node().nat_sweep_fd())); }

    static inline const Ipv4Address web_ip = address("10.244.1.5");
    std::optional<NatSweeper> sweeper_;
};

TEST_F(NatSweeperTest, FirstWalkThatGoesOn_CountsWhatItHasSeen) {
    add_translations(many);
    EXPECT_EQ(sweep_part(), 0U);
    EXPECT_GE(sweeper_->use().translations, one_go / 2);
    EXPECT_LT(sweeper_->use().translations, many);
    EXPECT_EQ(sweeper_->use().flows, sweeper_->use().translations);
}

TEST_F(NatSweeperTest, WholeTable_IsCountedAtOnce) {
    add_translations(many);
    EXPECT_EQ(sweep_all(), 0U);
    EXPECT_EQ(sweeper_->use().translations, many);
    EXPECT_EQ(sweeper_->use().flows, many);
    EXPECT_EQ(sweeper_->use().pod, web_ip.wire());
    EXPECT_EQ(sweeper_->use().ports, 1U);
}

TEST_F(NatSweeperTest, WhatIsOver_IsRemovedAndNotCounted) {
    add_translations(many, 301);
    add_translations(100);
    EXPECT_EQ(sweep_all(), many - 100);
    EXPECT_EQ(sweeper_->use().translations, 100U);
    EXPECT_EQ(translations(), 100U);
}

TEST_F(NatSweeperTest, TableThatEmpties_IsKnownAfterTheNextWholeWalk) {
    add_translations(many);
    sweep_all();
    add_translations(many, 301);
    sweep_part();
    EXPECT_EQ(sweeper_->use().translations, many) << "what the rest of the table holds is not known yet";
    sweep_all();
    sweep_all();
    EXPECT_EQ(sweeper_->use().translations, 0U);
    EXPECT_EQ(translations(), 0U);
}

TEST_F(NatSweeperTest, UnansweredWithAnAddressToRevise_AreRemovedByThisWalkAndTheNext) {
    add_translations(200);
    answer_every_second();
    sweeper_->revise_unanswered(address("192.168.100.77").wire());
    EXPECT_EQ(sweep_all(), 0U);
    sweeper_->revise_unanswered(n1_ip.wire());
    EXPECT_EQ(sweep_all(), 100U);
    EXPECT_EQ(translations(), 100U);
    answer_every_second();
    EXPECT_EQ(sweep_all(), 50U);
    answer_every_second();
    EXPECT_EQ(sweep_all(), 0U) << "what begins from now on has the address that it is to have";
}

}  // namespace
}  // namespace podlane::prog
