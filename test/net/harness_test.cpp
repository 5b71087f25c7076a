// SPDX-License-Identifier: Apache-2.0
// The test bed, tried on the kernel's own VXLAN path, without anything of podlane: what the other tests rely on.
//
//   pod a (10.244.1.8) - cni0 - flannel.1 - eth0 192.168.0.1 --- wire --- 192.168.0.2 eth0 - flannel.1 - cni0 - pod b
#include <gtest/gtest.h>

#include "test/net/harness/capture.h"
#include "test/net/harness/cluster.h"
#include "test/net/harness/flannel_node.h"
#include "test/net/harness/wait.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

class HarnessTest : public testing::Test {
protected:
    void SetUp() override {
        a_ = std::make_unique<FlannelNode>(underlay(), "a", Cluster::node_address(1), Cluster::pod_cidr(1));
        b_ = std::make_unique<FlannelNode>(underlay(), "b", Cluster::node_address(2), Cluster::pod_cidr(2));
        a_->add_peer(b_->as_peer());
        b_->add_peer(a_->as_peer());
    }
    Underlay& underlay() {
        if (!underlay_) {
            underlay_ = std::make_unique<Underlay>();
        }
        return *underlay_;
    }

    std::unique_ptr<Underlay> underlay_;
    std::unique_ptr<FlannelNode> a_;
    std::unique_ptr<FlannelNode> b_;
};

TEST_F(HarnessTest, TwoFlannelNodes_ExchangeEveryKindOfTraffic) {
    const auto pinged = ping(*a_->pod().ns, b_->pod().address);
    EXPECT_EQ(pinged.answered, 3U) << pinged.output;
    const auto bulk = exchange_tcp(a_->pod(), b_->pod(), 20'000'000);
    EXPECT_EQ(bulk.problem, "");
    EXPECT_EQ(bulk.client_seen_as, a_->pod().address);
    EXPECT_EQ(exchange_on_parallel_connections(a_->pod(), b_->pod(), 50).problem, "");
    EXPECT_EQ(echo_udp(a_->pod(), b_->pod(), {1, 1400, 8000}).problem, "");
}

TEST_F(HarnessTest, HostTraffic_CarriesTheOverlayAddress) {
    const auto outcome = echo_udp({&a_->ns(), Cluster::node_address(1)}, b_->pod(), {100});
    EXPECT_EQ(outcome.problem, "");
    EXPECT_EQ(outcome.client_seen_as, a_->overlay_address());
}

TEST_F(HarnessTest, AnUnreachablePeer_FailsEveryTool) {
    ip(underlay().ns(), "link set port-b down");
    EXPECT_EQ(ping(*a_->pod().ns, b_->pod().address, 1).answered, 0U);
    EXPECT_NE(exchange_tcp(a_->pod(), b_->pod(), 100, 1s).problem, "");
    EXPECT_NE(echo_udp(a_->pod(), b_->pod(), {10}).problem, "");
    EXPECT_FALSE(send_one_datagram(a_->pod(), b_->pod(), {}).arrived);
    UdpStream stream(a_->pod(), b_->pod());
    std::this_thread::sleep_for(50ms);
    const auto totals = stream.stop();
    EXPECT_GT(totals.sent, 10U);
    EXPECT_EQ(totals.echoed, 0U);
}

TEST_F(HarnessTest, UdpStreamAndProbes_CountHopsAndPackets) {
    UdpStream stream(a_->pod(), b_->pod());
    ASSERT_TRUE(wait_until([&] { return stream.echoed() > 50; }, 5s));
    const auto totals = stream.stop();
    EXPECT_EQ(totals.sent, totals.at_server);
    EXPECT_EQ(totals.sent, totals.echoed);

    const auto arrival = send_one_datagram(a_->pod(), b_->pod(), {.ttl = 20, .tos = 1});
    EXPECT_EQ(arrival.ttl, 18);
    EXPECT_EQ(arrival.tos, 1);
    EXPECT_EQ(arrival.from, a_->pod().address);
    const auto expired = probe_udp(*a_->pod().ns, b_->pod().address, 1);
    EXPECT_EQ(expired.kind, ProbeOutcome::Kind::time_exceeded);
    const auto reached = probe_udp(*a_->pod().ns, b_->pod().address, 3);
    EXPECT_EQ(reached.kind, ProbeOutcome::Kind::reached);
    EXPECT_EQ(reached.from, b_->pod().address);
}

TEST_F(HarnessTest, CaptureAndDecoder_ReadTheKernelsOwnVxlan) {
    Capture wire(underlay().ns(), Underlay::port_of("a"), vxlan_frames(8472));
    const auto arrival = send_one_datagram(a_->pod(), b_->pod(), {.ttl = 64, .tos = 2});
    EXPECT_TRUE(arrival.arrived);
    const auto frame = wire.wait_for_frame(1s);
    ASSERT_TRUE(frame.has_value());
    const auto packet = decode_vxlan_frame(frame->bytes, 8472);
    ASSERT_TRUE(packet.has_value());
    EXPECT_EQ(packet->outer.ip.source, Cluster::node_address(1));
    EXPECT_EQ(packet->outer.ip.destination, Cluster::node_address(2));
    EXPECT_TRUE(packet->outer.ip_checksum_ok);
    EXPECT_EQ(packet->outer.ip.ecn(), Ecn::ect0);
    EXPECT_EQ(packet->flags, vxlan_flags);
    EXPECT_EQ(packet->vni, 1U);
    EXPECT_EQ(packet->inner.ethernet.destination, b_->as_peer().vtep_mac);
    EXPECT_EQ(packet->inner.ip.ttl, 63);
    EXPECT_EQ(wire.lost(), 0U);
}

// A datagram written byte by byte reaches a socket through the kernel's VXLAN device, whole and in two fragments:
// the writers are right about every length and checksum.
TEST_F(HarnessTest, WrittenFrames_AreTakenByTheKernel) {
    const auto inner =
        ethernet_frame({b_->as_peer().vtep_mac, a_->as_peer().vtep_mac},
                       udp_packet({a_->pod().address, b_->pod().address}, {4000, 4001}, Bytes(700, 0x5a)));
    const auto outer = udp_packet({Cluster::node_address(1), Cluster::node_address(2), protocol_udp, 64, 0, 7},
                                  {50000, 8472}, vxlan_message(vxlan_flags, 1, inner));
    const Ethernet ethernet{mac_of(b_->device()), mac_of({underlay().ns(), Underlay::bridge})};
    const RawSender sender(underlay().ns(), Underlay::bridge);
    Capture pod(*b_->pod().ns, "eth0", [](const Frame& frame) {
        const auto packet = decode_ipv4_frame(frame.bytes);
        return packet && packet->udp && packet->udp->destination == 4001;
    });

    sender.send(ethernet_frame(ethernet, outer));
    EXPECT_TRUE(wait_until([&] { return pod.frames().size() == 1; }, 1s));
    for (const auto& fragment : fragment_in_two(outer, 400)) {
        sender.send(ethernet_frame(ethernet, fragment));
    }
    ASSERT_TRUE(wait_until([&] { return pod.frames().size() == 2; }, 1s));
    const auto frames = pod.frames();
    EXPECT_EQ(frames[0].bytes, frames[1].bytes);
    EXPECT_EQ(decode_ipv4_frame(frames[0].bytes)->payload, Bytes(700, 0x5a));
}

}  // namespace
}  // namespace podlane::net
