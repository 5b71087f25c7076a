// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// Who owns a flow: what the four hooks around the host's stack learn from each other's packets.
//
//            from-pod             to-overlay, to-underlay
//   web  ------------->  stack  --------------------------->  other nodes, the outside
//        <-------------         <---------------------------
//             to-pod              from-underlay, from-overlay
namespace podlane::prog {
namespace {

constexpr std::uint8_t tcp = 6;
constexpr std::uint8_t udp = 17;
constexpr std::uint16_t client = 40000;
constexpr std::uint16_t service = 80;
constexpr std::uint16_t backend = 8080;
const Ipv4Address cluster_ip = address("10.96.0.10");
const Member& n1 = member("n1");
const Member& n2 = member("n2");

// web's flow with a remote address, and db's.
Flow web_flow(std::uint8_t protocol, std::uint16_t port, Ipv4Address remote, std::uint16_t remote_port) {
    return {protocol, web_ip, port, remote, remote_port};
}
std::string web_tcp(std::uint16_t port, Ipv4Address remote, std::uint16_t remote_port) {
    return to_string(web_flow(tcp, port, remote, remote_port));
}
std::string db_tcp(std::uint16_t port, Ipv4Address remote, std::uint16_t remote_port) {
    return to_string(Flow{tcp, db_ip, port, remote, remote_port});
}

Frame web_sends(Ipv4Address to, const Transport& transport) {
    return from_pod(pod("web"), to, transport);
}
Frame db_sends(Ipv4Address to, const Transport& transport) {
    return from_pod(pod("db"), to, transport);
}
// What the stack puts out towards web or an uplink: whose MACs it has does not matter to the programs.
Frame stack_sends(Ipv4Address from, Ipv4Address to, const Transport& transport) {
    Frame frame = from_pod(pod("web"), to, transport);
    frame.ip.source = from;
    frame.ip.ttl = 63;
    return frame;
}

class FlowOwner : public ProgTest {
protected:
    [[nodiscard]] static Verdict verdict(const At& at, const Frame& frame) {
        const Verdict verdict = node().run(at, bytes(frame)).verdict;
        node().forget_counters();
        return verdict;
    }
    // A hook behind the stack sees the packet and lets it pass.
    static void sees(const At& at, const Frame& frame) { EXPECT_EQ(verdict(at, frame), Verdict::pass); }

    [[nodiscard]] static testing::AssertionResult hands_over_from_api(const Transport& transport,
                                                                      handover_reason reason) {
        return hands_over(underlay_in, encapsulated(from_pod(pod("api"), web_ip, transport), n2, n1), reason);
    }
};

// --- opened by a pod, to a pod's own address ---

TEST_F(FlowOwner, SynToRemotePod_IsFastAtOnce) {
    EXPECT_EQ(verdict(from_web, web_sends(api_ip, Tcp{client, service, tcp_flag::syn})), Verdict::redirect);
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "fast"}}));
    // The whole connection follows.
    for (const std::uint8_t flags : {tcp_flag::ack, std::uint8_t(tcp_flag::ack | tcp_flag::fin), tcp_flag::rst}) {
        EXPECT_EQ(verdict(from_web, web_sends(api_ip, Tcp{client, service, flags})), Verdict::redirect);
        EXPECT_EQ(verdict(underlay_in, Frame(web_sends(api_ip, Tcp{}))), Verdict::pass);  // no VXLAN: not ours
    }
    EXPECT_EQ(node()
                  .run(underlay_in,
                       encapsulated(from_pod(pod("api"), web_ip, Tcp{service, client, tcp_flag::syn | tcp_flag::ack}),
                                    n2, n1))
                  .verdict,
              Verdict::redirect);
}

TEST_F(FlowOwner, SynFromRemotePod_IsFastForItsReplies) {
    EXPECT_EQ(
        node()
            .run(underlay_in, encapsulated(from_pod(pod("api"), web_ip, Tcp{client, service, tcp_flag::syn}), n2, n1))
            .verdict,
        Verdict::redirect);
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(service, api_ip, client), "fast"}}));
    EXPECT_EQ(verdict(from_web, web_sends(api_ip, Tcp{service, client, tcp_flag::syn | tcp_flag::ack})),
              Verdict::redirect);
}

