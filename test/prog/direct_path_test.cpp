// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// Without outer headers: out to a peer whose path is direct, and in from any peer, whatever our path to it is.
//
//   web -> [from-pod] ----------------------> eth1 [to-underlay: mark off] -> n6
//   web -> [from-pod] -> stack -> eth1 [to-underlay: learns] ---------------> n6
//   web <--------------- [from-underlay] <------------------------- n6, n2, n3 or one of their pods
namespace podlane::prog {
namespace {

constexpr std::uint32_t fast_path_mark = 0x504c4e45;
const Tcp syn{40000, 80, tcp_flag::syn};
const Tcp segment{40000, 80};
const Ipv4Address cluster_ip = address("10.96.0.10");

std::string web_tcp(std::uint16_t port, Ipv4Address remote, std::uint16_t remote_port) {
    return to_string(Flow{6, web_ip, port, remote, remote_port});
}

// What the stack of this node forwards to a peer.
Frame stack_forwards(Ipv4Address from, Ipv4Address to, const Transport& transport) {
    return {.ethernet = {.destination = mac("52:54:00:00:00:06"), .source = underlay_mac("n1")},
            .ip = {.source = from, .destination = to, .ttl = 63},
            .transport = transport,
            .payload = pattern(32)};
}

// What comes in on the link from a peer that routes it as it is.
Frame peer_sends(Ipv4Address from, Ipv4Address to, const Transport& transport, std::size_t payload_length = 32) {
    return {.ethernet = {.destination = underlay_mac("n1"), .source = mac("52:54:00:00:00:06")},
            .ip = {.source = from, .destination = to, .ttl = 63},
            .transport = transport,
            .payload = pattern(payload_length)};
}

class DirectPath : public ProgTest {
protected:
    // Leaves for the peer as it is but for its TTL; neighbour output will write the MACs.
    [[nodiscard]] static testing::AssertionResult leaves_directly(const At& at, const Frame& sent) {
        Frame expected = sent;
        expected.ip.ttl -= 1;
        return comes_to(node(), at, bytes(sent), {Verdict::redirect, bytes(expected), fast_path_mark},
                        once(counter_of(PATH_POD_TO_DIRECT), bytes(sent)));
    }
    [[nodiscard]] static testing::AssertionResult is_delivered(const Frame& sent, const Pod& to) {
        return redirects(underlay_in, bytes(sent), bytes(delivered(sent, to)), PATH_DIRECT_TO_POD);
    }
    // The stack's packet passes on to the peer as it is.
    [[nodiscard]] static testing::AssertionResult passes_to_peer(const Frame& sent) {
        const Bytes packet = bytes(sent);
        return comes_to(node(), underlay_out, packet, {Verdict::pass, packet, 0},
                        once(counter_of(PATH_STACK_TO_DIRECT), packet));
    }
};

// --- out ---

TEST_F(DirectPath, PodToDirectPeersPod_LeavesAsItIs) {
    for (const Transport& transport :
         {Transport(syn), Transport(Udp{5000, 53}), Transport(Udp{5000, 53, {}, std::uint16_t{0}}),
          Transport(Icmp{.id = 9, .sequence = 4}), Transport(OtherProtocol{47}), Transport(OtherProtocol{132})}) {
        EXPECT_TRUE(leaves_directly(from_web, from_pod(pod("web"), n6_pod_ip, transport)));
    }
}

TEST_F(DirectPath, PodToDirectPeersOwnAddresses_LeavesAsItIs) {
    EXPECT_TRUE(leaves_directly(from_web, from_pod(pod("web"), n6_ip, syn)));
    EXPECT_TRUE(leaves_directly(from_web, from_pod(pod("web"), address("10.244.6.0"), Icmp{.id = 1})));
}

TEST_F(DirectPath, EveryTosByte_LeavesAsItIs) {
    for (unsigned tos = 0; tos < 256; ++tos) {
        Frame sent = from_pod(pod("web"), n6_pod_ip, Udp{5000, 53});
        sent.ip.tos = static_cast<std::uint8_t>(tos);
        EXPECT_TRUE(leaves_directly(from_web, sent)) << tos;
    }
}

TEST_F(DirectPath, WhatFitsTheLink_LeavesThoughVxlanCouldNotCarryIt) {
    for (const std::size_t length : {0U, 1U, 1422U, 1423U, 1472U}) {
        EXPECT_TRUE(leaves_directly(from_web, from_pod(pod("web"), n6_pod_ip, Udp{5000, 53}, length))) << length;
    }
    // With DF it is answered: too_big_test.cpp.
    Frame too_big = from_pod(pod("web"), n6_pod_ip, Udp{5000, 53}, 1473);
    too_big.ip.fragment = 0;
    EXPECT_TRUE(hands_over(from_web, bytes(too_big), HANDOVER_TOO_BIG));
}

TEST_F(DirectPath, BulkSegments_AreJudgedByTheirSizeOnTheWire) {
    Frame sent = from_pod(pod("web"), n6_pod_ip, syn, 3000);
    sent.ip.fragment = 0;
    At bulk = from_web;
    bulk.gso_segs = 3;
    bulk.gso_size = 1460;
    EXPECT_TRUE(leaves_directly(bulk, sent));
    bulk.gso_size = 1461;
    EXPECT_TRUE(hands_over(bulk, bytes(sent), HANDOVER_TOO_BIG));
}

TEST_F(DirectPath, KubeProxysMark_IsReplacedAndOursTakenOffAtTheUnderlay) {
    At marked = from_web;
    marked.mark = 0x4000;
    const Frame sent = from_pod(pod("web"), n6_pod_ip, Udp{5000, 53});
    EXPECT_TRUE(leaves_directly(marked, sent));
    const Flows flows = node().flows();

    Frame on_device = stack_forwards(web_ip, n6_pod_ip, Udp{5000, 53});
    At underlay = underlay_out;
    underlay.mark = fast_path_mark;
    const Bytes packet = bytes(on_device);
    EXPECT_TRUE(comes_to(node(), underlay, packet, {Verdict::pass, packet, 0}, {}));
    EXPECT_EQ(node().flows(), flows) << "the stack has not seen it: nothing to learn";
    EXPECT_EQ(flows, (Flows{{to_string(Flow{17, web_ip, 5000, n6_pod_ip, 53}), "fast"}}));
}

TEST_F(DirectPath, TtlThatEndsHere_IsLeftToTheStackToAnswer) {
    Frame frame = from_pod(pod("web"), n6_pod_ip, syn);
    frame.ip.ttl = 1;
    EXPECT_TRUE(hands_over(from_web, bytes(frame), HANDOVER_TTL_EXPIRED));
    frame.ip.ttl = 2;
    EXPECT_TRUE(leaves_directly(from_web, frame));
}

TEST_F(DirectPath, FragmentsAndOptions_TakeTheStacksWayAndLeaveAsTheyAre) {
    for (const std::uint16_t fragment : {more_fragments, std::uint16_t{more_fragments | 185}, std::uint16_t{370}}) {
        Frame sent = from_pod(pod("web"), n6_pod_ip, Udp{5000, 53});
        sent.ip.fragment = fragment;
        EXPECT_TRUE(hands_over(from_web, bytes(sent), HANDOVER_FRAGMENT));
        Frame forwarded = stack_forwards(web_ip, n6_pod_ip, Udp{5000, 53});
        forwarded.ip.fragment = fragment;
        EXPECT_TRUE(passes_to_peer(forwarded));
    }
    // The first fragment claimed the flow for the datagrams that are whole, and nothing took it away.
    EXPECT_EQ(node().flows(), (Flows{{to_string(Flow{17, web_ip, 5000, n6_pod_ip, 53}), "fast"}}));
    Frame options = from_pod(pod("web"), n6_pod_ip, syn);
    options.ip.options = Bytes(8, 1);
    EXPECT_TRUE(hands_over(from_web, bytes(options), HANDOVER_IP_OPTIONS));
    Frame forwarded = stack_forwards(web_ip, n6_pod_ip, syn);
    forwarded.ip.options = Bytes(8, 1);
    EXPECT_TRUE(passes_to_peer(forwarded));
}

// --- hand-over, and back ---

TEST_F(DirectPath, MidflowSegment_GoesUpAndIsFastOnceItLeavesUnchanged) {
    const Frame sent = from_pod(pod("web"), n6_pod_ip, segment);
    EXPECT_TRUE(hands_over(from_web, bytes(sent), HANDOVER_UNKNOWN_FLOW));
    EXPECT_TRUE(passes_to_peer(stack_forwards(web_ip, n6_pod_ip, segment)));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(40000, n6_pod_ip, 80), "fast"}}));
    EXPECT_TRUE(leaves_directly(from_web, sent));
}

