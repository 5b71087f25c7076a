// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/devices.h"
#include "test/prog/harness/macvlan.h"

// A macvlan pod's packets to other nodes and their pods, out of the stack: they leave with this node's address, and the
// replies are the pod's again when they go up the stack. By VXLAN the reply's way needs a tunnel key, which a test run
// cannot have: test/net has it.
namespace podlane::prog {
namespace {

struct NatCase {
    std::string name;
    Transport transport;
};

class MacvlanNat : public MacvlanTest, public testing::WithParamInterface<NatCase> {
protected:
    // Routed by the stack, onto the device with that MAC.
    [[nodiscard]] static Frame stack_sends(Ipv4Address to, const MacAddress& source) {
        return {.ethernet = {.destination = underlay_mac("n2"), .source = source},
                .ip = {.source = mac1_ip, .destination = to, .ttl = 63},
                .transport = GetParam().transport,
                .payload = pattern(32)};
    }
    [[nodiscard]] static Frame by_vxlan(Ipv4Address to) { return stack_sends(to, member("n1").vtep_mac); }
    [[nodiscard]] static Frame by_underlay(Ipv4Address to) { return stack_sends(to, underlay_mac("n1")); }
    [[nodiscard]] static Frame between_vteps(Frame frame, const Member& peer) {
        frame.ethernet = {.destination = peer.vtep_mac, .source = member("n1").vtep_mac};
        return frame;
    }
    [[nodiscard]] static Frame answer(const Frame& left, const Transport& transport) {
        return {.ethernet = {.destination = underlay_mac("n1"), .source = underlay_mac("n2")},
                .ip = {.source = left.ip.destination, .destination = left.ip.source, .ttl = 62},
                .transport = transport,
                .payload = pattern(32)};
    }
};

INSTANTIATE_TEST_SUITE_P(Protocols, MacvlanNat,
                         testing::Values(NatCase{"Tcp", Tcp{kept_port, 80, tcp_flag::syn}},
                                         NatCase{"Udp", Udp{kept_port, 4000}},
                                         NatCase{"Echo", Icmp{.id = kept_port, .sequence = 3}}),
                         [](const auto& test) { return test.param.name; });

TEST_P(MacvlanNat, ToAPodBehindVxlan_LeavesWithThisNodesAddress) {
    const Frame sent = by_vxlan(api_ip);
    const Frame left = between_vteps(from(sent, n1_ip, kept_port), member("n2"));
    EXPECT_TRUE(becomes(overlay_out, bytes(sent), bytes(left), {PATH_MACVLAN_TO_NODE}));
    EXPECT_TRUE(becomes(overlay_out, bytes(sent), bytes(left), {PATH_MACVLAN_TO_NODE})) << "and the next one";
    EXPECT_EQ(node().flows(), Flows{}) << "no pod's flow is learned from it";
}

TEST_P(MacvlanNat, ToADirectPeersPod_LeavesWithThisNodesAddressAndTheReplyGoesUpTheStack) {
    for (const Ipv4Address to_whom : {n6_pod_ip, n6_ip}) {
        SCOPED_TRACE(to_whom.to_string());
        const Frame sent = by_underlay(to_whom);
        const Frame left = from(sent, n1_ip, kept_port);
        EXPECT_TRUE(becomes(underlay_out, bytes(sent), bytes(left), {PATH_MACVLAN_TO_NODE}));
        const Frame reply = answer(left, answer_to(left.transport));
        EXPECT_TRUE(becomes(underlay_in, bytes(reply), bytes(to(reply, mac1_ip, kept_port)), {PATH_OUTSIDE_TO_STACK}));
    }
}

TEST_P(MacvlanNat, ErrorAboutATranslatedPacket_IsTheSendersAgain) {
    const Frame sent = by_underlay(n6_pod_ip);
    const Frame left = from(sent, n1_ip, kept_port);
    EXPECT_TRUE(becomes(underlay_out, bytes(sent), bytes(left), {PATH_MACVLAN_TO_NODE}));
    Frame error = answer(left, Icmp{.type = icmp_type::unreachable, .code = 3});
    error.payload = quoted(left);
    Frame back = error;
    back.ip.destination = mac1_ip;
    back.payload = quoted(sent);
    EXPECT_TRUE(becomes(underlay_in, bytes(error), bytes(back), {PATH_OUTSIDE_TO_STACK}));
}

TEST_P(MacvlanNat, TwoPodsWithOnePort_LeaveByTwo) {
    const Frame first = by_underlay(n6_pod_ip);
    EXPECT_TRUE(becomes(underlay_out, bytes(first), bytes(from(first, n1_ip, kept_port)), {PATH_MACVLAN_TO_NODE}));
    Frame second = first;
    second.ip.source = mac2_ip;
    const Outcome outcome = node().run(underlay_out, bytes(second));
    node().forget_counters();
    const auto port = source_port(outcome.packet);
    EXPECT_NE(port, kept_port);
    EXPECT_TRUE(nat_range.contains(port));
    EXPECT_TRUE(same_packet(bytes(from(second, n1_ip, port)), outcome.packet));
    const Frame reply = answer(from(second, n1_ip, port), answer_to(from(second, n1_ip, port).transport));
    EXPECT_TRUE(becomes(underlay_in, bytes(reply), bytes(to(reply, mac2_ip, kept_port)), {PATH_OUTSIDE_TO_STACK}));
}

TEST_P(MacvlanNat, PodsOwnFrameToAnotherNodeOverTheLan_IsLeftAlone) {
    Frame own = by_underlay(n6_ip);
    own.ethernet.source = mac1_mac;
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(own)));
    own.ip.destination = n2_ip;
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(own)));
}

