// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include <gtest/gtest.h>

#include "test/net/harness/capture.h"
#include "test/net/harness/cluster.h"
#include "test/net/harness/wait.h"

namespace podlane::net {

using namespace std::chrono_literals;

constexpr std::uint16_t overlay_port = 8472;
constexpr const char* overlay_device = "podlane0";

// Two nodes in sync, a pod on each:
//
//   pod a (10.244.1.x) --- node 1 (192.168.0.1) === VXLAN on the wire === node 2 (192.168.0.2) --- pod b (10.244.2.x)
class TwoNodes : public testing::Test {
protected:
    void SetUp() override {
        cluster_ = std::make_unique<Cluster>(options());
        a_ = &node(1).add_pod("a");
        b_ = &node(2).add_pod("b");
    }
    [[nodiscard]] virtual ClusterOptions options() const { return {}; }

    [[nodiscard]] Node& node(unsigned number) { return cluster_->node(number); }
    [[nodiscard]] const Namespace& wire() { return cluster_->underlay().ns(); }
    [[nodiscard]] Pod& pod_a() { return *a_; }
    [[nodiscard]] Pod& pod_b() { return *b_; }

    std::unique_ptr<Cluster> cluster_;

private:
    Pod* a_ = nullptr;
    Pod* b_ = nullptr;
};

// Every ping from `from` to `to` is answered.
inline void expect_ping(const Namespace& from, Ipv4Address to, unsigned count = 3) {
    const auto outcome = ping(from, to, count);
    EXPECT_EQ(outcome.answered, count) << outcome.output;
}

// UDP frames to `port`, as a capture inside a pod sees them.
[[nodiscard]] inline FrameFilter udp_frames_to(std::uint16_t port) {
    return [port](const Frame& frame) {
        const auto packet = decode_ipv4_frame(frame.bytes);
        return packet && packet->ip.protocol == protocol_udp && packet->udp && packet->udp->destination == port;
    };
}

}  // namespace podlane::net
