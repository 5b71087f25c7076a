// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// to-underlay: what leaves the node past the fast path. To a node that is not direct (direct_path_test.cpp) a pod's
// packet travels encapsulated; the rest is looked at and let go.
namespace podlane::prog {
namespace {

const Tcp syn{40000, 80, tcp_flag::syn};

// What the stack forwards for a pod, or sends itself.
Frame stack_sends(Ipv4Address from, Ipv4Address to, const Transport& transport = syn) {
    return {.ethernet = {.destination = underlay_mac("n2"), .source = underlay_mac("n1")},
            .ip = {.source = from, .destination = to, .ttl = 63},
            .transport = transport,
            .payload = pattern(32)};
}

class UnderlayEgress : public ProgTest {
protected:
    void TearDown() override { EXPECT_EQ(node().flows(), expected_flows_); }
    Flows expected_flows_;
};

TEST_F(UnderlayEgress, PodsPacketToAnotherNode_GoesIntoTheOverlayAsItIs) {
    for (const Ipv4Address to : {n2_ip, n3_ip, api_ip, n3_pod_ip, address("10.244.2.0")}) {
        SCOPED_TRACE(to.to_string());
        for (const Transport& transport :
             {Transport(syn), Transport(Tcp{40000, 80}), Transport(Udp{5000, 53}), Transport(Icmp{.id = 3}),
              Transport(Icmp{.type = icmp_type::echo_reply, .id = 3}), Transport(OtherProtocol{47})}) {
            EXPECT_TRUE(goes_into_the_overlay(underlay_out, bytes(stack_sends(web_ip, to, transport))));
        }
    }
}

TEST_F(UnderlayEgress, PodsFragmentsAndOptionsToAnotherNode_GoIntoTheOverlayToo) {
    for (const std::uint16_t fragment : {more_fragments, std::uint16_t{more_fragments | 185}, std::uint16_t{370}}) {
        Frame frame = stack_sends(web_ip, n2_ip, Udp{5000, 53});
        frame.ip.fragment = fragment;
        EXPECT_TRUE(goes_into_the_overlay(underlay_out, bytes(frame)));
    }
    Frame options = stack_sends(web_ip, n2_ip);
    options.ip.options = Bytes(8, 1);
    EXPECT_TRUE(goes_into_the_overlay(underlay_out, bytes(options)));
}

TEST_F(UnderlayEgress, PodsIcmpErrorToAnotherNode_GoesIntoTheOverlayToo) {
    Frame error = stack_sends(web_ip, n2_ip, Icmp{.type = icmp_type::unreachable, .code = 3});
    error.payload = quoted(stack_sends(n2_ip, web_ip, Udp{5000, 53}));
    EXPECT_TRUE(goes_into_the_overlay(underlay_out, bytes(error)));
}

TEST_F(UnderlayEgress, PodsPacketToTheAddressOfANodeWithoutAPath_IsDropped) {
    for (const Transport& transport : {Transport(syn), Transport(Udp{5000, 53}), Transport(Icmp{.id = 3})}) {
        EXPECT_TRUE(
            drops(underlay_out, bytes(stack_sends(web_ip, member("n4").address, transport)), DROP_PEER_UNREACHABLE));
    }
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(stack_sends(n1_ip, member("n4").address)))) << "the node's own";
}

TEST_F(UnderlayEgress, PodsPacketToTheOutside_IsLeftAlone) {
    node().set_flow({6, web_ip, 40000, outside_ip, 80}, FLOW_OWNER_UNDECIDED, FLOW_PENDING_FROM_POD);
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(stack_sends(web_ip, outside_ip))));
    expected_flows_ = {{"tcp 10.244.1.5:40000 203.0.113.10:80", "undecided from-pod"}};
}

TEST_F(UnderlayEgress, NodesOwnPackets_AreLeftAlone) {
    for (const Ipv4Address to : {n2_ip, api_ip, outside_ip}) {
        EXPECT_TRUE(leaves_alone(underlay_out, bytes(stack_sends(n1_ip, to))));
    }
    // Ours, encapsulated already.
    EXPECT_TRUE(
        leaves_alone(underlay_out, encapsulated(from_pod(pod("web"), api_ip, syn), member("n1"), member("n2"))));
}

TEST_F(UnderlayEgress, PacketsOfNoPod_AreLeftAlone) {
    for (const Ipv4Address from : {address("10.244.1.200"), address("172.17.0.2"), outside_ip}) {
        EXPECT_TRUE(leaves_alone(underlay_out, bytes(stack_sends(from, n2_ip))));
        EXPECT_TRUE(leaves_alone(underlay_out, bytes(stack_sends(from, outside_ip))));
    }
}

TEST_F(UnderlayEgress, IcmpErrorAndLaterFragmentToTheOutside_TeachNothing) {
    Frame error = stack_sends(web_ip, outside_ip, Icmp{.type = icmp_type::unreachable, .code = 3});
    error.payload = quoted(stack_sends(outside_ip, web_ip, Udp{5000, 53}));
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(error)));
    Frame fragment = stack_sends(web_ip, outside_ip, Udp{5000, 53});
    fragment.ip.fragment = 185;
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(fragment)));
}

TEST_F(UnderlayEgress, FlowThatGoesIntoTheOverlay_IsLearnedThere) {
    // from-pod handed it up as the middle of an unknown flow; the overlay's hook sees it leave as it came.
    const Frame sent = from_pod(pod("web"), n2_ip, Tcp{40000, 80});
    EXPECT_TRUE(hands_over(from_web, bytes(sent), HANDOVER_UNKNOWN_FLOW));
    const Bytes forwarded = bytes(stack_sends(web_ip, n2_ip, Tcp{40000, 80}));
    EXPECT_TRUE(goes_into_the_overlay(underlay_out, forwarded));
    EXPECT_EQ(node().run(overlay_out, forwarded).verdict, Verdict::pass);
    node().forget_counters();
    EXPECT_TRUE(encapsulates(from_web, sent, member("n2")));
    expected_flows_ = {{"tcp 10.244.1.5:40000 192.168.100.2:80", "fast"}};
}

}  // namespace
}  // namespace podlane::prog