TEST_F(DirectPath, FlowThatTheStackTranslated_IsTheStacksInBothDirections) {
    const Frame sent = from_pod(pod("web"), cluster_ip, syn);
    EXPECT_TRUE(hands_over(from_web, bytes(sent), HANDOVER_OUTSIDE));
    EXPECT_TRUE(passes_to_peer(stack_forwards(web_ip, n6_pod_ip, Tcp{40000, 8080, tcp_flag::syn})));
    EXPECT_EQ(node().flows().at(web_tcp(40000, n6_pod_ip, 8080)), "stack");
    const std::uint8_t syn_ack = tcp_flag::syn | tcp_flag::ack;
    for (const std::uint8_t flags : {syn_ack, tcp_flag::ack, std::uint8_t(tcp_flag::ack | tcp_flag::fin)}) {
        EXPECT_TRUE(hands_over(underlay_in, bytes(peer_sends(n6_pod_ip, web_ip, Tcp{8080, 40000, flags})),
                               HANDOVER_STACK_FLOW));
    }
}

TEST_F(DirectPath, UdpThatTheStackTranslated_IsTheStacksInBothDirections) {
    EXPECT_TRUE(hands_over(from_web, bytes(from_pod(pod("web"), cluster_ip, Udp{5000, 53})), HANDOVER_OUTSIDE));
    EXPECT_TRUE(passes_to_peer(stack_forwards(web_ip, n6_pod_ip, Udp{5000, 1053})));
    EXPECT_TRUE(hands_over(underlay_in, bytes(peer_sends(n6_pod_ip, web_ip, Udp{1053, 5000})), HANDOVER_STACK_FLOW));
}