TEST_F(FlowOwner, SynToLocalPod_IsFastForBothPods) {
    EXPECT_EQ(verdict(from_web, web_sends(db_ip, Tcp{client, service, tcp_flag::syn})), Verdict::redirect);
    EXPECT_EQ(node().flows(),
              (Flows{{web_tcp(client, db_ip, service), "fast"}, {db_tcp(service, web_ip, client), "fast"}}));
    EXPECT_EQ(verdict(from_db, db_sends(web_ip, Tcp{service, client, tcp_flag::syn | tcp_flag::ack})),
              Verdict::redirect);
    EXPECT_EQ(verdict(from_web, web_sends(db_ip, Tcp{client, service})), Verdict::redirect);
}

TEST_F(FlowOwner, FirstDatagram_IsFastAtOnce) {
    EXPECT_EQ(verdict(from_web, web_sends(api_ip, Udp{5000, 53})), Verdict::redirect);
    EXPECT_EQ(node().flows(), (Flows{{to_string(web_flow(udp, 5000, api_ip, 53)), "fast"}}));
}

// --- in the middle of an unknown flow ---

class MidFlow : public FlowOwner, public testing::WithParamInterface<std::uint8_t> {};

TEST_P(MidFlow, FromPod_GoesUpAndIsFastOnceItLeavesUnchanged) {
    const Tcp segment{client, service, GetParam()};
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(api_ip, segment)), HANDOVER_UNKNOWN_FLOW));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "undecided from-pod"}}));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(api_ip, segment)), HANDOVER_UNKNOWN_FLOW));

    sees(overlay_out, stack_sends(web_ip, api_ip, segment));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "fast"}}));
    EXPECT_EQ(verdict(from_web, web_sends(api_ip, segment)), Verdict::redirect);
}

TEST_P(MidFlow, FromUnderlay_GoesUpAndIsFastOnceItReachesThePodUnchanged) {
    const Tcp segment{service, client, GetParam()};
    EXPECT_TRUE(hands_over_from_api(segment, HANDOVER_UNKNOWN_FLOW));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "undecided to-pod"}}));

    EXPECT_TRUE(leaves_alone(to_web, bytes(stack_sends(api_ip, web_ip, segment))));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "fast"}}));
    EXPECT_EQ(node().run(underlay_in, encapsulated(from_pod(pod("api"), web_ip, segment), n2, n1)).verdict,
              Verdict::redirect);
}

TEST_P(MidFlow, BetweenLocalPods_GoesUpAndIsFastForBothOnceItComesDownUnchanged) {
    const Tcp segment{client, service, GetParam()};
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(db_ip, segment)), HANDOVER_UNKNOWN_FLOW));
    EXPECT_TRUE(leaves_alone(to_db, bytes(stack_sends(web_ip, db_ip, segment))));
    EXPECT_EQ(node().flows(),
              (Flows{{web_tcp(client, db_ip, service), "fast"}, {db_tcp(service, web_ip, client), "fast"}}));
    EXPECT_EQ(verdict(from_web, web_sends(db_ip, segment)), Verdict::redirect);
    EXPECT_EQ(verdict(from_db, db_sends(web_ip, Tcp{service, client})), Verdict::redirect);
}

TEST_P(MidFlow, ToLocalPodThatForgotTheFlow_GoesUpAndIsFastAgain) {
    const Tcp segment{client, service, GetParam()};
    node().set_flow(web_flow(tcp, client, db_ip, service), FLOW_OWNER_FAST);
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(db_ip, segment)), HANDOVER_UNKNOWN_FLOW));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, db_ip, service), "fast"},
                                     {db_tcp(service, web_ip, client), "undecided to-pod"}}));
    EXPECT_TRUE(leaves_alone(to_db, bytes(stack_sends(web_ip, db_ip, segment))));
    EXPECT_EQ(verdict(from_web, web_sends(db_ip, segment)), Verdict::redirect);
}

TEST_P(MidFlow, InBothDirections_RemembersBoth) {
    EXPECT_TRUE(
        hands_over(from_web, bytes(web_sends(api_ip, Tcp{client, service, GetParam()})), HANDOVER_UNKNOWN_FLOW));
    EXPECT_TRUE(hands_over_from_api(Tcp{service, client, GetParam()}, HANDOVER_UNKNOWN_FLOW));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "undecided from-pod to-pod"}}));
}

INSTANTIATE_TEST_SUITE_P(Segments, MidFlow,
                         testing::Values(tcp_flag::ack, tcp_flag::rst, tcp_flag::syn | tcp_flag::ack,
                                         tcp_flag::fin | tcp_flag::ack, std::uint8_t{0}));

// --- translated by the stack ---

