// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/devices.h"
#include "test/prog/harness/nat.h"

// The programs of a NIC by which no other node is reached; n1's eth1 stands for it.
namespace podlane::prog {
namespace {

const At uplink_in{Hook::from_uplink, "eth1"};
const At uplink_out{Hook::to_underlay, "eth1"};
const At l3_out{Hook::to_l3_uplink, "eth1"};

class NatUplink : public NatTest {
protected:
    static void know_device(unsigned flags, unsigned mtu = 1500) {
        for (Node* one : {&node(), &hasty_node()}) {
            must(map<spec::nat_address_by_device>(*one).update(ifindex_of("eth1"), uplink_of_n1(flags, n1_ip, mtu)));
        }
    }
    [[nodiscard]] static Frame syn_of(const Pod& sender) {
        return from_pod(sender, outside_ip, Tcp{kept_port, 80, tcp_flag::syn});
    }
    [[nodiscard]] static bool hands_over_gso(const Bytes& packet, std::uint32_t segment) {
        At at = from_web;
        at.gso_segs = 3;
        at.gso_size = segment;
        const auto outcome = node().run(at, packet);
        return outcome.verdict == Verdict::pass && outcome.packet == packet;
    }
    // Into the hook that translates at once.
    [[nodiscard]] static testing::AssertionResult hasty_comes_to(const Frame& sent, const Outcome& expected,
                                                                 const std::string& counter) {
        return comes_to(hasty_node(), from_web, bytes(sent), expected, once(counter, bytes(sent)));
    }
};

TEST_F(NatUplink, ReplyOfATranslatedFlow_IsDeliveredIntoThePod) {
    for (const Transport& transport : {Transport(Tcp{kept_port, 80, tcp_flag::syn}), Transport(Udp{kept_port, 4000}),
                                       Transport(Icmp{.id = kept_port, .sequence = 3})}) {
        const Frame sent = from_pod(pod("web"), outside_ip, transport);
        EXPECT_EQ(leaves(sent), kept_port);
        const Frame reply = outside_sends(n1_ip, answer_to(from(sent, n1_ip, kept_port).transport));
        EXPECT_TRUE(redirects(uplink_in, bytes(reply), bytes(delivered(to(reply, web_ip, kept_port), pod("web"))),
                              PATH_OUTSIDE_TO_POD));
    }
}

TEST_F(NatUplink, NoEntranceToTheOverlay) {
    const Frame inner = from_pod(pod("api"), web_ip, Udp{4000, 53});
    EXPECT_TRUE(leaves_alone(
        uplink_in, encapsulated(between_vteps(inner, member("n2"), member("n1")), member("n2"), member("n1"))));
    Frame plain = forwarded(inner);
    plain.ethernet.destination = underlay_mac("n1");
    EXPECT_TRUE(leaves_alone(uplink_in, bytes(plain))) << "from a peer's pod, as it is";
    plain.ip.source = member("n2").address;
    EXPECT_TRUE(leaves_alone(uplink_in, bytes(plain))) << "from a peer";
}

TEST_F(NatUplink, TrafficOfTheHost_IsUntouched) {
    for (const std::uint16_t port : {kept_port, far_port}) {
        for (const Transport& transport :
             {Transport(Tcp{80, port, tcp_flag::syn}), Transport(Udp{4000, port}), Transport(Icmp{.id = port})}) {
            EXPECT_TRUE(leaves_alone(uplink_in, bytes(outside_sends(n1_ip, transport))));
        }
    }
}

// Of what the node forwards for others no pod can get the tuple; claims for it would fill the table.
TEST_F(NatUplink, PortsOfWhatIsForwarded_AreNotClaimed) {
    Frame frame = forwarded(syn_of(pod("web")));
    frame.ip.source = address("203.0.113.77");
    EXPECT_TRUE(leaves_alone(uplink_out, bytes(frame)));
    EXPECT_EQ(translations(), 0U);
}

TEST_F(NatUplink, HostsOtherAddresses_AreClaimedLikeTheNodes) {
    static const bool added = [] {
        must(run_ip("address add 192.168.100.77/32 dev eth1\n"));
        return true;
    }();
    static_cast<void>(added);
    Frame frame = forwarded(syn_of(pod("web")));
    frame.ip.source = address("192.168.100.77");
    EXPECT_TRUE(leaves_alone(uplink_out, bytes(frame)));
    EXPECT_EQ(translations(), 1U);
}

// A macvlan's packet was translated at its own hook; here it would be taken for the host's, on a port that a pod has.
TEST_F(NatUplink, PacketOfADeviceAbove_IsNotTranslatedAgain) {
    const Frame sent = syn_of(pod("web"));
    EXPECT_EQ(leaves(sent), kept_port);
    know_device(NAT_DEVICE_SHARED);
    EXPECT_TRUE(leaves_alone(uplink_out, bytes(from(forwarded(sent), n1_ip, kept_port))));
    know_device(NAT_DEVICE_SHARED | NAT_DEVICE_OWN);
    const Frame with_own_address = from(forwarded(sent), n1_ip, kept_port);
    EXPECT_TRUE(leaves_alone(uplink_out, bytes(with_own_address))) << "the macvlan may use the master's address";
    EXPECT_TRUE(leaves_alone(uplink_out, bytes(with_own_address)));
    EXPECT_EQ(translations(), 1U);
    know_device(NAT_DEVICE_OWN);
    const Outcome hosts_own = node().run(uplink_out, bytes(with_own_address));
    EXPECT_NE(source_port(hosts_own.packet), kept_port) << "no macvlan: the host's, and the pod was first";
    node().forget_counters();
}

// A macvlan container's frames pass the hook of the device below, with a source of its choice.
TEST_F(NatUplink, FrameOfAnotherThanTheStack_IsNoPodsAndNotTheHosts) {
    const MacAddress container = mac("0a:00:00:00:07:99");
    for (const Ipv4Address to : {outside_ip, api_ip, member("n2").address, n6_pod_ip}) {
        Frame forged = forwarded(from_pod(pod("web"), to, Tcp{kept_port, 80, tcp_flag::syn}));
        forged.ethernet.source = container;
        EXPECT_TRUE(drops(uplink_out, bytes(forged), DROP_SPOOFED_SOURCE)) << to.to_string();
    }
    Frame forged = from(forwarded(syn_of(pod("web"))), n1_ip, kept_port);
    forged.ethernet.source = container;
    EXPECT_TRUE(leaves_alone(uplink_out, bytes(forged)));
    EXPECT_EQ(translations(), 0U);
}

// Untranslated, it has passed the hook of a macvlan of the host's with a MAC of its own.
TEST_F(NatUplink, PodsPacketOfAHostsMacvlan_MayPass) {
    know_device(NAT_DEVICE_SHARED);
    Frame passed = forwarded(syn_of(pod("web")));
    passed.ethernet.source = mac("0a:00:00:00:07:99");
    passed.ip.destination = member("n6").address;
    EXPECT_TRUE(passes(uplink_out, bytes(passed), bytes(passed), PATH_STACK_TO_DIRECT));
}

TEST_F(NatUplink, HostsFlowByADeviceThatIsShared_IsClaimedAllTheSame) {
    know_device(NAT_DEVICE_SHARED | NAT_DEVICE_OWN);
    const Frame hosts = from(forwarded(syn_of(pod("web"))), n1_ip, kept_port);
    EXPECT_TRUE(leaves_alone(uplink_out, bytes(hosts)));
    EXPECT_TRUE(leaves_alone(uplink_out, bytes(hosts)));
    EXPECT_EQ(translations(), 1U);
    EXPECT_NE(leaves(syn_of(pod("web"))), kept_port);
}

TEST_F(NatUplink, DeviceWithoutOurHook_IsNoWayOut) {
    for (Node* one : {&node(), &hasty_node()}) {
        must(map<spec::nat_address_by_device>(*one).erase(ifindex_of("eth1")));
    }
    const std::string counter = counter_of(DROP_NAT_UNKNOWN_DEVICE, DIRECTION_FROM_POD);
    Frame fragment = from_pod(pod("web"), outside_ip, Udp{kept_port, 4000});
    fragment.ip.fragment = more_fragments;
    Frame options = from_pod(pod("web"), outside_ip, Udp{kept_port, 4000});
    options.ip.options = {1, 1, 1, 0};
    for (const Frame& sent : {syn_of(pod("web")), from_pod(pod("web"), outside_ip, Udp{kept_port, 4000}), fragment,
                              options, from_pod(pod("web"), outside_ip, Udp{kept_port, 4000}, 1480)}) {
        EXPECT_TRUE(drops(from_web, bytes(sent), DROP_NAT_UNKNOWN_DEVICE));
        EXPECT_TRUE(hasty_comes_to(sent, {Verdict::drop, bytes(sent), 0}, counter));
    }
}

// The stack could take neither way's packets to our hook: that of the one has no entry, and the other's is no IPv4
// there.
TEST_F(NatUplink, WayByAnIpv6NextHopOrWithAnEnvelope_IsNoneWithoutAHookOfOurs) {
    static const bool routed = [] {
        must(
            run_ip("route add 198.18.7.0/25 via inet6 fe80::1 dev eth1 onlink\n"
                   "neighbour add fe80::1 lladdr 52:54:00:00:00:fe dev eth1 nud permanent\n"
                   "route add 198.18.7.128/25 encap ip id 7 dst 192.168.100.254 dev eth1\n"));
        return true;
    }();
    static_cast<void>(routed);
    const auto syn_to = [](const char* remote) {
        return from_pod(pod("web"), address(remote), Tcp{kept_port, 80, tcp_flag::syn});
    };
    const Frame enveloped = syn_to("198.18.7.130");
    EXPECT_TRUE(drops(from_web, bytes(enveloped), DROP_NAT_UNKNOWN_DEVICE));
    EXPECT_TRUE(hasty_comes_to(enveloped, {Verdict::drop, bytes(enveloped), 0},
                               counter_of(DROP_NAT_UNKNOWN_DEVICE, DIRECTION_FROM_POD)));
    const Frame by_ipv6 = syn_to("198.18.7.7");
    EXPECT_TRUE(hands_over(from_web, bytes(by_ipv6), HANDOVER_OUTSIDE));
    EXPECT_TRUE(
        hasty_comes_to(by_ipv6, {Verdict::pass, bytes(by_ipv6), 0}, counter_of(HANDOVER_OUTSIDE, DIRECTION_FROM_POD)));
    for (Node* one : {&node(), &hasty_node()}) {
        must(map<spec::nat_address_by_device>(*one).erase(ifindex_of("eth1")));
    }
    EXPECT_TRUE(drops(from_web, bytes(by_ipv6), DROP_NAT_UNKNOWN_DEVICE));
    EXPECT_TRUE(hasty_comes_to(by_ipv6, {Verdict::drop, bytes(by_ipv6), 0},
                               counter_of(DROP_NAT_UNKNOWN_DEVICE, DIRECTION_FROM_POD)));
}

// What the kernel's look-up does not see before Linux 5.12.
TEST_F(NatUplink, SegmentThatIsTooLargeForTheDevice_IsLeftToTheStackToAnswer) {
    const auto segment_of = [](std::size_t length) {
        Frame frame = from_pod(pod("web"), outside_ip, Tcp{kept_port, 80}, length - 40);
        frame.ip.ttl = 64;
        return frame;
    };
    leaves(syn_of(pod("web")));
    know_device(0, 1400);
    EXPECT_TRUE(hands_over(from_web, bytes(segment_of(1401)), HANDOVER_TOO_BIG));
    EXPECT_EQ(node().run(from_web, bytes(segment_of(1400))).verdict, Verdict::redirect);
    EXPECT_TRUE(hands_over_gso(bytes(segment_of(3000)), 1361));
    EXPECT_FALSE(hands_over_gso(bytes(segment_of(3000)), 1360));
    node().forget_counters();
}

TEST_F(NatUplink, FlowWithATranslation_IsDroppedToo_WhereNoHookStands) {
    const Frame sent = syn_of(pod("web"));
    EXPECT_EQ(leaves(sent), kept_port);
    must(map<spec::nat_address_by_device>().erase(ifindex_of("eth1")));
    EXPECT_TRUE(drops(from_web, bytes(sent), DROP_NAT_UNKNOWN_DEVICE));
}

TEST_F(NatUplink, DeviceThatStaysOnTheNodeOrHasNoEthernetHeader_IsLeftToTheStack) {
    for (const unsigned flags : {unsigned{NAT_DEVICE_INNER}, unsigned{NAT_DEVICE_L3}}) {
        know_device(flags);
        const Frame sent = syn_of(pod("web"));
        EXPECT_TRUE(
            hasty_comes_to(sent, {Verdict::pass, bytes(sent), 0}, counter_of(HANDOVER_OUTSIDE, DIRECTION_FROM_POD)));
    }
}

// What the l3 program is given here has an Ethernet header, which it does not expect.
TEST_F(NatUplink, HeaderThatIsNotExpected_IsNoWayOutForPods) {
    EXPECT_TRUE(drops(l3_out, bytes(forwarded(syn_of(pod("web")))), DROP_NAT_UNSUPPORTED_DEVICE));
    Frame hosts = forwarded(syn_of(pod("web")));
    hosts.ip.source = n1_ip;
    EXPECT_TRUE(leaves_alone(l3_out, bytes(hosts)));
}

}  // namespace
}  // namespace podlane::prog