TEST_F(DirectPath, DatagramOfAPodWithoutProgramsYet_TeachesNothing) {
    node().set_pod_flags(web_ip, POD_FLAG_UNHOOKED);
    EXPECT_TRUE(passes_to_peer(stack_forwards(web_ip, n6_pod_ip, Udp{5000, 1053})));
    EXPECT_EQ(node().flows(), Flows{});
    EXPECT_TRUE(leaves_directly(from_web, from_pod(pod("web"), n6_pod_ip, Udp{5000, 1053})));
}

// kube-apiserver's Service: the backend is a pod in the host's network.
TEST_F(DirectPath, FlowTranslatedToANodesAddress_IsTheStacksInBothDirections) {
    EXPECT_TRUE(passes_to_peer(stack_forwards(web_ip, n6_ip, Tcp{40000, 6443, tcp_flag::syn})));
    EXPECT_TRUE(hands_over(underlay_in, bytes(peer_sends(n6_ip, web_ip, Tcp{6443, 40000})), HANDOVER_STACK_FLOW));
}

TEST_F(DirectPath, FlowThatEnteredFromTheStack_GoesBackUp) {
    node().set_flow({6, web_ip, 80, n6_ip, 40000}, FLOW_OWNER_STACK);
    EXPECT_TRUE(hands_over(from_web, bytes(from_pod(pod("web"), n6_ip, Tcp{80, 40000})), HANDOVER_STACK_FLOW));
}

// --- in ---

