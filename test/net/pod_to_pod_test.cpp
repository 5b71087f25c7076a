// SPDX-License-Identifier: Apache-2.0
// Pods of different nodes, and of one.
//
//   pod a, pod a2 --- node 1 (192.168.0.1) === VXLAN === node 2 (192.168.0.2) --- pod b
//   10.244.1.x                                                                   10.244.2.x
#include <map>
#include <set>

#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

constexpr std::uint64_t hundred_megabytes = 100'000'000;

// Around what fits into one packet (1450 - 28), into two fragments, and up to 8000.
const std::vector<std::size_t> datagram_sizes = {1,    2,    63,   64,   576,  1000, 1400, 1421, 1422, 1423, 1424,
                                                 1472, 1500, 2000, 2843, 2844, 2845, 2846, 4096, 6000, 7999, 8000};

class PodToPodTest : public TwoNodes {
protected:
    // On every device between the pods: what a NIC without TSO sees.
    void set_offload_everywhere(Offload offload) {
        set_segmentation_offload(pod_a().device(), offload);
        set_segmentation_offload(pod_b().device(), offload);
        for (const unsigned number : {1U, 2U}) {
            set_segmentation_offload(node(number).device(), offload);
            set_segmentation_offload({wire(), Underlay::port_of(node(number).name())}, offload);
        }
    }
};

TEST_F(PodToPodTest, PodToRemotePod_PingIsAnswered) {
    expect_ping(pod_a().ns(), pod_b().address(), 10);
    expect_ping(pod_b().ns(), pod_a().address(), 10);
}

TEST_F(PodToPodTest, BulkTcpWithTso_ArrivesWholeInBothDirections) {
    set_offload_everywhere(Offload::on);
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), hundred_megabytes).problem, "");
}

TEST_F(PodToPodTest, BulkTcpWithoutTso_ArrivesWholeInBothDirections) {
    set_offload_everywhere(Offload::off);
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), hundred_megabytes).problem, "");
}

// The pod hands over large segments, the wire's devices do not take them: the kernel segments after encapsulation.
TEST_F(PodToPodTest, BulkTcpSegmentedBehindTheEncapsulation_ArrivesWholeInBothDirections) {
    set_offload_everywhere(Offload::off);
    set_segmentation_offload(pod_a().device(), Offload::on);
    set_segmentation_offload(pod_b().device(), Offload::on);
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), hundred_megabytes).problem, "");
}

TEST_F(PodToPodTest, UdpOfAnySizeUpTo8000Bytes_IsEchoed) {
    EXPECT_EQ(echo_udp(pod_a().endpoint(), pod_b().endpoint(), datagram_sizes).problem, "");
    EXPECT_EQ(echo_udp(pod_b().endpoint(), pod_a().endpoint(), datagram_sizes).problem, "");
}

TEST_F(PodToPodTest, TwoHundredParallelConnections_AllWork) {
    EXPECT_EQ(exchange_on_parallel_connections(pod_a().endpoint(), pod_b().endpoint(), 200).problem, "");
}

TEST_F(PodToPodTest, ReceiverSeesThePodsOwnAddress) {
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), 1000).client_seen_as, pod_a().address());
    EXPECT_EQ(echo_udp(pod_b().endpoint(), pod_a().endpoint(), {100, 3000}).client_seen_as, pod_b().address());
    Pod& neighbour = node(1).add_pod("a2");
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), neighbour.endpoint(), 1000).client_seen_as, pod_a().address());
}

TEST_F(PodToPodTest, PodsOfOneNode_ExchangeEveryKindOfTraffic) {
    Pod& neighbour = node(1).add_pod("a2");
    expect_ping(pod_a().ns(), neighbour.address());
    expect_ping(neighbour.ns(), pod_a().address());
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), neighbour.endpoint(), hundred_megabytes).problem, "");
    EXPECT_EQ(echo_udp(pod_a().endpoint(), neighbour.endpoint(), datagram_sizes).problem, "");
    EXPECT_EQ(exchange_on_parallel_connections(neighbour.endpoint(), pod_a().endpoint(), 200).problem, "");
}

