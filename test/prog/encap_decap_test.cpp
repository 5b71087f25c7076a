// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// Two nodes: what from-pod of one puts out is what from-underlay of the other takes in.
//
//   web -> [n1 from-pod] -> eth1 ~~~ eth2 -> [n2 from-underlay] -> api
namespace podlane::prog {
namespace {

struct End {
    Node* node;
    const Member& member;
    const Pod& pod;
    At pod_side;
    At underlay_side;
};

class EncapDecap : public ProgTest {
protected:
    void SetUp() override {
        if (!kernel_writes_outer_headers()) {
            GTEST_SKIP() << "this kernel gives the programs no room for outer headers";
        }
        node().reset();
        n2().reset();
    }

    [[nodiscard]] static Node& n2() {
        static Node node("n2");
        return node;
    }
    [[nodiscard]] static End web() { return {&node(), member("n1"), pod("web"), from_web, underlay_in}; }
    [[nodiscard]] static End api() {
        return {&n2(), member("n2"), pod("api"), {Hook::from_pod, "api"}, {Hook::from_underlay, "eth2"}};
    }

    // The frame between the nodes, after neighbour output wrote its MACs.
    [[nodiscard]] static Bytes on_the_wire(const End& from, const End& to, const Bytes& sent) {
        Bytes frame = from.node->run(from.pod_side, sent).packet;
        write_macs(frame, underlay_mac(to.member.name), underlay_mac(from.member.name));
        return frame;
    }

    // The receiving pod gets what was sent, but for two routers' TTL and the MACs of its own link.
    [[nodiscard]] static testing::AssertionResult arrives(const End& from, const End& to, const Frame& sent) {
        Frame expected = delivered(sent, to.pod);
        expected.ip.ttl = static_cast<std::uint8_t>(sent.ip.ttl - 2);
        const Bytes wire = on_the_wire(from, to, bytes(sent));
        to.node->forget_counters();
        return comes_to(*to.node, to.underlay_side, wire, {Verdict::redirect, bytes(expected), 0},
                        once(counter_of(PATH_OVERLAY_TO_POD), wire));
    }
};

TEST_F(EncapDecap, TcpConnection_ArrivesInBothDirections) {
    const std::uint8_t syn_ack = tcp_flag::syn | tcp_flag::ack;
    EXPECT_TRUE(arrives(web(), api(), from_pod(pod("web"), api_ip, Tcp{40000, 80, tcp_flag::syn}, 0)));
    EXPECT_TRUE(arrives(api(), web(), from_pod(pod("api"), web_ip, Tcp{80, 40000, syn_ack}, 0)));
    for (const std::size_t length : {0U, 1U, 536U, 1409U, 1410U}) {
        EXPECT_TRUE(arrives(web(), api(), from_pod(pod("web"), api_ip, Tcp{40000, 80}, length)));
        EXPECT_TRUE(arrives(api(), web(), from_pod(pod("api"), web_ip, Tcp{80, 40000}, length)));
    }
    EXPECT_EQ(node().flows(), (Flows{{"tcp 10.244.1.5:40000 10.244.2.7:80", "fast"}}));
    EXPECT_EQ(n2().flows(), (Flows{{"tcp 10.244.2.7:80 10.244.1.5:40000", "fast"}}));
}

TEST_F(EncapDecap, UdpOfEveryLength_Arrives) {
    for (std::size_t length = 0; length <= 1422; ++length) {
        ASSERT_TRUE(arrives(web(), api(), from_pod(pod("web"), api_ip, Udp{5000, 53}, length))) << length;
    }
    EXPECT_TRUE(arrives(api(), web(), from_pod(pod("api"), web_ip, Udp{53, 5000}, 512)));
}

TEST_F(EncapDecap, PingAndItsReply_Arrive) {
    for (const std::size_t length : {0U, 56U, 1422U}) {
        EXPECT_TRUE(arrives(web(), api(), from_pod(pod("web"), api_ip, Icmp{.id = 7, .sequence = 1}, length)));
        EXPECT_TRUE(
            arrives(api(), web(),
                    from_pod(pod("api"), web_ip, Icmp{.type = icmp_type::echo_reply, .id = 7, .sequence = 1}, length)));
    }
}

TEST_F(EncapDecap, IcmpErrorAboutTheFlow_Arrives) {
    const Frame sent = from_pod(pod("web"), api_ip, Udp{5000, 53});
    EXPECT_TRUE(arrives(web(), api(), sent));
    Frame error = from_pod(pod("api"), web_ip, Icmp{.type = icmp_type::unreachable, .code = 3});
    error.payload = quoted(delivered(sent, pod("api")));
    EXPECT_TRUE(arrives(api(), web(), error));
}

TEST_F(EncapDecap, EveryTosByte_ArrivesAsSent) {
    for (unsigned tos = 0; tos < 256; ++tos) {
        Frame sent = from_pod(pod("web"), api_ip, Udp{5000, 53});
        sent.ip.tos = static_cast<std::uint8_t>(tos);
        EXPECT_TRUE(arrives(web(), api(), sent)) << tos;
    }
}

TEST_F(EncapDecap, CongestionMarkedOnTheWay_ArrivesInThePacket) {
    Frame sent = from_pod(pod("web"), api_ip, Tcp{40000, 80, tcp_flag::syn});
    sent.ip.tos = 2;  // ECT(0)
    Bytes wire = on_the_wire(web(), api(), bytes(sent));
    wire[15] |= 3;  // a router's mark on the outer header
    write16(wire, 24, 0);
    write16(wire, 24, internet_checksum(std::span(wire).subspan(14, 20)));

    Frame expected = delivered(sent, pod("api"));
    expected.ip.ttl = 62;
    expected.ip.tos = 3;
    EXPECT_TRUE(comes_to(n2(), api().underlay_side, wire, {Verdict::redirect, bytes(expected), 0},
                         once(counter_of(PATH_OVERLAY_TO_POD), wire)));
}

TEST_F(EncapDecap, TtlThatEndsAtTheSecondNode_IsAnsweredThere) {
    Frame sent = from_pod(pod("web"), api_ip, Udp{5000, 33434});
    sent.ip.ttl = 2;
    const Bytes wire = on_the_wire(web(), api(), bytes(sent));
    EXPECT_TRUE(comes_to(n2(), api().underlay_side, wire, {Verdict::pass, wire, 0},
                         once(counter_of(HANDOVER_TTL_EXPIRED, DIRECTION_FROM_UNDERLAY), wire)));
}

TEST_F(EncapDecap, WhatIsMeantForAnotherNode_IsNotTaken) {
    // n1 sends to n3; the frame strays to n2.
    const Bytes wire = on_the_wire(web(), api(), bytes(from_pod(pod("web"), n3_pod_ip, Tcp{40000, 80, tcp_flag::syn})));
    EXPECT_TRUE(comes_to(n2(), api().underlay_side, wire, {Verdict::pass, wire, 0}, {}));
}

}  // namespace
}  // namespace podlane::prog