TEST_F(DirectPath, FromAnyPeerOrItsPods_IsDeliveredWhateverOurPathToItIs) {
    for (const Ipv4Address from : {n6_pod_ip, n6_ip, address("10.244.6.0"),         // direct
                                   api_ip, n2_ip, address("10.244.2.0"),            // by VXLAN
                                   n3_pod_ip, n3_ip,                                // behind a gateway
                                   address("10.244.4.9"), member("n4").address}) {  // no path from here
        SCOPED_TRACE(from.to_string());
        for (const Transport& transport : {Transport(syn), Transport(Udp{5000, 53}), Transport(Icmp{.id = 5})}) {
            EXPECT_TRUE(is_delivered(peer_sends(from, web_ip, transport), pod("web")));
        }
    }
}

TEST_F(DirectPath, WholeConnectionFromADirectPeer_IsFast) {
    EXPECT_TRUE(is_delivered(peer_sends(n6_pod_ip, web_ip, syn), pod("web")));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(80, n6_pod_ip, 40000), "fast"}}));
    const std::uint8_t syn_ack = tcp_flag::syn | tcp_flag::ack;
    EXPECT_TRUE(leaves_directly(from_web, from_pod(pod("web"), n6_pod_ip, Tcp{80, 40000, syn_ack})));
    EXPECT_TRUE(is_delivered(peer_sends(n6_pod_ip, web_ip, segment, 1410), pod("web")));
    EXPECT_TRUE(is_delivered(peer_sends(n6_pod_ip, web_ip, Tcp{40000, 80, tcp_flag::rst}), pod("web")));
}

TEST_F(DirectPath, FlowWhosePathIsSwitched_StaysFast) {
    EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), api_ip, syn), member("n2")));
    EXPECT_TRUE(is_delivered(peer_sends(api_ip, web_ip, Tcp{80, 40000}), pod("web")));
    auto direct = node().route_to(member("n2"));
    direct.path = NODE_PATH_DIRECT;
    node().set_pod_cidr(member("n2").pod_cidr, direct);
    EXPECT_TRUE(leaves_directly(from_web, from_pod(pod("web"), api_ip, segment)));
    EXPECT_TRUE(
        redirects(underlay_in, encapsulated(from_pod(pod("api"), web_ip, Tcp{80, 40000}), member("n2"), member("n1")),
                  bytes(delivered(from_pod(pod("api"), web_ip, Tcp{80, 40000}), pod("web"))), PATH_OVERLAY_TO_POD));
}

// The stack's own way into the overlay, in the moment between the route's switch and the map's.
TEST_F(DirectPath, PacketThatTheStackStillSendsIntoTheOverlay_GetsTheKeyOfThePeer) {
    const Bytes packet = bytes(stack_forwards(n1_ip, n6_pod_ip, syn));
    const Outcome outcome = node().run(overlay_out, packet);
    EXPECT_EQ(outcome.verdict, Verdict::pass);
    EXPECT_EQ(node().counted(), once(counter_of(PATH_HOST_TO_OVERLAY), packet));
}

TEST_F(DirectPath, EncapsulatedByADirectPeer_IsDelivered) {
    Frame sent = from_pod(pod("api"), web_ip, syn);
    sent.ip.source = n6_pod_ip;
    EXPECT_TRUE(redirects(underlay_in, encapsulated(sent, member("n6"), member("n1")),
                          bytes(delivered(sent, pod("web"))), PATH_OVERLAY_TO_POD));
}

TEST_F(DirectPath, FromNoPeer_IsLeftToTheHostsOwnRules) {
    for (const Ipv4Address from : {outside_ip, address("192.168.100.77"), nobody_ip, db_ip, n1_ip,
                                   address("10.244.1.0"), address("10.244.1.200"), address("10.245.6.1")}) {
        SCOPED_TRACE(from.to_string());
        EXPECT_TRUE(leaves_alone(underlay_in, bytes(peer_sends(from, web_ip, syn))));
        EXPECT_TRUE(leaves_alone(underlay_in, bytes(peer_sends(from, web_ip, Udp{5000, 53}))));
    }
    EXPECT_EQ(node().flows(), Flows{});
}

TEST_F(DirectPath, ForNoPodOfThisNode_IsLeftToTheStack) {
    for (const Ipv4Address to :
         {n1_ip, address("10.244.1.200"), address("10.244.1.0"), api_ip, n2_ip, outside_ip, cluster_ip}) {
        SCOPED_TRACE(to.to_string());
        EXPECT_TRUE(leaves_alone(underlay_in, bytes(peer_sends(n6_pod_ip, to, syn))));
    }
    EXPECT_EQ(node().flows(), Flows{});
}

