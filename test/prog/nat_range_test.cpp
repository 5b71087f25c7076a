// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/nat.h"

// Another snat.portRange beside translations that live on: the same maps, programs that were loaded anew.
namespace podlane::prog {
namespace {

constexpr Ports new_range{40000, 40063};

class NatRange : public NatTest, public testing::WithParamInterface<Transport> {
protected:
    // The agent's next start: over the maps of node().
    static Node& restarted() {
        static_cast<void>(node());
        static Node node("n1", nat_config_for(new_range.first, new_range.last), "nat");
        node.forget_counters();
        return node;
    }
    static Frame sent(std::uint16_t port) { return from(from_pod(pod("web"), outside_ip, GetParam()), web_ip, port); }
    static Frame reply_to(std::uint16_t nat_port) {
        return outside_sends(n1_ip, answer_to(from(sent(0), n1_ip, nat_port).transport));
    }
    static Frame of_the_host(std::uint16_t port) { return from(forwarded(sent(port)), n1_ip, port); }
};

INSTANTIATE_TEST_SUITE_P(Protocols, NatRange,
                         testing::Values(Transport(Tcp{0, 80, tcp_flag::syn}), Transport(Udp{0, 4000}),
                                         Transport(Icmp{.id = 0, .sequence = 3})));

TEST_P(NatRange, FlowOfTheOldRange_GoesOnInBothDirections) {
    const std::uint16_t port = leaves(sent(far_port));
    ASSERT_TRUE(nat_range.contains(port));
    Frame routed = from(sent(far_port), n1_ip, port);
    routed.ip.ttl -= 1;
    EXPECT_TRUE(comes_to(restarted(), from_web, bytes(sent(far_port)),
                         {Verdict::redirect, bytes(routed), fast_path_mark},
                         once(counter_of(PATH_POD_TO_OUTSIDE), bytes(routed))));
    EXPECT_TRUE(comes_to(restarted(), underlay_in, bytes(reply_to(port)),
                         {Verdict::redirect, bytes(delivered(to(reply_to(port), web_ip, far_port), pod("web"))), 0},
                         once(counter_of(PATH_OUTSIDE_TO_POD), bytes(reply_to(port)))));
}

TEST_P(NatRange, NewFlow_GetsAPortOfTheNewRange) {
    leaves(sent(kept_port));
    const Outcome out = restarted().run(underlay_out, bytes(forwarded(sent(kept_port + 1))));
    EXPECT_EQ(out.verdict, Verdict::pass);
    EXPECT_TRUE(new_range.contains(source_port(out.packet))) << source_port(out.packet);
}

TEST_P(NatRange, HostsPacketWithTheTupleOfAnOldFlow_GetsAnotherPort) {
    ASSERT_EQ(leaves(sent(kept_port)), kept_port);
    const Outcome out = restarted().run(underlay_out, bytes(of_the_host(kept_port)));
    const std::uint16_t port = source_port(out.packet);
    EXPECT_TRUE(new_range.contains(port)) << port;
    EXPECT_TRUE(is_outcome(out, {Verdict::pass, bytes(from(of_the_host(kept_port), n1_ip, port)), 0}));
}

TEST_P(NatRange, HostsPacketWithAPortOfTheOldRange_KeepsItWhileNoFlowHasTheTuple) {
    ASSERT_EQ(leaves(sent(kept_port)), kept_port);
    Frame elsewhere = of_the_host(kept_port);
    elsewhere.ip.destination = address("203.0.113.11");
    EXPECT_TRUE(comes_to(restarted(), underlay_out, bytes(elsewhere), {Verdict::pass, bytes(elsewhere), 0}, {}));
}

class NatRangeCounts : public NatRange {};
INSTANTIATE_TEST_SUITE_P(Udp, NatRangeCounts, testing::Values(Transport(Udp{0, 4000})));

// What was counted for the blocks of the old range says nothing about those of the new one.
TEST_P(NatRangeCounts, EveryPortOfTheNewRangeIsUsedBesideAFullOldOne) {
    for (std::uint16_t i = 0; i < nat_range.size(); ++i) {
        ASSERT_TRUE(nat_range.contains(leaves(sent(static_cast<std::uint16_t>(30000 + i)))));
    }
    for (std::uint16_t i = 0; i < new_range.size(); ++i) {
        const auto out = restarted().run(underlay_out, bytes(forwarded(sent(static_cast<std::uint16_t>(31000 + i)))));
        EXPECT_EQ(out.verdict, Verdict::pass) << i;
    }
    const auto counts = must(map<spec::nat_ports_by_destination>().entries());
    ASSERT_EQ(counts.size(), 1U);
    EXPECT_TRUE(std::all_of(std::begin(counts[0].second.used), std::begin(counts[0].second.used) + 8,
                            [](int used) { return used == 8; }));
}

}  // namespace
}  // namespace podlane::prog
