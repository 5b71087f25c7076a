// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdint>

#include "test/prog/harness/devices.h"
#include "test/prog/harness/nat.h"

// A pod's flow to the outside and back: whole packets through each hook that they pass.
namespace podlane::prog {
namespace {

struct Opening {
    std::string name;
    Transport transport;
};

class NatFlow : public NatTest, public testing::WithParamInterface<Opening> {
protected:
    [[nodiscard]] static Frame sent(std::uint16_t port) {
        Frame frame = from_pod(pod("web"), outside_ip, GetParam().transport);
        return from(frame, web_ip, port);
    }
};

INSTANTIATE_TEST_SUITE_P(Protocols, NatFlow,
                         testing::Values(Opening{"Tcp", Tcp{0, 80, tcp_flag::syn}}, Opening{"Udp", Udp{0, 4000}},
                                         Opening{"UdpWithoutChecksum", Udp{0, 4000, {}, std::uint16_t{0}}},
                                         Opening{"Echo", Icmp{.id = 0, .sequence = 3}}),
                         [](const auto& test) { return test.param.name; });

TEST_P(NatFlow, FirstPacket_GoesThroughTheStackAndLeavesTranslated) {
    EXPECT_TRUE(hands_over(from_web, bytes(sent(far_port)), HANDOVER_OUTSIDE));
    const Frame out = forwarded(sent(far_port));
    const Outcome outcome = node().run(underlay_out, bytes(out));
    const std::uint16_t port = source_port(outcome.packet);
    EXPECT_TRUE(nat_range.contains(port)) << port;
    EXPECT_TRUE(is_outcome(outcome, {Verdict::pass, bytes(from(out, n1_ip, port)), 0}));
    EXPECT_TRUE(are_counted(node().counted(), [&] { return once(counter_of(PATH_STACK_TO_OUTSIDE), bytes(out)); }()));
    EXPECT_EQ(entry_of(sent(far_port))->flags, 0) << "promoted";
}

TEST_P(NatFlow, PortOfTheRange_IsKept) {
    EXPECT_EQ(leaves(sent(kept_port)), kept_port);
}

TEST_P(NatFlow, ReplyIsTranslatedBackAndRedirectedIntoThePod) {
    for (const std::uint16_t port : {kept_port, far_port}) {
        const std::uint16_t nat_port = leaves(sent(port));
        const Frame reply = outside_sends(n1_ip, answer_to(from(sent(port), n1_ip, nat_port).transport));
        EXPECT_TRUE(redirects(underlay_in, bytes(reply), bytes(delivered(to(reply, web_ip, port), pod("web"))),
                              PATH_OUTSIDE_TO_POD));
    }
}

TEST_P(NatFlow, NextPacketOfThePod_IsTranslatedAtOnceAndSentToTheGateway) {
    const std::uint16_t nat_port = leaves(sent(far_port));
    Frame routed = from(sent(far_port), n1_ip, nat_port);
    routed.ip.ttl -= 1;
    EXPECT_TRUE(redirects(from_web, bytes(sent(far_port)), bytes(routed), PATH_POD_TO_OUTSIDE, fast_path_mark));
    // The underlay's hook takes the mark off and changes nothing more.
    EXPECT_TRUE(is_outcome(node().run({Hook::to_underlay, "eth1", fast_path_mark}, bytes(routed)),
                           {Verdict::pass, bytes(routed), 0}));
    EXPECT_EQ(translations(), 1U);
}

TEST_P(NatFlow, TwoPodsWithOnePort_GetTwo) {
    Frame other = sent(kept_port);
    other.ethernet = {.destination = pod("db").host_mac, .source = pod("db").mac};
    other.ip.source = db_ip;
    EXPECT_EQ(leaves(sent(kept_port)), kept_port);
    const std::uint16_t port = leaves(other);
    EXPECT_NE(port, kept_port);
    EXPECT_TRUE(nat_range.contains(port));
    const Frame reply = outside_sends(n1_ip, answer_to(from(other, n1_ip, port).transport));
    EXPECT_TRUE(redirects(underlay_in, bytes(reply), bytes(delivered(to(reply, db_ip, kept_port), pod("db"))),
                          PATH_OUTSIDE_TO_POD));
}

TEST_P(NatFlow, SamePortTowardsAnotherDestination_IsKeptForBoth) {
    Frame elsewhere = sent(kept_port);
    elsewhere.ip.destination = address("203.0.113.11");
    EXPECT_EQ(leaves(sent(kept_port)), kept_port);
    EXPECT_EQ(leaves(elsewhere), kept_port);
    EXPECT_EQ(translations(), 2U);
}

TEST_P(NatFlow, WithTheServicesKnown_TheFirstPacketIsTranslatedAtOnce) {
    Frame routed = from(sent(kept_port), n1_ip, kept_port);
    routed.ip.ttl -= 1;
    EXPECT_TRUE(comes_to(hasty_node(), from_web, bytes(sent(kept_port)),
                         {Verdict::redirect, bytes(routed), fast_path_mark},
                         once(counter_of(PATH_POD_TO_OUTSIDE), bytes(sent(kept_port)))));
    EXPECT_EQ(hasty_node().flows(), Flows{});
}

TEST_P(NatFlow, ToAService_GoesThroughTheStackWhateverIsKnown) {
    must(map<spec::networks_by_prefix>(hasty_node()).update({24, address("203.0.113.0").wire()}, {NETWORK_SERVICE}));
    const Bytes packet = bytes(sent(kept_port));
    EXPECT_TRUE(comes_to(hasty_node(), from_web, packet, {Verdict::pass, packet, 0},
                         once(counter_of(HANDOVER_OUTSIDE, DIRECTION_FROM_POD), packet)));
}

TEST_P(NatFlow, OutsideThatNeedsNoTranslation_SeesThePodsAddress) {
    must(map<spec::networks_by_prefix>().update({24, address("203.0.113.0").wire()}, {NETWORK_UNTRANSLATED}));
    EXPECT_TRUE(hands_over(from_web, bytes(sent(kept_port)), HANDOVER_OUTSIDE));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(forwarded(sent(kept_port)))));
    EXPECT_EQ(translations(), 0U);
}

