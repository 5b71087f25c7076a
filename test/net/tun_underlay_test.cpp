// SPDX-License-Identifier: Apache-2.0
// Two nodes that reach each other by a device without an Ethernet header:
//
//   pod a (10.244.1.x) --- node 1 (192.168.0.1) --- tun0 === tun0 --- node 2 (192.168.0.2) --- pod b (10.244.2.x)
#include <memory>

#include "test/net/harness/tun.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

// A packet (no frame) with a pod's source.
bool is_from_a_pod(const Frame& packet) {
    return packet.bytes.size() >= 20 && packet.bytes[0] >> 4U == 4 && packet.bytes[12] == 10 && packet.bytes[13] == 244;
}

class TunUnderlay : public TwoNodes {
protected:
    void SetUp() override {
        TwoNodes::SetUp();
        wire_ = std::make_unique<TunWire>(DeviceRef{node(1).ns(), "tun0"}, DeviceRef{node(2).ns(), "tun0"});
        bare_ = std::make_unique<Capture>(node(2).ns(), "tun0", is_from_a_pod);
        connect(1, 2);
        connect(2, 1);
    }
    void TearDown() override {
        if (bare_) {
            EXPECT_EQ(bare_->frames().size(), 0U) << "packets of pods that are not encapsulated";
            EXPECT_EQ(bare_->lost(), 0U);
        }
    }
    void connect(unsigned from, unsigned to) {
        ip(node(from).ns(), fmt::format("route add {}/32 dev tun0 src {}", node(to).address(), node(from).address()));
        EXPECT_TRUE(
            wait_until([&] { return node(from).agentctl({"link", "list"}).out.contains("tun0 to-l3-uplink"); }, 10s));
    }
    [[nodiscard]] podlane::net::Endpoint at_node(unsigned number) {
        return {&node(number).ns(), node(number).address(), {}};
    }

private:
    std::unique_ptr<TunWire> wire_;
    std::unique_ptr<Capture> bare_;
};

TEST_F(TunUnderlay, PodsOfTwoNodes_ReachEachOtherEncapsulated) {
    expect_ping(pod_a().ns(), pod_b().address());
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), 5'000'000).problem, "");
    EXPECT_EQ(echo_udp(pod_b().endpoint(), pod_a().endpoint(), {1, 1400, 4000}).problem, "");
}

// The stack's route to a node's own address leads out of the tun device, past podlane0.
TEST_F(TunUnderlay, WhatTheStackForwardsToANode_IsEncapsulatedAsWell) {
    const auto echoed = echo_udp(pod_a().endpoint(), at_node(2), {1, 1400, 4000});
    EXPECT_EQ(echoed.problem, "");
    EXPECT_EQ(echoed.client_seen_as, pod_a().address());
    EXPECT_GT(node(1)
                  .agentctl_json({"map", "get", "path_counters", "stack-to-overlay"})
                  .at("value")
                  .at("packets")
                  .get<unsigned>(),
              0U);
}

}  // namespace
}  // namespace podlane::net
