// SPDX-License-Identifier: Apache-2.0
// What arrives on the overlay's port without a right to: it never reaches a pod, and each refusal is counted.
//
//   forger (raw frames on the wire's bridge) ---> node 2 eth0 --- pod b, listening on port 5001
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

// One forged VXLAN frame. The defaults are what node 1 would really send for pod a.
struct Forged {
    std::string outer_source = "192.168.0.1";
    std::string inner_source = "pod a";  // or an address
    std::uint32_t flags = vxlan_flags;
    std::uint32_t vni = 1;
    std::size_t payload = 64;
};

struct GuardCase {
    const char* what;
    Forged forged;
    const char* reason;  // of the drop; nullptr: delivered
};

class OverlayGuardTest : public TwoNodes {
protected:
    Bytes outer_packet(const Forged& forged) {
        const auto inner_source =
            forged.inner_source == "pod a" ? pod_a().address() : Ipv4Address::parse(forged.inner_source).value();
        const Bytes inner = ethernet_frame(
            {mac_of({node(2).ns(), overlay_device}), mac_of({node(1).ns(), overlay_device})},
            udp_packet({inner_source, pod_b().address(), protocol_udp, 63}, {5000, 5001}, Bytes(forged.payload, 0x66)));
        const Ipv4Header header{
            Ipv4Address::parse(forged.outer_source).value(), node(2).address(), protocol_udp, 64, 0, 77};
        return udp_packet(header, {40000, overlay_port}, vxlan_message(forged.flags, forged.vni, inner),
                          UdpChecksum::none);
    }
    void send_to_node_2(const std::vector<Bytes>& packets) {
        const RawSender sender(wire(), Underlay::bridge);
        for (const auto& packet : packets) {
            sender.send(ethernet_frame({mac_of(node(2).device()), mac_of({wire(), Underlay::bridge})}, packet));
        }
    }
    // Sends, and compares what reached the pod and what was counted with what the case says.
    void expect_case(const GuardCase& expected, const std::vector<Bytes>& packets) {
        SCOPED_TRACE(expected.what);
        const bool delivered = expected.reason == nullptr;
        const std::uint64_t before = delivered ? 0 : node(2).drops(expected.reason);
        Capture at_pod(pod_b().ns(), "eth0", udp_frames_to(5001));
        send_to_node_2(packets);
        const auto frame = at_pod.wait_for_frame(delivered ? 1000ms : 150ms);
        ASSERT_EQ(frame.has_value(), delivered);
        if (delivered) {
            EXPECT_EQ(decode_ipv4_frame(frame->bytes)->payload, Bytes(expected.forged.payload, 0x66));
        } else {
            EXPECT_EQ(node(2).drops(expected.reason), before + 1) << "not counted as " << expected.reason;
        }
    }
};

const std::vector<GuardCase>& guard_cases() {
    static const std::vector<GuardCase> cases = {
        {"what node 1 sends", {}, nullptr},
        {"node 1's own address inside", {.inner_source = "192.168.0.1"}, nullptr},
        {"another VNI", {.vni = 2}, "wrong-vni"},
        {"VNI 0", {.vni = 0}, "wrong-vni"},
        {"no I bit", {.flags = 0}, "bad-vxlan-header"},
        {"a reserved bit beside the I bit", {.flags = vxlan_flags | 1U}, "bad-vxlan-header"},
        {"the group policy bit", {.flags = vxlan_flags | 0x80000000U}, "bad-vxlan-header"},
        {"an outer source that is no node", {.outer_source = "192.168.0.77"}, "unknown-vtep"},
        {"the router as outer source", {.outer_source = "192.168.0.254"}, "unknown-vtep"},
        {"an inner source outside the cluster", {.inner_source = "8.8.8.8"}, "foreign-inner-source"},
        {"an inner source of another node's podCIDR", {.inner_source = "10.244.2.9"}, "foreign-inner-source"},
        {"an inner source of nobody's podCIDR", {.inner_source = "10.244.9.9"}, "foreign-inner-source"},
        {"another node's address inside", {.inner_source = "192.168.0.2"}, "foreign-inner-source"},
    };
    return cases;
}

