// SPDX-License-Identifier: Apache-2.0
// A node is a router to its pods: TTL, ICMP errors and congestion marks.
//
//   pod a, pod a2 --- node 1 === VXLAN === node 2 --- pod b
//        hop 1: node 1            hop 2: node 2
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

using Kind = ProbeOutcome::Kind;

class RouterTest : public TwoNodes {
protected:
    // A VXLAN frame as node 1 would send it for pod a, with these ECN fields; seen by pod b on its interface.
    std::optional<Frame> deliver_with_ecn(Ecn outer, Ecn inner) {
        const Ipv4Header inner_header{pod_a().address(), pod_b().address(), protocol_udp, 63,
                                      static_cast<std::uint8_t>(inner)};
        const Bytes inner_frame =
            ethernet_frame({mac_of({node(2).ns(), overlay_device}), mac_of({node(1).ns(), overlay_device})},
                           udp_packet(inner_header, {5000, 5001}, Bytes(64, 0x42)));
        const Ipv4Header outer_header{node(1).address(), node(2).address(), protocol_udp, 64,
                                      static_cast<std::uint8_t>(outer)};
        const Bytes frame = ethernet_frame({mac_of(node(2).device()), mac_of(node(1).device())},
                                           udp_packet(outer_header, {40000, overlay_port},
                                                      vxlan_message(vxlan_flags, 1, inner_frame), UdpChecksum::none));
        Capture at_pod(pod_b().ns(), "eth0", udp_frames_to(5001));
        RawSender(wire(), Underlay::bridge).send(frame);
        return at_pod.wait_for_frame(300ms);
    }
};

TEST_F(RouterTest, Ttl_FallsByOneAtEachNode) {
    Pod& neighbour = node(1).add_pod("a2");
    EXPECT_EQ(send_one_datagram(pod_a().endpoint(), neighbour.endpoint(), {.ttl = 64}).ttl, 63);
    EXPECT_EQ(send_one_datagram(pod_a().endpoint(), pod_b().endpoint(), {.ttl = 64}).ttl, 62);
    EXPECT_EQ(send_one_datagram(pod_a().endpoint(), node(1).endpoint(), {.ttl = 64}).ttl, 64);
    EXPECT_EQ(send_one_datagram(node(1).endpoint(), pod_a().endpoint(), {.ttl = 64}).ttl, 64);
    EXPECT_EQ(send_one_datagram(node(1).endpoint(), pod_b().endpoint(), {.ttl = 64}).ttl, 63);
}

struct ExpiryCase {
    const char* what;
    int ttl;
    Kind kind;
    unsigned node;  // that answers; 0: the pod itself
};

TEST_F(RouterTest, TtlOnTheWayToARemotePod_ExpiresWhereARouterLetsIt) {
    const std::vector<ExpiryCase> cases = {{"at the first node", 1, Kind::time_exceeded, 1},
                                           {"at the second node", 2, Kind::time_exceeded, 2},
                                           {"not at all", 3, Kind::reached, 0}};
    for (const auto& expected : cases) {
        SCOPED_TRACE(expected.what);
        const auto outcome = probe_udp(pod_a().ns(), pod_b().address(), expected.ttl);
        EXPECT_EQ(outcome.kind, expected.kind);
        EXPECT_EQ(outcome.from, expected.node == 0 ? pod_b().address() : node(expected.node).address());
    }
}

TEST_F(RouterTest, TtlBetweenPodsOfOneNode_IsOneHop) {
    Pod& neighbour = node(1).add_pod("a2");
    const auto expired = probe_udp(pod_a().ns(), neighbour.address(), 1);
    EXPECT_EQ(expired.kind, Kind::time_exceeded);
    EXPECT_EQ(expired.from, node(1).address());
    const auto reached = probe_udp(pod_a().ns(), neighbour.address(), 2);
    EXPECT_EQ(reached.kind, Kind::reached);
    EXPECT_EQ(reached.from, neighbour.address());
}

