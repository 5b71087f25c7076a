// SPDX-License-Identifier: Apache-2.0
// Between nodes podlane sends nothing but VXLAN and ARP (contract, mode vxlan).
//
//   pod a, host 1 --- node 1 === wire, captured at both nodes' ports === node 2 --- pod b
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

// VXLAN as the overlay's, or ARP. A later fragment of an outer packet would be neither, and there should be none.
bool may_be_on_the_wire(const Frame& frame) {
    if (ethertype_of(frame.bytes) == ethertype_arp) {
        return true;
    }
    const auto packet = decode_vxlan_frame(frame.bytes, overlay_port);
    return packet && packet->flags == vxlan_flags && packet->vni == 1;
}

std::string describe(const Frame& frame) {
    const auto packet = decode_ipv4_frame(frame.bytes);
    if (!packet) {
        return fmt::format("a frame of type {:#06x}, {} bytes", ethertype_of(frame.bytes), frame.length);
    }
    return fmt::format("{} to {}, protocol {}, {} bytes", packet->ip.source, packet->ip.destination,
                       packet->ip.protocol, frame.length);
}

class WireTest : public TwoNodes {};

TEST_F(WireTest, EveryKindOfPodTraffic_IsVxlanBetweenNodes) {
    // At the wire's end of a node's veth, what comes in is what the node sent.
    const FrameFilter unexpected = [](const Frame& frame) { return !frame.outgoing && !may_be_on_the_wire(frame); };
    Capture at_node_1(wire(), Underlay::port_of("n1"), unexpected);
    Capture at_node_2(wire(), Underlay::port_of("n2"), unexpected);
    Pod& neighbour = node(1).add_pod("a2");
    expect_ping(pod_a().ns(), pod_b().address());
    expect_ping(node(1).ns(), pod_b().address());
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), 20'000'000).problem, "");
    EXPECT_EQ(exchange_tcp(node(1).endpoint(), pod_b().endpoint(), 20'000'000).problem, "");
    EXPECT_EQ(echo_udp(pod_a().endpoint(), pod_b().endpoint(), {1, 1472, 8000}).problem, "");
    EXPECT_EQ(echo_udp(node(2).endpoint(), pod_a().endpoint(), {1, 1472, 8000}).problem, "");
    EXPECT_EQ(echo_udp(pod_a().endpoint(), neighbour.endpoint(), {1, 1472, 8000}).problem, "");
    EXPECT_EQ(echo_udp(pod_a().endpoint(), node(1).endpoint(), {1, 1472, 8000}).problem, "");
    EXPECT_EQ(probe_udp(pod_a().ns(), pod_b().address(), 2).kind, ProbeOutcome::Kind::time_exceeded);
    EXPECT_EQ(probe_udp(pod_a().ns(), Ipv4Address::parse("10.244.2.251").value(), 64).kind,
              ProbeOutcome::Kind::unreachable);
    node(1).remove_pod(neighbour);
    for (Capture* capture : {&at_node_1, &at_node_2}) {
        for (const auto& frame : capture->frames()) {
            ADD_FAILURE() << describe(frame);
        }
        EXPECT_EQ(capture->lost(), 0U);
    }
}

// The wire carries what fits: the pod's MTU leaves room for the outer headers.
TEST_F(WireTest, FramesWithoutOffloads_FitTheUnderlaysMtu) {
    for (const auto& device : {pod_a().device(), pod_b().device(), node(1).device(), node(2).device()}) {
        set_segmentation_offload(device, Offload::off);
    }
    Capture at_node_1(wire(), Underlay::port_of("n1"), [](const Frame& frame) { return frame.length > 1514; });
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), 5'000'000).problem, "");
    EXPECT_EQ(echo_udp(pod_a().endpoint(), pod_b().endpoint(), {1422, 1423, 8000}).problem, "");
    EXPECT_TRUE(at_node_1.frames().empty());
}

}  // namespace
}  // namespace podlane::net