// The shim's own hook has seen it: here a direct peer's would be translated once more, and others' sent by the overlay.
TEST_P(MacvlanNat, FrameOfAShim_PassesItsMastersHookWhereItCarriesTheHost) {
    auto devices = must(Map<spec::nat_address_by_device>::open(node().pins().map(spec::nat_address_by_device::name)));
    auto master = uplink_of_n1(NAT_DEVICE_HOST_ABOVE);
    std::ranges::copy(shim_mac.bytes(), master.shim_mac);
    must(devices.update(ifindex_of("eth1"), master));
    for (const Ipv4Address to_whom : {n6_pod_ip, n6_ip, n2_ip, outside_ip}) {
        Frame frame = stack_sends(to_whom, shim_mac);
        EXPECT_TRUE(leaves_alone(underlay_out, bytes(frame))) << to_whom.to_string();
        frame.ip.source = n1_ip;
        EXPECT_TRUE(leaves_alone(underlay_out, bytes(frame))) << to_whom.to_string();
    }
    const Frame of_master = by_underlay(n6_pod_ip);
    EXPECT_TRUE(
        becomes(underlay_out, bytes(of_master), bytes(from(of_master, n1_ip, kept_port)), {PATH_MACVLAN_TO_NODE}));
    // Beside its master it has nothing to say to the LAN: what it sends there is for a macvlan that is gone.
    master.flags = 0;
    must(devices.update(ifindex_of("eth1"), master));
    Frame lost = stack_sends(mac2_ip, shim_mac);
    lost.ip.source = n1_ip;
    EXPECT_TRUE(drops(underlay_out, bytes(lost), DROP_SHIM_NOT_TO_POD));
    must(devices.erase(ifindex_of("eth1")));
}

TEST_P(MacvlanNat, WhatTheStackSendsElsewhere_IsLeftAlone) {
    for (const Ipv4Address to : {outside_ip, lan_neighbour_ip}) {
        EXPECT_TRUE(leaves_alone(underlay_out, bytes(by_underlay(to))));
    }
}

