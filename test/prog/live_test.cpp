// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"
#include "test/prog/harness/wire.h"

// The ingress programs on a real device, for the frames that a test run refuses or would see differently.
namespace podlane::prog {
namespace {

const Tcp syn{40000, 80, tcp_flag::syn};
const Member& n1 = member("n1");
const Member& n2 = member("n2");

Bytes cut(const Bytes& whole, std::size_t length) {
    return {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)};
}

// The frame with an IEEE 802.1Q tag. The kernel takes it off before the hook runs, and remembers it beside the packet.
Bytes tagged(const Bytes& frame, std::uint16_t vlan) {
    Bytes out = cut(frame, 12);
    out.insert(out.end(), {0x81, 0x00, static_cast<std::uint8_t>(vlan >> 8U), static_cast<std::uint8_t>(vlan & 0xffU)});
    out.insert(out.end(), frame.begin() + 12, frame.end());
    return out;
}

class Live : public ProgTest {};

TEST_F(Live, FrameFromPodWithoutAWholeIpHeader_IsDroppedAsTruncated) {
    const Wire wire(node(), from_web);
    const Bytes whole = bytes(from_pod(pod("web"), api_ip, syn));
    for (std::size_t length = 14; length < shortest_test_run; ++length) {
        SCOPED_TRACE(length);
        wire.send(cut(whole, length));
        EXPECT_TRUE(
            are_counted(wire.counted(), once(counter_of(DROP_TRUNCATED, DIRECTION_FROM_POD), cut(whole, length))));
    }
    EXPECT_EQ(node().flows(), Flows{});
}

TEST_F(Live, VlanTaggedFrameFromPod_IsDropped) {
    // The tag would be put back on the outer frame: the pod would send into a VLAN of the underlay.
    const Wire wire(node(), from_web);
    const Bytes frame = bytes(from_pod(pod("web"), api_ip, syn));
    for (const std::uint16_t vlan : {std::uint16_t{0}, std::uint16_t{100}, std::uint16_t{0xe064}}) {
        SCOPED_TRACE(vlan);
        wire.send(tagged(frame, vlan));
        EXPECT_TRUE(
            are_counted(wire.counted(), once(counter_of(DROP_UNSUPPORTED_ETHERTYPE, DIRECTION_FROM_POD), frame)));
    }
    EXPECT_EQ(node().flows(), Flows{});
}

TEST_F(Live, VlanTaggedArpFromPod_IsDropped) {
    const Wire wire(node(), from_web);
    const Bytes request = bytes(
        Arp{.ethernet = {.destination = mac("ff:ff:ff:ff:ff:ff"), .source = pod("web").mac, .type = ethertype_arp},
            .sender_mac = pod("web").mac,
            .sender = web_ip,
            .target = address("10.244.1.1")});
    wire.send(tagged(request, 100));
    EXPECT_TRUE(are_counted(wire.counted(), once(counter_of(DROP_UNSUPPORTED_ETHERTYPE, DIRECTION_FROM_POD), request)));
}

class LiveUnderlay : public Live {
protected:
    // Nothing is counted for the frame: shown by what is counted for the one behind it.
    static void is_left_alone(const Wire& wire, const Bytes& frame) {
        Tunnel outer = tunnel(n2, n1);
        outer.vni = 99;
        const Bytes marker = encapsulated(outer, bytes(from_pod(pod("api"), web_ip, syn)));
        wire.send(frame);
        wire.send(marker);
        EXPECT_TRUE(are_counted(wire.counted(), once(counter_of(DROP_WRONG_VNI, DIRECTION_FROM_UNDERLAY), marker)));
    }
};

TEST_F(LiveUnderlay, FrameWithoutAWholeIpHeader_IsLeftAlone) {
    const Wire wire(node(), underlay_in);
    const Bytes whole = encapsulated(from_pod(pod("api"), web_ip, syn), n2, n1);
    for (std::size_t length = 14; length < shortest_test_run; ++length) {
        SCOPED_TRACE(length);
        is_left_alone(wire, cut(whole, length));
    }
}

TEST_F(LiveUnderlay, VlanTaggedFrame_BelongsToTheVlansDeviceAndIsLeftAlone) {
    const Wire wire(node(), underlay_in);
    is_left_alone(wire, tagged(encapsulated(from_pod(pod("api"), n1_ip, syn), n2, n1), 100));
    EXPECT_EQ(node().flows(), Flows{});
}

}  // namespace
}  // namespace podlane::prog
