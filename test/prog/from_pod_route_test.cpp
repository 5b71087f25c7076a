// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// from-pod: where a pod's packet goes, and what keeps it off the fast path.
namespace podlane::prog {
namespace {

const Tcp syn{40000, 80, tcp_flag::syn};

class FromPodRoute : public ProgTest {};

// --- a pod of this node ---

TEST_F(FromPodRoute, PodToLocalPod_IsRoutedIntoThePod) {
    const Frame sent = from_pod(pod("web"), db_ip, syn);
    EXPECT_TRUE(redirects(from_web, bytes(sent), bytes(delivered(sent, pod("db"))), PATH_POD_TO_LOCAL_POD));
}

TEST_F(FromPodRoute, PodToLocalPod_KeepsItsTosByte) {
    for (const unsigned tos : {0x01U, 0x02U, 0x03U, 0xb8U, 0xffU}) {
        SCOPED_TRACE(tos);
        Frame sent = from_pod(pod("web"), db_ip, syn);
        sent.ip.tos = static_cast<std::uint8_t>(tos);
        EXPECT_TRUE(redirects(from_web, bytes(sent), bytes(delivered(sent, pod("db"))), PATH_POD_TO_LOCAL_POD));
    }
}

TEST_F(FromPodRoute, PodToLocalPod_ChecksumIsRightForEveryTtlAndId) {
    // The incremental update of RFC 1624 has its corner cases where the checksum is about to wrap.
    for (unsigned ttl = 2; ttl <= 255; ++ttl) {
        for (const unsigned id : {0U, 0x42U, 0xff00U, 0xffffU, 0xb000U + ttl, 0xfe00U + ttl}) {
            Frame sent = from_pod(pod("web"), db_ip, syn);
            sent.ip.ttl = static_cast<std::uint8_t>(ttl);
            sent.ip.id = static_cast<std::uint16_t>(id);
            ASSERT_TRUE(redirects(from_web, bytes(sent), bytes(delivered(sent, pod("db"))), PATH_POD_TO_LOCAL_POD))
                << "ttl " << ttl << ", id " << id;
        }
    }
}

TEST_F(FromPodRoute, PaddingBehindThePacket_TravelsAlong) {
    const Frame sent = from_pod(pod("web"), db_ip, Udp{5000, 53}, 4);
    Bytes packet = bytes(sent);
    Bytes expected = bytes(delivered(sent, pod("db")));
    packet.resize(60, 0xee);
    expected.resize(60, 0xee);
    EXPECT_TRUE(redirects(from_web, packet, expected, PATH_POD_TO_LOCAL_POD));
}

TEST_F(FromPodRoute, PodToItself_ComesBack) {
    const Frame sent = from_pod(pod("web"), web_ip, syn);
    EXPECT_TRUE(redirects(from_web, bytes(sent), bytes(delivered(sent, pod("web"))), PATH_POD_TO_LOCAL_POD));
}

// --- addresses of nodes, the outside, nobody ---

struct AddressCase {
    std::string name;
    Ipv4Address to;
};
void PrintTo(const AddressCase& address_case, std::ostream* out) {
    *out << address_case.name;
}
std::string name_of_case(const testing::TestParamInfo<AddressCase>& info) {
    return info.param.name;
}

class FromPodToThisNode : public ProgTest, public testing::WithParamInterface<AddressCase> {};

TEST_P(FromPodToThisNode, IsLeftToTheStack) {
    for (const Transport& transport : {Transport(syn), Transport(Udp{5000, 53}), Transport(Icmp{.id = 1})}) {
        EXPECT_TRUE(hands_over(from_web, bytes(from_pod(pod("web"), GetParam().to, transport)), HANDOVER_NODE_ADDRESS));
    }
    EXPECT_EQ(node().flows(), Flows{});
}

INSTANTIATE_TEST_SUITE_P(Addresses, FromPodToThisNode,
                         testing::Values(AddressCase{"InternalIp", n1_ip},
                                         AddressCase{"FlannelAddress", address("10.244.1.0")}),
                         name_of_case);

class FromPodToTheOutside : public ProgTest, public testing::WithParamInterface<AddressCase> {};

TEST_P(FromPodToTheOutside, IsLeftToTheStackAndRemembered) {
    const std::string to = GetParam().to.to_string();
    EXPECT_TRUE(hands_over(from_web, bytes(from_pod(pod("web"), GetParam().to, syn)), HANDOVER_OUTSIDE));
    EXPECT_EQ(node().flows(), (Flows{{"tcp 10.244.1.5:40000 " + to + ":80", "undecided from-pod"}}));
}

INSTANTIATE_TEST_SUITE_P(Addresses, FromPodToTheOutside,
                         testing::Values(AddressCase{"Internet", outside_ip},
                                         AddressCase{"ClusterIp", address("10.96.0.10")},
                                         AddressCase{"HostInTheUnderlay", address("192.168.100.77")},
                                         AddressCase{"BesideTheClusterCidr", address("10.245.0.0")},
                                         AddressCase{"Multicast", address("224.0.0.251")},
                                         AddressCase{"Broadcast", address("255.255.255.255")},
                                         AddressCase{"Zero", address("0.0.0.0")}),
                         name_of_case);

class FromPodToNobody : public ProgTest, public testing::WithParamInterface<AddressCase> {};

TEST_P(FromPodToNobody, IsCountedAsDroppedAndLeftToTheUnreachableRoute) {
    const Bytes packet = bytes(from_pod(pod("web"), GetParam().to, syn));
    EXPECT_TRUE(comes_to(node(), from_web, packet, {Verdict::pass, packet, 0},
                         once(counter_of(DROP_NO_POD_ROUTE, DIRECTION_FROM_POD), packet)));
    EXPECT_EQ(node().flows(), Flows{});
}

INSTANTIATE_TEST_SUITE_P(Addresses, FromPodToNobody,
                         testing::Values(AddressCase{"NoNodesPodCidr", nobody_ip},
                                         AddressCase{"NoPodOfThisNode", address("10.244.1.200")},
                                         AddressCase{"TheGateway", address("10.244.1.1")},
                                         AddressCase{"LastOfTheClusterCidr", address("10.244.255.255")}),
                         name_of_case);

// --- peers that cannot be reached ---

TEST_F(FromPodRoute, PeerWithoutUnderlayRoute_IsDropped) {
    EXPECT_TRUE(drops(from_web, bytes(from_pod(pod("web"), address("10.244.5.3"), syn)), DROP_NO_UNDERLAY_ROUTE));
    EXPECT_TRUE(drops(from_web, bytes(from_pod(pod("web"), member("n5").address, syn)), DROP_NO_UNDERLAY_ROUTE));
}

TEST_F(FromPodRoute, PeerWithoutAPath_IsLeftToTheStackToAnswer) {
    EXPECT_TRUE(
        hands_over(from_web, bytes(from_pod(pod("web"), address("10.244.4.3"), syn)), HANDOVER_PEER_UNREACHABLE));
    EXPECT_TRUE(
        hands_over(from_web, bytes(from_pod(pod("web"), member("n4").address, syn)), HANDOVER_PEER_UNREACHABLE));
}

// --- off the fast path ---

class FromPodSlow : public ProgTest, public testing::WithParamInterface<AddressCase> {};

TEST_P(FromPodSlow, TtlThatEndsHere_IsLeftToTheStackToAnswer) {
    for (const bool expiring : {true, false}) {
        Frame frame = from_pod(pod("web"), GetParam().to, syn);
        frame.ip.ttl = expiring ? 1 : 0;
        EXPECT_TRUE(hands_over(from_web, bytes(frame), HANDOVER_TTL_EXPIRED));
    }
    Frame frame = from_pod(pod("web"), GetParam().to, syn);
    frame.ip.ttl = 2;
    EXPECT_EQ(node().run(from_web, bytes(frame)).verdict, Verdict::redirect);
}

TEST_P(FromPodSlow, IpOptions_AreLeftToTheStack) {
    for (const std::size_t length : {4U, 20U, 40U}) {
        SCOPED_TRACE(length);
        Frame frame = from_pod(pod("web"), GetParam().to, syn);
        frame.ip.options = Bytes(length, 1);  // no operation
        EXPECT_TRUE(hands_over(from_web, bytes(frame), HANDOVER_IP_OPTIONS));
    }
}

TEST_P(FromPodSlow, Fragments_AreLeftToTheStack) {
    for (const std::uint16_t fragment : {more_fragments, std::uint16_t{more_fragments | 185}, std::uint16_t{185},
                                         std::uint16_t{1}, std::uint16_t{0x1fff}}) {
        SCOPED_TRACE(fragment);
        Frame frame = from_pod(pod("web"), GetParam().to, Udp{5000, 53});
        frame.ip.fragment = fragment;
        EXPECT_TRUE(hands_over(from_web, bytes(frame), HANDOVER_FRAGMENT));
    }
    node().reset();
    for (const std::uint16_t whole : {std::uint16_t{0}, dont_fragment, std::uint16_t{0x8000}}) {
        SCOPED_TRACE(whole);
        Frame frame = from_pod(pod("web"), GetParam().to, Udp{5000, 53});
        frame.ip.fragment = whole;
        EXPECT_EQ(node().run(from_web, bytes(frame)).verdict, Verdict::redirect);
    }
}

INSTANTIATE_TEST_SUITE_P(To, FromPodSlow,
                         testing::Values(AddressCase{"LocalPod", db_ip}, AddressCase{"RemotePod", api_ip},
                                         AddressCase{"OtherNode", n2_ip}),
                         name_of_case);

TEST_F(FromPodRoute, LaterFragmentAndOptionsToTheOutside_LeaveNoFlowOfWhichThePortsAreUnknown) {
    Frame frame = from_pod(pod("web"), outside_ip, Udp{5000, 53});
    frame.ip.fragment = 185;
    EXPECT_TRUE(hands_over(from_web, bytes(frame), HANDOVER_FRAGMENT));
    frame.ip.fragment = 0;
    frame.ip.options = Bytes(4, 1);
    EXPECT_TRUE(hands_over(from_web, bytes(frame), HANDOVER_IP_OPTIONS));
    EXPECT_EQ(node().flows(), Flows{});
}

struct SizeCase {
    std::string name;
    Ipv4Address to;
    std::uint32_t mtu;
};
void PrintTo(const SizeCase& size_case, std::ostream* out) {
    *out << size_case.name;
}

// What a router may fragment.
Bytes fragmentable(Frame frame) {
    frame.ip.fragment = 0;
    return bytes(frame);
}

class FromPodSize : public ProgTest, public testing::WithParamInterface<SizeCase> {};

TEST_P(FromPodSize, UpToTheMtu_IsForwardedAndNoFurther) {
    const auto [name, to, mtu] = GetParam();
    EXPECT_EQ(node().run(from_web, bytes(from_pod(pod("web"), to, syn, mtu - 40))).verdict, Verdict::redirect);
    EXPECT_EQ(node().run(from_web, bytes(from_pod(pod("web"), to, Udp{5000, 53}, mtu - 28))).verdict,
              Verdict::redirect);
    node().forget_counters();
    EXPECT_TRUE(hands_over(from_web, fragmentable(from_pod(pod("web"), to, syn, mtu - 39)), HANDOVER_TOO_BIG));
    EXPECT_TRUE(
        hands_over(from_web, fragmentable(from_pod(pod("web"), to, Udp{5000, 53}, mtu - 27)), HANDOVER_TOO_BIG));
}

TEST_P(FromPodSize, OfAGsoPacket_IsThatOfItsSegments) {
    const auto [name, to, mtu] = GetParam();
    const Bytes tcp = fragmentable(from_pod(pod("web"), to, syn, 3000));
    const Bytes udp = fragmentable(from_pod(pod("web"), to, Udp{5000, 53}, 3000));
    At at = from_web;
    at.gso_segs = 3;
    at.gso_size = mtu - 40;
    EXPECT_EQ(node().run(at, tcp).verdict, Verdict::redirect);
    at.gso_size = mtu - 28;
    EXPECT_EQ(node().run(at, udp).verdict, Verdict::redirect);
    node().forget_counters();
    at.gso_size = mtu - 39;
    EXPECT_TRUE(hands_over(at, tcp, HANDOVER_TOO_BIG));
    at.gso_size = mtu - 27;
    EXPECT_TRUE(hands_over(at, udp, HANDOVER_TOO_BIG));
}

INSTANTIATE_TEST_SUITE_P(To, FromPodSize,
                         testing::Values(SizeCase{"LocalPod", db_ip, 1450},
                                         SizeCase{"LocalPodWithASmallMtu", small_ip, 1280},
                                         SizeCase{"RemotePod", api_ip, path_mtu},
                                         SizeCase{"OtherNode", n2_ip, path_mtu}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace podlane::prog