TEST_P(MacvlanNat, ToTheAddressOfANodeBehindVxlan_GoesIntoTheOverlay) {
    const Bytes sent = bytes(by_underlay(n2_ip));
    EXPECT_TRUE(comes_to(node(), underlay_out, sent, {Verdict::redirect, sent, 0},
                         once(counter_of(PATH_STACK_TO_OVERLAY), sent)));
    const Frame left = between_vteps(from(by_underlay(n2_ip), n1_ip, kept_port), member("n2"));
    EXPECT_TRUE(becomes(overlay_out, sent, bytes(left), {PATH_MACVLAN_TO_NODE}));
}

TEST_P(MacvlanNat, ToANodeWithoutAPath_IsDropped) {
    EXPECT_TRUE(drops(underlay_out, bytes(by_underlay(member("n4").address)), DROP_PEER_UNREACHABLE));
}

TEST_P(MacvlanNat, PacketWithOptions_IsDropped) {
    Frame options = by_vxlan(api_ip);
    options.ip.options = Bytes(8, 1);
    const Bytes packet = bytes(options);
    EXPECT_TRUE(drops(overlay_out, packet, DROP_NAT_IP_OPTIONS));
}

TEST_F(MacvlanTest, FragmentsOfADatagram_AllLeaveWithThisNodesAddress) {
    Frame first{.ethernet = {.destination = underlay_mac("n2"), .source = underlay_mac("n1")},
                .ip = {.source = mac1_ip, .destination = n6_pod_ip, .ttl = 63, .fragment = more_fragments},
                .transport = Udp{kept_port, 4000},
                .payload = pattern(32)};
    EXPECT_TRUE(becomes(underlay_out, bytes(first), bytes(from(first, n1_ip, kept_port)), {PATH_MACVLAN_TO_NODE}));
    Frame later = first;
    later.ip.fragment = 5;
    later.transport = OtherProtocol{17};
    EXPECT_TRUE(becomes(underlay_out, bytes(later), bytes(from(later, n1_ip, 0)), {PATH_MACVLAN_TO_NODE}));
    later.ip.id = 0x4243;  // of a datagram whose first has not been seen
    const Bytes unknown = bytes(later);
    EXPECT_TRUE(drops(underlay_out, unknown, DROP_NAT_FRAGMENT));
}

TEST_F(MacvlanTest, RstWithoutAConnection_IsDropped) {
    const Frame frame{.ethernet = {.destination = underlay_mac("n2"), .source = underlay_mac("n1")},
                      .ip = {.source = mac1_ip, .destination = n6_pod_ip, .ttl = 63},
                      .transport = Tcp{kept_port, 80, tcp_flag::rst}};
    const Bytes packet = bytes(frame);
    EXPECT_TRUE(drops(underlay_out, packet, DROP_NAT_NOT_OPENED));
}

TEST_F(MacvlanTest, VethPodsTowardsTheOutside_AreStillLeftAlone) {
    const Frame frame{.ethernet = {.destination = underlay_mac("n2"), .source = underlay_mac("n1")},
                      .ip = {.source = web_ip, .destination = outside_ip, .ttl = 63},
                      .transport = Tcp{kept_port, 80, tcp_flag::syn}};
    EXPECT_TRUE(leaves_alone(underlay_out, bytes(frame)));
}

// While the shim is being mended the host's route leads to the LAN.
TEST_F(MacvlanTest, VethPodToAMacvlanPod_LeavesAsItIsByTheShimAlone) {
    const Frame frame{.ethernet = {.destination = mac1_mac, .source = underlay_mac("n1")},
                      .ip = {.source = web_ip, .destination = mac1_ip, .ttl = 63},
                      .transport = Tcp{kept_port, 80, tcp_flag::syn}};
    const Bytes packet = bytes(frame);
    EXPECT_TRUE(
        comes_to(translating_node(), {Hook::to_underlay, shim_device}, packet, {Verdict::pass, packet, 0}, Counted{}));
    EXPECT_TRUE(comes_to(translating_node(), underlay_out, packet,
                         {Verdict::pass, bytes(from(frame, n1_ip, kept_port)), 0},
                         once(counter_of(PATH_STACK_TO_OUTSIDE), packet)));
}

}  // namespace
}  // namespace podlane::prog