TEST_F(PodToPodTest, TrafficOfOneNode_NeverReachesTheWire) {
    Pod& neighbour = node(1).add_pod("a2");
    Capture wire_of_node(wire(), Underlay::port_of("n1"),
                         [](const Frame& frame) { return decode_ipv4_frame(frame.bytes).has_value(); });
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), neighbour.endpoint(), 1'000'000).problem, "");
    EXPECT_EQ(echo_udp(pod_a().endpoint(), neighbour.endpoint(), {100, 8000}).problem, "");
    EXPECT_TRUE(wire_of_node.frames().empty());
    EXPECT_EQ(wire_of_node.lost(), 0U);
}

TEST_F(PodToPodTest, RemotePodsPacket_IsOneVxlanFrameFromVtepToVtep) {
    Capture on_wire(wire(), Underlay::port_of("n1"), vxlan_frames(overlay_port));
    ASSERT_TRUE(send_one_datagram(pod_a().endpoint(), pod_b().endpoint(), {.ttl = 33, .tos = 0x28}).arrived);
    const auto frame = on_wire.wait_for_frame(1s);
    ASSERT_TRUE(frame.has_value());
    const auto packet = decode_vxlan_frame(frame->bytes, overlay_port);
    ASSERT_TRUE(packet.has_value());

    EXPECT_EQ(packet->outer.ethernet.source, mac_of(node(1).device()));
    EXPECT_EQ(packet->outer.ethernet.destination, mac_of(node(2).device()));
    EXPECT_EQ(packet->outer.ip.source, node(1).address());
    EXPECT_EQ(packet->outer.ip.destination, node(2).address());
    EXPECT_EQ(packet->outer.ip.ttl, 64);
    EXPECT_TRUE(packet->outer.ip_checksum_ok);
    EXPECT_EQ(packet->outer.total_length, frame->length - 14);
    EXPECT_EQ(packet->outer.udp_checksum, 0);
    EXPECT_GE(packet->outer.udp->source, 32768);
    EXPECT_EQ(packet->flags, vxlan_flags);
    EXPECT_EQ(packet->vni, 1U);

    EXPECT_EQ(packet->inner.ethernet.source, mac_of({node(1).ns(), overlay_device}));
    EXPECT_EQ(packet->inner.ethernet.destination, mac_of({node(2).ns(), overlay_device}));
    EXPECT_EQ(packet->inner.ip.source, pod_a().address());
    EXPECT_EQ(packet->inner.ip.destination, pod_b().address());
    EXPECT_EQ(packet->inner.ip.ttl, 32);
    EXPECT_EQ(packet->inner.ip.tos, 0x28);
    EXPECT_TRUE(packet->inner.ip_checksum_ok);
}

// Paths with several equal ways, and NICs with several queues, tell flows apart by the outer source port.
TEST_F(PodToPodTest, Flows_SpreadOverOuterSourcePorts) {
    Capture on_wire(wire(), Underlay::port_of("n1"), [](const Frame& frame) {
        const auto packet = decode_vxlan_frame(frame.bytes, overlay_port);
        return packet && !frame.outgoing && packet->inner.ip.protocol == protocol_tcp;
    });
    EXPECT_EQ(exchange_on_parallel_connections(pod_a().endpoint(), pod_b().endpoint(), 50).problem, "");
    std::map<std::uint16_t, std::set<std::uint16_t>> outer_by_inner;
    std::set<std::uint16_t> outer;
    for (const auto& frame : on_wire.frames()) {
        const auto packet = decode_vxlan_frame(frame.bytes, overlay_port);
        outer_by_inner[packet->inner.udp->source].insert(packet->outer.udp->source);
        outer.insert(packet->outer.udp->source);
    }
    EXPECT_EQ(outer_by_inner.size(), 50U);
    EXPECT_GT(outer.size(), 25U);
    for (const auto& [inner, ports] : outer_by_inner) {
        EXPECT_EQ(ports.size(), 1U) << "the flow from port " << inner << " changes its way";
    }
}

}  // namespace
}  // namespace podlane::net
