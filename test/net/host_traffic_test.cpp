// SPDX-License-Identifier: Apache-2.0
// Between pods and nodes: the cells "this node" of the contract's traffic table.
//
//   pod a --- node 1 (192.168.0.1) === VXLAN === node 2 (192.168.0.2) --- pod b
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

const std::vector<std::size_t> datagram_sizes = {1, 1400, 1422, 1423, 1472, 1473, 4000, 8000};

class HostTrafficTest : public TwoNodes {};

TEST_F(HostTrafficTest, PodToItsOwnNode_IsAnsweredAndKeepsThePodsAddress) {
    expect_ping(pod_a().ns(), node(1).address());
    const auto bulk = exchange_tcp(pod_a().endpoint(), node(1).endpoint(), 20'000'000);
    EXPECT_EQ(bulk.problem, "");
    EXPECT_EQ(bulk.client_seen_as, pod_a().address());
    const auto datagrams = echo_udp(pod_a().endpoint(), node(1).endpoint(), datagram_sizes);
    EXPECT_EQ(datagrams.problem, "");
    EXPECT_EQ(datagrams.client_seen_as, pod_a().address());
}

TEST_F(HostTrafficTest, NodeToItsOwnPod_CarriesTheNodesAddress) {
    expect_ping(node(1).ns(), pod_a().address());
    const auto bulk = exchange_tcp(node(1).endpoint(), pod_a().endpoint(), 20'000'000);
    EXPECT_EQ(bulk.problem, "");
    EXPECT_EQ(bulk.client_seen_as, node(1).address());
    const auto datagrams = echo_udp(node(1).endpoint(), pod_a().endpoint(), datagram_sizes);
    EXPECT_EQ(datagrams.problem, "");
    EXPECT_EQ(datagrams.client_seen_as, node(1).address());
}

TEST_F(HostTrafficTest, NodeToRemotePod_CarriesTheNodesAddress) {
    expect_ping(node(1).ns(), pod_b().address());
    const auto bulk = exchange_tcp(node(1).endpoint(), pod_b().endpoint(), 100'000'000);
    EXPECT_EQ(bulk.problem, "");
    EXPECT_EQ(bulk.client_seen_as, node(1).address());
    const auto datagrams = echo_udp(node(1).endpoint(), pod_b().endpoint(), datagram_sizes);
    EXPECT_EQ(datagrams.problem, "");
    EXPECT_EQ(datagrams.client_seen_as, node(1).address());
}

TEST_F(HostTrafficTest, NodeToRemotePod_IsVxlanOnTheWire) {
    Capture on_wire(wire(), Underlay::port_of("n1"),
                    [](const Frame& frame) { return decode_ipv4_frame(frame.bytes).has_value(); });
    ASSERT_EQ(echo_udp(node(1).endpoint(), pod_b().endpoint(), {100}).problem, "");
    const auto frames = on_wire.frames();
    ASSERT_EQ(frames.size(), 2U);
    const auto request = decode_vxlan_frame(frames[0].bytes, overlay_port);
    const auto answer = decode_vxlan_frame(frames[1].bytes, overlay_port);
    ASSERT_TRUE(request && answer);
    EXPECT_EQ(request->vni, 1U);
    EXPECT_EQ(request->inner.ip.source, node(1).address());
    EXPECT_EQ(request->inner.ip.destination, pod_b().address());
    EXPECT_EQ(request->inner.ethernet.destination, mac_of({node(2).ns(), overlay_device}));
    EXPECT_EQ(answer->inner.ip.source, pod_b().address());
    EXPECT_EQ(answer->inner.ip.destination, node(1).address());
    EXPECT_EQ(answer->inner.ethernet.destination, mac_of({node(1).ns(), overlay_device}));
}

}  // namespace
}  // namespace podlane::net