TEST_F(FlowOwner, ServiceWithARemoteBackend_RepliesGoUpTheStack) {
    EXPECT_TRUE(
        hands_over(from_web, bytes(web_sends(cluster_ip, Tcp{client, service, tcp_flag::syn})), HANDOVER_OUTSIDE));
    sees(overlay_out, stack_sends(web_ip, api_ip, Tcp{client, backend, tcp_flag::syn}));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, cluster_ip, service), "undecided from-pod"},
                                     {web_tcp(client, api_ip, backend), "stack"}}));
    EXPECT_TRUE(hands_over_from_api(Tcp{backend, client, tcp_flag::syn | tcp_flag::ack}, HANDOVER_STACK_FLOW));
    // On its way into the pod, translated back.
    EXPECT_TRUE(leaves_alone(to_web, bytes(stack_sends(cluster_ip, web_ip, Tcp{service, client}))));
    EXPECT_TRUE(hands_over_from_api(Tcp{backend, client}, HANDOVER_STACK_FLOW));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(cluster_ip, Tcp{client, service})), HANDOVER_OUTSIDE));
}

TEST_F(FlowOwner, ServiceWithALocalBackend_RepliesGoUpTheStack) {
    EXPECT_TRUE(
        hands_over(from_db, bytes(db_sends(cluster_ip, Tcp{client, service, tcp_flag::syn})), HANDOVER_OUTSIDE));
    EXPECT_TRUE(leaves_alone(to_web, bytes(stack_sends(db_ip, web_ip, Tcp{client, backend, tcp_flag::syn}))));
    EXPECT_EQ(node().flows().at(web_tcp(backend, db_ip, client)), "stack");
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(db_ip, Tcp{backend, client, tcp_flag::syn | tcp_flag::ack})),
                           HANDOVER_STACK_FLOW));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(db_ip, Tcp{backend, client})), HANDOVER_STACK_FLOW));
}

TEST_F(FlowOwner, DatagramsOfAService_RepliesGoUpTheStack) {
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(cluster_ip, Udp{5000, 53})), HANDOVER_OUTSIDE));
    sees(overlay_out, stack_sends(web_ip, api_ip, Udp{5000, 5353}));
    EXPECT_TRUE(hands_over_from_api(Udp{5353, 5000}, HANDOVER_STACK_FLOW));

    EXPECT_TRUE(leaves_alone(to_web, bytes(stack_sends(db_ip, web_ip, Udp{6000, 5353}))));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(db_ip, Udp{5353, 6000})), HANDOVER_STACK_FLOW));
}

TEST_F(FlowOwner, FragmentedDatagramsOfAService_RepliesGoUpTheStackToo) {
    // conntrack puts the datagram together, kube-proxy translates it, and it leaves the stack in fragments again.
    Frame first = stack_sends(db_ip, web_ip, Udp{6000, 5353});
    first.ip.fragment = more_fragments;
    EXPECT_TRUE(leaves_alone(to_web, bytes(first)));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(db_ip, Udp{5353, 6000})), HANDOVER_STACK_FLOW));

    first = stack_sends(web_ip, api_ip, Udp{5000, 5353});
    first.ip.fragment = more_fragments;
    sees(overlay_out, first);
    EXPECT_TRUE(hands_over_from_api(Udp{5353, 5000}, HANDOVER_STACK_FLOW));
}

TEST_F(FlowOwner, FragmentsOfADirectFlow_LeaveItFast) {
    Frame first = web_sends(api_ip, Udp{5000, 53});
    first.ip.fragment = more_fragments;
    for (int i = 0; i < 2; ++i) {
        EXPECT_TRUE(hands_over(from_web, bytes(first), HANDOVER_FRAGMENT));
        sees(overlay_out, first);
        EXPECT_EQ(verdict(from_web, web_sends(api_ip, Udp{5000, 53})), Verdict::redirect);
    }

    first = from_pod(pod("api"), web_ip, Udp{53, 6000});
    first.ip.fragment = more_fragments;
    for (int i = 0; i < 2; ++i) {
        EXPECT_TRUE(hands_over(underlay_in, encapsulated(first, n2, n1), HANDOVER_FRAGMENT));
        EXPECT_TRUE(leaves_alone(to_web, bytes(first)));
        EXPECT_EQ(node().run(underlay_in, encapsulated(from_pod(pod("api"), web_ip, Udp{53, 6000}), n2, n1)).verdict,
                  Verdict::redirect);
        node().forget_counters();
    }
}

TEST_F(FlowOwner, ServiceWithABackendOutside_LeavesTheUplinkAsTheStacks) {
    EXPECT_TRUE(
        hands_over(from_web, bytes(web_sends(cluster_ip, Tcp{client, service, tcp_flag::syn})), HANDOVER_OUTSIDE));
    EXPECT_TRUE(
        leaves_alone(underlay_out, bytes(stack_sends(web_ip, outside_ip, Tcp{client, backend, tcp_flag::syn}))));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, cluster_ip, service), "undecided from-pod"},
                                     {web_tcp(client, outside_ip, backend), "stack"}}));
}