TEST_P(NatFlow, TranslationThatHasBegun_LastsThoughTheDestinationIsReachedUntranslatedByNow) {
    const std::uint16_t nat_port = leaves(sent(far_port));
    must(map<spec::networks_by_prefix>().update({24, address("203.0.113.0").wire()}, {NETWORK_UNTRANSLATED}));
    Frame routed = from(sent(far_port), n1_ip, nat_port);
    routed.ip.ttl -= 1;
    EXPECT_TRUE(redirects(from_web, bytes(sent(far_port)), bytes(routed), PATH_POD_TO_OUTSIDE, fast_path_mark));
    EXPECT_TRUE(hands_over(from_web, bytes(sent(far_port - 1)), HANDOVER_OUTSIDE)) << "a new flow";
}

TEST_P(NatFlow, Route_IsTakenAgainForSomeMillisecondsAndNoLonger) {
    leaves(sent(far_port));
    const auto route_of = [](const Frame& packet) {
        EXPECT_EQ(node().run(from_web, bytes(packet)).verdict, Verdict::redirect);
        node().forget_counters();
        return entry_of(packet).value().way;
    };
    const std::uint64_t route = route_of(sent(far_port));
    EXPECT_EQ(route, std::uint64_t{ifindex_of(underlay_device("n1"))} << 32U | gateway_ip.wire());
    // Another route in the table shows which one was taken: it is written over when the kernel is asked again.
    const std::uint64_t other = route ^ 1U;
    const auto remember = [&](std::int64_t ticks_ago) {
        const auto now = std::chrono::steady_clock::now().time_since_epoch();
        nat_entry entry = entry_of(sent(far_port)).value();
        entry.way = other;
        entry.way_seen =
            static_cast<std::uint32_t>((std::chrono::nanoseconds(now).count() >> NAT_WAY_TICK) - ticks_ago);
        must(map<spec::nat_by_flow>().update(flow_of(sent(far_port)), entry));
    };
    remember(-1000);  // this very moment, however slow the machine
    EXPECT_EQ(route_of(sent(far_port)), other);
    Frame marked = sent(far_port);
    marked.ip.tos = 0x10;
    EXPECT_EQ(route_of(marked), route) << "of another TOS";
    remember(8);
    EXPECT_EQ(route_of(sent(far_port)), route);
}

TEST_P(NatFlow, PodThatOptedOut_LeavesWithItsOwnAddress) {
    node().set_pod_flags(web_ip, POD_FLAG_NO_SNAT);
    EXPECT_TRUE(hands_over(from_web, bytes(sent(kept_port)), HANDOVER_OUTSIDE));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(forwarded(sent(kept_port)))));
}

TEST_P(NatFlow, PodWithAnEgressAddress_LeavesWithThatOne) {
    const Ipv4Address egress = address("192.168.100.88");
    auto endpoint = must(map<spec::pods_by_ipv4>().lookup(web_ip.wire())).value();
    endpoint.egress_address = egress.wire();
    must(map<spec::pods_by_ipv4>().update(web_ip.wire(), endpoint));
    const Frame out = forwarded(sent(kept_port));
    EXPECT_TRUE(hands_over(from_web, bytes(sent(kept_port)), HANDOVER_OUTSIDE));
    EXPECT_TRUE(passes(underlay_out, bytes(out), bytes(from(out, egress, kept_port)), PATH_STACK_TO_OUTSIDE));
    const Frame reply = outside_sends(egress, answer_to(from(sent(kept_port), egress, kept_port).transport));
    EXPECT_TRUE(redirects(underlay_in, bytes(reply), bytes(delivered(to(reply, web_ip, kept_port), pod("web"))),
                          PATH_OUTSIDE_TO_POD));
}

