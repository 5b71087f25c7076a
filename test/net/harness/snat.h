// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "test/net/harness/two_nodes.h"

namespace podlane::net {

// Any four bytes behind the Ethernet header that are an address of 10.244.0.0/16, where an address may stand: the IPv4
// header's two, and those of a packet that an ICMP error quotes.
[[nodiscard]] inline bool shows_a_pod(const Frame& frame) {
    constexpr std::size_t ethernet = 14;
    const auto at = [&](std::size_t offset) {
        return frame.bytes.size() >= offset + 4 && frame.bytes[offset] == 10 && frame.bytes[offset + 1] == 244;
    };
    const bool is_ipv4 = frame.bytes.size() > 23 && frame.bytes[12] == 8 && frame.bytes[13] == 0;
    const bool is_error =
        is_ipv4 && frame.bytes[23] == 1 && frame.bytes.size() > 34 && frame.bytes[34] != 0 && frame.bytes[34] != 8;
    return is_ipv4 &&
           (at(ethernet + 12) || at(ethernet + 16) || (is_error && (at(ethernet + 28 + 12) || at(ethernet + 28 + 16))));
}

// Pods and the outside, which reports whom it sees and captures everything that reaches it:
//
//   pod a (10.244.1.x) --- node 1 (192.168.0.1) --+
//   pod b (10.244.2.x) --- node 2 (192.168.0.2) --+--- outside (192.168.0.200), which has no route to pods
//
// Whatever the test: no frame with a pod's address, in its header or in a quotation, reaches the outside.
class SnatTest : public TwoNodes {
protected:
    void SetUp() override {
        TwoNodes::SetUp();
        cluster_->underlay().join(outside_, "outside", outside_address);
        capture_ = std::make_unique<Capture>(outside_, Underlay::node_device, shows_a_pod);
    }
    void TearDown() override {
        EXPECT_EQ(capture_->frames().size(), 0U) << "a pod's address was seen outside";
        EXPECT_EQ(capture_->lost(), 0U);
    }

    [[nodiscard]] Endpoint outside() const { return {&outside_, outside_address, {}}; }
    // Packets that took the path at node 1.
    [[nodiscard]] std::uint64_t counted(const std::string& path) {
        return node(1).agentctl_json({"map", "get", "path_counters", path}).at("value").at("packets");
    }
    // Bytes of the packets that took the path at node 1.
    [[nodiscard]] std::uint64_t bytes_counted(const std::string& path) {
        return node(1).agentctl_json({"map", "get", "path_counters", path}).at("value").at("bytes");
    }
    // Packets that were dropped at node 1, of all reasons.
    [[nodiscard]] std::string drops() {
        return node(1).agentctl_json({"map", "dump", "drop_counters"}).at(0).at("entries").dump();
    }
    void expect_seen_as_node(const Outcome& outcome, unsigned number = 1) {
        EXPECT_EQ(outcome.problem, "");
        EXPECT_EQ(outcome.client_seen_as, node(number).address());
    }
    // A host one hop behind the wire, which becomes a router: 10.9.9.2 on a link with this MTU.
    void join_far(const Namespace& far, unsigned mtu) {
        connect_by_veth({far, "eth0"}, {wire(), "to-far"}, mtu);
        ip(wire(), "address add 10.9.9.1/24 dev to-far");
        ip(far, fmt::format("address add {}/24 dev eth0", far_address));
        ip(far, "route add default via 10.9.9.1");
        set_sysctl(wire(), "net/ipv4/ip_forward", "1");
    }

    static inline const auto outside_address = Ipv4Address::from_host(0xc0a800c8);
    static inline const auto far_address = Ipv4Address::from_host(0x0a090902);
    Namespace outside_{"outside"};
    std::unique_ptr<Capture> capture_;
};

}  // namespace podlane::net