TEST_F(FlowOwner, ConnectionToTheOutsideThatLeavesAsSent_StaysUndecided) {
    EXPECT_TRUE(
        hands_over(from_web, bytes(web_sends(outside_ip, Tcp{client, service, tcp_flag::syn})), HANDOVER_OUTSIDE));
    EXPECT_TRUE(
        leaves_alone(underlay_out, bytes(stack_sends(web_ip, outside_ip, Tcp{client, service, tcp_flag::syn}))));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, outside_ip, service), "undecided from-pod"}}));
}

TEST_F(FlowOwner, NodePortToALocalPod_RepliesGoUpTheStack) {
    EXPECT_TRUE(leaves_alone(to_web, bytes(stack_sends(outside_ip, web_ip, Tcp{client, backend, tcp_flag::syn}))));
    EXPECT_TRUE(leaves_alone(to_web, bytes(stack_sends(n1_ip, web_ip, Tcp{client, backend, tcp_flag::syn}))));
    EXPECT_EQ(node().flows(),
              (Flows{{web_tcp(backend, outside_ip, client), "stack"}, {web_tcp(backend, n1_ip, client), "stack"}}));
    const Tcp reply{backend, client, tcp_flag::syn | tcp_flag::ack};
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(outside_ip, reply)), HANDOVER_OUTSIDE));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(n1_ip, reply)), HANDOVER_NODE_ADDRESS));
    EXPECT_EQ(node().flows().at(web_tcp(backend, outside_ip, client)), "stack");
}

TEST_F(FlowOwner, ServiceThatLeadsBackToItsCaller_RepliesGoUpTheStack) {
    // kube-proxy masquerades the hairpin as a rule; IPVS does not always.
    EXPECT_TRUE(leaves_alone(to_web, bytes(stack_sends(n1_ip, web_ip, Tcp{client, backend, tcp_flag::syn}))));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(n1_ip, Tcp{backend, client, tcp_flag::syn | tcp_flag::ack})),
                           HANDOVER_NODE_ADDRESS));
    EXPECT_TRUE(leaves_alone(to_web, bytes(stack_sends(web_ip, web_ip, Tcp{client, backend, tcp_flag::syn}))));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(web_ip, Tcp{backend, client, tcp_flag::syn | tcp_flag::ack})),
                           HANDOVER_STACK_FLOW));
}

TEST_F(FlowOwner, AnotherTupleThanThePodSent_IsTheStacksAndDecidesNothingElse) {
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(api_ip, Tcp{client, service})), HANDOVER_UNKNOWN_FLOW));
    sees(overlay_out, stack_sends(web_ip, api_ip, Tcp{client, backend}));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "undecided from-pod"},
                                     {web_tcp(client, api_ip, backend), "stack"}}));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(api_ip, Tcp{client, service})), HANDOVER_UNKNOWN_FLOW));
}

TEST_F(FlowOwner, PacketThatWasHandedUpTheOtherWay_DoesNotMakeTheFlowFast) {
    // Handed up on its way to the pod; a packet that leaves the stack the other way is not the one.
    EXPECT_TRUE(hands_over_from_api(Tcp{service, client}, HANDOVER_UNKNOWN_FLOW));
    sees(overlay_out, stack_sends(web_ip, api_ip, Tcp{client, service}));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "stack"}}));
}

// --- ownership that changes ---

TEST_F(FlowOwner, SynOverAStackFlow_OpensANewFlowOfOurs) {
    node().set_flow(web_flow(tcp, client, api_ip, service), FLOW_OWNER_STACK);
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(api_ip, Tcp{client, service})), HANDOVER_STACK_FLOW));
    EXPECT_EQ(verdict(from_web, web_sends(api_ip, Tcp{client, service, tcp_flag::syn})), Verdict::redirect);
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "fast"}}));
}

TEST_F(FlowOwner, SynOverAnUndecidedFlow_OpensANewFlowOfOurs) {
    node().set_flow(web_flow(tcp, client, api_ip, service), FLOW_OWNER_UNDECIDED, FLOW_PENDING_FROM_POD);
    EXPECT_EQ(verdict(from_web, web_sends(api_ip, Tcp{client, service, tcp_flag::syn})), Verdict::redirect);
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "fast"}}));
}