// The overlay's port means something at this node's own address only.
TEST_F(DirectPath, DatagramToAPodsOwnPort8472_IsDeliveredAsItIs) {
    EXPECT_TRUE(is_delivered(peer_sends(n6_pod_ip, web_ip, Udp{5000, overlay_port}, 64), pod("web")));
    Tunnel outer = tunnel(member("n2"), member("n1"));
    outer.ip.destination = web_ip;
    const Bytes packet = encapsulated(outer, bytes(from_pod(pod("api"), web_ip, syn)));
    const Outcome outcome = node().run(underlay_in, packet);
    EXPECT_EQ(outcome.packet.size(), packet.size()) << "taken for a tunnel packet of this node";
    EXPECT_EQ(node().counted(), once(counter_of(PATH_DIRECT_TO_POD), packet));
}

TEST_F(DirectPath, WhatTheFastPathCannotDo_IsLeftToTheStack) {
    EXPECT_TRUE(hands_over(underlay_in, bytes(peer_sends(n6_pod_ip, web_ip, segment)), HANDOVER_UNKNOWN_FLOW));
    EXPECT_TRUE(hands_over(underlay_in, bytes(peer_sends(n6_pod_ip, small_ip, Udp{1, 2}, 1253)), HANDOVER_TOO_BIG));
    EXPECT_TRUE(is_delivered(peer_sends(n6_pod_ip, small_ip, Udp{1, 2}, 1252), pod("small")));
    Frame expiring = peer_sends(n6_pod_ip, web_ip, syn);
    expiring.ip.ttl = 1;
    EXPECT_TRUE(hands_over(underlay_in, bytes(expiring), HANDOVER_TTL_EXPIRED));
    Frame options = peer_sends(n6_pod_ip, web_ip, syn);
    options.ip.options = Bytes(8, 1);
    EXPECT_TRUE(hands_over(underlay_in, bytes(options), HANDOVER_IP_OPTIONS));
    for (const std::uint16_t fragment : {more_fragments, std::uint16_t{370}}) {
        Frame part = peer_sends(n6_pod_ip, web_ip, Udp{5000, 53});
        part.ip.fragment = fragment;
        EXPECT_TRUE(hands_over(underlay_in, bytes(part), HANDOVER_FRAGMENT));
    }
}

TEST_F(DirectPath, IcmpErrorAboutAFlow_GoesTheFlowsWay) {
    const Frame sent = from_pod(pod("web"), n6_pod_ip, Udp{5000, 33434});
    Frame error = peer_sends(n6_pod_ip, web_ip, Icmp{.type = icmp_type::unreachable, .code = 3});
    error.payload = quoted(sent);
    EXPECT_TRUE(hands_over(underlay_in, bytes(error), HANDOVER_UNKNOWN_FLOW));
    EXPECT_TRUE(leaves_directly(from_web, sent));
    EXPECT_TRUE(is_delivered(error, pod("web")));
}

TEST_F(DirectPath, MalformedFromAPeer_IsDropped) {
    Frame bad_checksum = peer_sends(n6_pod_ip, web_ip, syn);
    bad_checksum.ip.checksum = 0x1234;
    EXPECT_TRUE(drops(underlay_in, bytes(bad_checksum), DROP_BAD_IP_HEADER));
    Frame too_long = peer_sends(n6_pod_ip, web_ip, Udp{5000, 53});
    too_long.ip.total_length = 1000;
    EXPECT_TRUE(drops(underlay_in, bytes(too_long), DROP_TRUNCATED));
    Frame short_header = peer_sends(n6_pod_ip, web_ip, syn);
    short_header.ip.header_words = 4;
    EXPECT_TRUE(drops(underlay_in, bytes(short_header), DROP_BAD_IP_HEADER));
    EXPECT_EQ(node().flows(), Flows{});
}

}  // namespace
}  // namespace podlane::prog