TEST_F(OverlayGuardTest, ForgedVxlan_IsDroppedAndCounted) {
    for (const auto& forged : guard_cases()) {
        expect_case(forged, {outer_packet(forged.forged)});
    }
}

// Fragments pass the underlay's hook, the stack puts them together, and the overlay device's hook judges the whole.
TEST_F(OverlayGuardTest, ForgedVxlanInOuterFragments_IsJudgedAfterReassembly) {
    for (auto forged : guard_cases()) {
        if (std::string_view(forged.what).find(" bit") != std::string_view::npos) {
            continue;  // the kernel's VXLAN receiver itself refuses other flags, before any hook
        }
        forged.forged.payload = 900;
        expect_case(forged, fragment_in_two(outer_packet(forged.forged), 488));
    }
}

TEST_F(OverlayGuardTest, BadFlagsInOuterFragments_AreNotDelivered) {
    Capture at_pod(pod_b().ns(), "eth0", udp_frames_to(5001));
    send_to_node_2(fragment_in_two(outer_packet({.flags = 0, .payload = 900}), 488));
    EXPECT_FALSE(at_pod.wait_for_frame(300ms).has_value());
}

TEST_F(OverlayGuardTest, UdpToOtherPorts_PassesUntouched) {
    const auto before = node(2).agentctl_json({"map", "dump", "drop_counters"});
    EXPECT_EQ(echo_udp({&wire(), cluster_->underlay().router()}, node(2).endpoint(), {1, 1472, 4000}).problem, "");
    EXPECT_EQ(node(2).agentctl_json({"map", "dump", "drop_counters"}), before);
}

// A truncated frame: the outer UDP length says more than there is.
TEST_F(OverlayGuardTest, TruncatedVxlan_IsNotDelivered) {
    const Bytes whole = outer_packet({});
    Capture at_pod(pod_b().ns(), "eth0", udp_frames_to(5001));
    for (const std::size_t length : {20U, 27U, 28U, 35U, 36U, 49U, 50U, 69U, 70U, 77U}) {
        send_to_node_2({Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))});
    }
    EXPECT_FALSE(at_pod.wait_for_frame(300ms).has_value());
    expect_ping(pod_a().ns(), pod_b().address());
}

TEST_F(OverlayGuardTest, PodThatSpoofsItsSource_IsDroppedAndCounted) {
    const MacAddress gateway = mac_of({node(1).ns(), pod_a().host_device()});
    const MacAddress own = mac_of(pod_a().device());
    struct Case {
        const char* what;
        MacAddress source_mac;
        Ipv4Address source;
    };
    const std::vector<Case> cases = {
        {"another pod's address", own, Ipv4Address::parse("10.244.1.200").value()},
        {"the other node's pod's address", own, pod_b().address()},
        {"the node's address", own, node(1).address()},
        {"an outside address", own, Ipv4Address::parse("8.8.8.8").value()},
        {"another MAC", MacAddress({2, 0, 0, 0, 0, 9}), pod_a().address()},
    };
    const RawSender sender(pod_a().ns(), "eth0");
    for (const auto& spoofed : cases) {
        SCOPED_TRACE(spoofed.what);
        const auto before = node(1).drops("spoofed-source");
        Capture at_pod(pod_b().ns(), "eth0", udp_frames_to(5001));
        sender.send(ethernet_frame({gateway, spoofed.source_mac},
                                   udp_packet({spoofed.source, pod_b().address()}, {5000, 5001}, Bytes(40, 1))));
        EXPECT_FALSE(at_pod.wait_for_frame(150ms).has_value());
        EXPECT_EQ(node(1).drops("spoofed-source"), before + 1);
    }
}

}  // namespace
}  // namespace podlane::net