TEST_F(FlowOwner, DatagramOverAStackOrUndecidedFlow_StaysWithTheStack) {
    node().set_flow(web_flow(udp, 5000, api_ip, 53), FLOW_OWNER_STACK);
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(api_ip, Udp{5000, 53})), HANDOVER_STACK_FLOW));
    node().set_flow(web_flow(udp, 5000, api_ip, 53), FLOW_OWNER_UNDECIDED, FLOW_PENDING_FROM_POD);
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(api_ip, Udp{5000, 53})), HANDOVER_UNKNOWN_FLOW));
    sees(overlay_out, stack_sends(web_ip, api_ip, Udp{5000, 53}));
    EXPECT_EQ(verdict(from_web, web_sends(api_ip, Udp{5000, 53})), Verdict::redirect);
}

// Its datagrams were the stack's until now, and one of them is still on its way.
TEST_F(FlowOwner, DatagramOfAPodWithoutProgramsYet_LeavesTheFlowUndisturbed) {
    node().set_pod_flags(web_ip, POD_FLAG_UNHOOKED);
    sees(overlay_out, stack_sends(web_ip, api_ip, Udp{5000, 53}));
    EXPECT_EQ(node().flows(), Flows{});
    node().set_flow(web_flow(udp, 5000, api_ip, 53), FLOW_OWNER_FAST);
    sees(overlay_out, stack_sends(web_ip, api_ip, Udp{5000, 53}));
    EXPECT_EQ(verdict(from_web, web_sends(api_ip, Udp{5000, 53})), Verdict::redirect);

    node().set_pod_flags(web_ip, 0);
    sees(overlay_out, stack_sends(web_ip, api_ip, Udp{5000, 53}));
    EXPECT_TRUE(hands_over(from_web, bytes(web_sends(api_ip, Udp{5000, 53})), HANDOVER_STACK_FLOW));
}

TEST_F(FlowOwner, LateSegmentFromTheStack_LeavesAFastConnectionFast) {
    node().set_flow(web_flow(tcp, client, api_ip, service), FLOW_OWNER_FAST);
    sees(overlay_out, stack_sends(web_ip, api_ip, Tcp{client, service}));
    sees(to_web, stack_sends(api_ip, web_ip, Tcp{service, client}));
    EXPECT_EQ(node().flows(), (Flows{{web_tcp(client, api_ip, service), "fast"}}));
}

TEST_F(FlowOwner, DatagramFromTheStack_ShowsThatTheFlowIsTheStacks) {
    node().set_flow(web_flow(udp, 5000, api_ip, 53), FLOW_OWNER_FAST);
    sees(to_web, stack_sends(api_ip, web_ip, Udp{53, 5000}));
    EXPECT_EQ(node().flows(), (Flows{{to_string(web_flow(udp, 5000, api_ip, 53)), "stack"}}));
}

// --- what teaches nothing ---

TEST_F(FlowOwner, TrafficOfTheHostItself_LeavesNoFlow) {
    sees(overlay_out, stack_sends(n1_ip, api_ip, Tcp{client, service, tcp_flag::syn}));
    sees(underlay_out, stack_sends(n1_ip, outside_ip, Tcp{client, service, tcp_flag::syn}));
    sees(underlay_out, stack_sends(outside_ip, address("192.168.100.77"), Tcp{client, service, tcp_flag::syn}));
    EXPECT_EQ(node().flows(), Flows{});
}

TEST_F(FlowOwner, HooksBehindTheStack_LetEverythingPassUntouched) {
    Frame broken = stack_sends(web_ip, web_ip, Tcp{client, service});
    broken.ip.checksum = std::uint16_t{0x1234};
    Frame options = stack_sends(web_ip, web_ip, Tcp{client, service});
    options.ip.options = Bytes(4, 1);
    Frame later_fragment = stack_sends(web_ip, web_ip, Udp{5000, 53});
    later_fragment.ip.fragment = 100;
    Frame ipv6 = stack_sends(web_ip, web_ip, Tcp{client, service});
    ipv6.ethernet.type = 0x86dd;
    for (const At& at : {to_web, underlay_out}) {
        for (const Frame& frame : {broken, options, later_fragment, ipv6}) {
            EXPECT_TRUE(leaves_alone(at, bytes(frame)));
        }
        const Bytes whole = bytes(stack_sends(web_ip, web_ip, Tcp{client, service}));
        for (std::size_t length = shortest_test_run; length < whole.size(); ++length) {
            EXPECT_TRUE(leaves_alone(at, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))));
        }
    }
    EXPECT_EQ(node().flows(), Flows{});
}

}  // namespace
}  // namespace podlane::prog