TEST_F(RouterTest, AddressOfTheClusterWithoutAPod_IsUnreachable) {
    struct Case {
        const char* what;
        const char* address;
        unsigned answering_node;
    };
    const std::vector<Case> cases = {{"of this node's podCIDR", "10.244.1.250", 1},
                                     {"of the other node's podCIDR", "10.244.2.250", 2},
                                     {"of no node", "10.244.77.1", 1}};
    const auto cluster_cidr = Ipv4Prefix::parse("10.244.0.0/16").value();
    Capture at_router(wire(), Underlay::bridge, [&](const Frame& frame) {
        const auto packet = decode_ipv4_frame(frame.bytes);
        return packet && !frame.outgoing && cluster_cidr.contains(packet->ip.source);
    });
    for (const auto& expected : cases) {
        SCOPED_TRACE(expected.what);
        const auto outcome = probe_udp(pod_a().ns(), Ipv4Address::parse(expected.address).value(), 64);
        EXPECT_EQ(outcome.kind, Kind::unreachable);
        EXPECT_EQ(outcome.from, node(expected.answering_node).address());
    }
    EXPECT_TRUE(at_router.frames().empty()) << "a packet of a pod left by the default route";
}

// The kernel's VXLAN device, which writes the outer headers where we cannot, puts ECT(0) outside for CE (RFC 3168); the
// mark inside stays.
TEST_F(RouterTest, EcnOfThePod_IsCopiedToTheOuterHeader) {
    const auto status = node(1).agentctl_json({"status"});
    const bool by_device = status.at("details").at("features").at("encapsulation") == "tunnel device";
    for (const Ecn ecn : {Ecn::not_ect, Ecn::ect0, Ecn::ect1, Ecn::ce}) {
        SCOPED_TRACE(static_cast<int>(ecn));
        Capture on_wire(wire(), Underlay::port_of("n1"), vxlan_frames(overlay_port));
        const SendOptions options{.ttl = 64, .tos = static_cast<int>(ecn)};
        EXPECT_EQ(send_one_datagram(pod_a().endpoint(), pod_b().endpoint(), options).tos, static_cast<int>(ecn));
        const auto frame = on_wire.wait_for_frame(1s);
        ASSERT_TRUE(frame.has_value());
        const Ecn expected = by_device && ecn == Ecn::ce ? Ecn::ect0 : ecn;
        EXPECT_EQ(decode_vxlan_frame(frame->bytes, overlay_port)->outer.ip.ecn(), expected);
    }
}

// RFC 6040, figure 4.
TEST_F(RouterTest, CongestionMarkedOnTheWay_ReachesThePodAsRfc6040Says) {
    struct Case {
        Ecn outer;
        Ecn inner;
        Ecn delivered;
    };
    const std::vector<Case> cases = {{Ecn::not_ect, Ecn::not_ect, Ecn::not_ect},
                                     {Ecn::not_ect, Ecn::ect0, Ecn::ect0},
                                     {Ecn::not_ect, Ecn::ce, Ecn::ce},
                                     {Ecn::ect0, Ecn::not_ect, Ecn::not_ect},
                                     {Ecn::ect0, Ecn::ect0, Ecn::ect0},
                                     {Ecn::ect1, Ecn::ect0, Ecn::ect1},
                                     {Ecn::ect0, Ecn::ect1, Ecn::ect1},
                                     {Ecn::ce, Ecn::ect0, Ecn::ce},
                                     {Ecn::ce, Ecn::ect1, Ecn::ce},
                                     {Ecn::ce, Ecn::ce, Ecn::ce}};
    for (const auto& expected : cases) {
        SCOPED_TRACE(
            fmt::format("outer {} inner {}", static_cast<int>(expected.outer), static_cast<int>(expected.inner)));
        const auto frame = deliver_with_ecn(expected.outer, expected.inner);
        ASSERT_TRUE(frame.has_value());
        const auto packet = decode_ipv4_frame(frame->bytes);
        EXPECT_EQ(packet->ip.ecn(), expected.delivered);
        EXPECT_EQ(packet->ip.ttl, 62);
        EXPECT_TRUE(packet->ip_checksum_ok);
        EXPECT_EQ(packet->payload, Bytes(64, 0x42));
    }
}

TEST_F(RouterTest, CongestionOnATransportThatCannotHearOfIt_IsDroppedAndCounted) {
    const auto before = node(2).drops("ecn-congested");
    EXPECT_FALSE(deliver_with_ecn(Ecn::ce, Ecn::not_ect).has_value());
    EXPECT_EQ(node(2).drops("ecn-congested"), before + 1);
}

}  // namespace
}  // namespace podlane::net