// --- tuples that the stack made ---

TEST_P(NatFlow, TupleThatTheStackMade_IsTranslatedAndItsRepliesGoUpTheStack) {
    const Frame out = forwarded(sent(kept_port));
    EXPECT_TRUE(passes(underlay_out, bytes(out), bytes(from(out, n1_ip, kept_port)), PATH_STACK_TO_OUTSIDE));
    EXPECT_EQ(entry_of(sent(kept_port))->flags, NAT_FLAG_STACK);
    const Frame reply = outside_sends(n1_ip, answer_to(from(sent(kept_port), n1_ip, kept_port).transport));
    EXPECT_TRUE(passes(underlay_in, bytes(reply), bytes(to(reply, web_ip, kept_port)), PATH_OUTSIDE_TO_STACK));
}

// --- what is not a pod's ---

TEST_P(NatFlow, PacketFromTheOutsideToNoTranslation_IsTheHosts) {
    for (const std::uint16_t port : {kept_port, far_port}) {
        const Frame unasked = outside_sends(n1_ip, answer_to(from(sent(port), n1_ip, port).transport));
        EXPECT_TRUE(leaves_alone(underlay_in, bytes(unasked)));
    }
    leaves(sent(kept_port));
    Frame stranger = outside_sends(n1_ip, answer_to(from(sent(kept_port), n1_ip, kept_port).transport));
    stranger.ip.source = address("203.0.113.11");
    EXPECT_TRUE(leaves_alone(underlay_in, bytes(stranger)));
}

TEST_P(NatFlow, ReplyToAPodThatIsGone_IsLeftToTheStack) {
    leaves(sent(kept_port));
    must(map<spec::pods_by_ipv4>().erase(web_ip.wire()));
    const Frame reply = outside_sends(n1_ip, answer_to(from(sent(kept_port), n1_ip, kept_port).transport));
    EXPECT_TRUE(hands_over(underlay_in, bytes(reply), HANDOVER_NO_POD));
}

TEST_P(NatFlow, ReplyWithoutAHopLeft_IsDropped) {
    leaves(sent(kept_port));
    Frame reply = outside_sends(n1_ip, answer_to(from(sent(kept_port), n1_ip, kept_port).transport));
    reply.ip.ttl = 1;
    EXPECT_TRUE(drops(underlay_in, bytes(reply), DROP_NAT_TTL_EXPIRED));
}

TEST_P(NatFlow, PacketThatNeedsTheStack_IsHandedOverAlthoughItsFlowIsTranslated) {
    leaves(sent(kept_port));
    Frame expiring = sent(kept_port);
    expiring.ip.ttl = 1;
    EXPECT_TRUE(hands_over(from_web, bytes(expiring), HANDOVER_OUTSIDE));

    Frame large = sent(kept_port);
    large.ip.destination = address("192.0.2.9");  // the route there has an MTU of 600
    leaves(large);
    large.payload = pattern(700);
    EXPECT_TRUE(hands_over(from_web, bytes(large), HANDOVER_TOO_BIG));

    Frame nowhere = sent(kept_port);
    nowhere.ip.destination = address("198.18.0.1");
    EXPECT_TRUE(hands_over(from_web, bytes(nowhere), HANDOVER_OUTSIDE));
    EXPECT_TRUE(comes_to(hasty_node(), from_web, bytes(nowhere), {Verdict::pass, bytes(nowhere), 0},
                         once(counter_of(HANDOVER_OUTSIDE, DIRECTION_FROM_POD), bytes(nowhere))));
}

class NatGso : public NatTest {};

TEST_F(NatGso, LargeSegment_IsTranslatedAsOne) {
    const Frame opening = from_pod(pod("web"), outside_ip, Tcp{kept_port, 80, tcp_flag::syn});
    leaves(opening);
    Frame bulk = from_pod(pod("web"), outside_ip, Tcp{kept_port, 80}, 2820);
    Frame routed = from(bulk, n1_ip, kept_port);
    routed.ip.ttl -= 1;
    EXPECT_TRUE(redirects({.hook = Hook::from_pod, .device = "web", .gso_size = 1410, .gso_segs = 2}, bytes(bulk),
                          bytes(routed), PATH_POD_TO_OUTSIDE, fast_path_mark));
}

}  // namespace
}  // namespace podlane::prog
