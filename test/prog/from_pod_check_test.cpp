// SPDX-License-Identifier: Apache-2.0
#include <linux/if_ether.h>

#include "test/prog/harness/fixture.h"

// from-pod: what a pod may send at all.
namespace podlane::prog {
namespace {

const Tcp syn{40000, 80, tcp_flag::syn};

class FromPodCheck : public ProgTest {};

// --- who sends ---

struct FrameCase {
    std::string name;
    void (*change)(Frame& frame);
};

template <typename Case>
std::string name_of_case(const testing::TestParamInfo<Case>& info) {
    return info.param.name;
}

class FromPodSpoofed : public ProgTest, public testing::WithParamInterface<FrameCase> {};

TEST_P(FromPodSpoofed, IsDroppedWithoutATrace) {
    Frame frame = from_pod(pod("web"), api_ip, syn);
    GetParam().change(frame);
    EXPECT_TRUE(drops(from_web, bytes(frame), DROP_SPOOFED_SOURCE));
    EXPECT_EQ(node().flows(), Flows{});
}

INSTANTIATE_TEST_SUITE_P(
    Source, FromPodSpoofed,
    testing::Values(FrameCase{"AnotherLocalPod", [](Frame& frame) { frame.ip.source = db_ip; }},
                    FrameCase{"ARemotePod", [](Frame& frame) { frame.ip.source = n3_pod_ip; }},
                    FrameCase{"TheNode", [](Frame& frame) { frame.ip.source = n1_ip; }},
                    FrameCase{"TheOutside", [](Frame& frame) { frame.ip.source = outside_ip; }},
                    FrameCase{"NoAddress", [](Frame& frame) { frame.ip.source = {}; }},
                    FrameCase{"AnotherMac", [](Frame& frame) { frame.ethernet.source = mac("0a:00:00:00:01:06"); }},
                    FrameCase{"AnotherPodsAddressAndMac",
                              [](Frame& frame) {
                                  frame.ip.source = db_ip;
                                  frame.ethernet.source = mac("0a:00:00:00:01:06");
                              }}),
    name_of_case<FrameCase>);

TEST_F(FromPodCheck, EveryBitOfTheMac_IsCompared) {
    for (unsigned bit = 0; bit < 48; ++bit) {
        SCOPED_TRACE(bit);
        Bytes packet = bytes(from_pod(pod("web"), api_ip, syn));
        packet[6 + bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        EXPECT_TRUE(drops(from_web, packet, DROP_SPOOFED_SOURCE));
    }
}

TEST_F(FromPodCheck, APodsPacketFromAnotherPodsDevice_IsDropped) {
    EXPECT_TRUE(drops(from_db, bytes(from_pod(pod("web"), api_ip, syn)), DROP_SPOOFED_SOURCE));
}

// --- what it sends ---

class FromPodEthertype : public ProgTest, public testing::WithParamInterface<std::uint16_t> {};

TEST_P(FromPodEthertype, OtherThanIpv4AndArp_IsDropped) {
    Frame frame = from_pod(pod("web"), api_ip, syn);
    frame.ethernet.type = GetParam();
    EXPECT_TRUE(drops(from_web, bytes(frame), DROP_UNSUPPORTED_ETHERTYPE));
}

INSTANTIATE_TEST_SUITE_P(Ethertypes, FromPodEthertype,
                         testing::Values(ETH_P_IPV6, ETH_P_8021Q, ETH_P_8021AD, ETH_P_MPLS_UC, ETH_P_PPP_SES,
                                         ETH_P_LLDP, ETH_P_LOOPBACK, 60 /* a length: IEEE 802.3 */));

class FromPodBadHeader : public ProgTest, public testing::WithParamInterface<FrameCase> {};

TEST_P(FromPodBadHeader, IsDropped) {
    for (const Ipv4Address to : {db_ip, api_ip, n1_ip, outside_ip}) {
        SCOPED_TRACE(to.to_string());
        Frame frame = from_pod(pod("web"), to, syn);
        GetParam().change(frame);
        EXPECT_TRUE(drops(from_web, bytes(frame), DROP_BAD_IP_HEADER));
    }
    EXPECT_EQ(node().flows(), Flows{});
}

INSTANTIATE_TEST_SUITE_P(
    Ipv4, FromPodBadHeader,
    testing::Values(
        FrameCase{"Version0", [](Frame& frame) { frame.ip.version = 0; }},
        FrameCase{"Version5", [](Frame& frame) { frame.ip.version = 5; }},
        FrameCase{"Version6", [](Frame& frame) { frame.ip.version = 6; }},
        FrameCase{"HeaderLength0", [](Frame& frame) { frame.ip.header_words = std::uint8_t{0}; }},
        FrameCase{"HeaderLength16", [](Frame& frame) { frame.ip.header_words = std::uint8_t{4}; }},
        FrameCase{"TotalLength0", [](Frame& frame) { frame.ip.total_length = std::uint16_t{0}; }},
        FrameCase{"TotalLengthBelowTheHeader", [](Frame& frame) { frame.ip.total_length = std::uint16_t{19}; }},
        FrameCase{"TotalLengthWithinTheOptions",
                  [](Frame& frame) {
                      frame.ip.options = Bytes(8, 1);
                      frame.ip.total_length = std::uint16_t{27};
                  }},
        FrameCase{"ChecksumZero", [](Frame& frame) { frame.ip.checksum = std::uint16_t{0}; }},
        FrameCase{"ChecksumOfAnotherPacket", [](Frame& frame) { frame.ip.checksum = std::uint16_t{0x1234}; }}),
    name_of_case<FrameCase>);

TEST_F(FromPodCheck, EveryBitOfTheHeaderChecksum_IsVerified) {
    for (unsigned bit = 0; bit < 16; ++bit) {
        SCOPED_TRACE(bit);
        Bytes packet = bytes(from_pod(pod("web"), api_ip, syn));
        write16(packet, 24, static_cast<std::uint16_t>(read16(packet, 24) ^ (1U << bit)));
        EXPECT_TRUE(drops(from_web, packet, DROP_BAD_IP_HEADER));
    }
}

// --- cut off ---

struct PacketCase {
    std::string name;
    Frame frame;
};
void PrintTo(const PacketCase& packet_case, std::ostream* out) {
    *out << packet_case.name;
}

Frame icmp_error_about(const Frame& packet) {
    return {.ethernet = {.destination = pod("web").host_mac, .source = pod("web").mac},
            .ip = {.source = web_ip, .destination = packet.ip.source},
            .transport = Icmp{.type = icmp_type::unreachable, .code = 3},
            .payload = quoted(packet)};
}

class FromPodCutOff : public ProgTest, public testing::WithParamInterface<PacketCase> {};

TEST_P(FromPodCutOff, AtAnyLength_IsDroppedAsTruncated) {
    const Bytes whole = bytes(GetParam().frame);
    for (std::size_t length = shortest_test_run; length < whole.size(); ++length) {
        SCOPED_TRACE(length);
        EXPECT_TRUE(
            drops(from_web, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)), DROP_TRUNCATED));
    }
    EXPECT_EQ(node().flows(), Flows{});
    EXPECT_NE(node().run(from_web, whole).verdict, Verdict::drop);
}

INSTANTIATE_TEST_SUITE_P(Packets, FromPodCutOff,
                         testing::Values(PacketCase{"Tcp", from_pod(pod("web"), api_ip, syn)},
                                         PacketCase{"TcpToLocalPod", from_pod(pod("web"), db_ip, syn)},
                                         PacketCase{"Udp", from_pod(pod("web"), api_ip, Udp{5000, 53})},
                                         PacketCase{"Echo", from_pod(pod("web"), api_ip, Icmp{.id = 7, .sequence = 1})},
                                         PacketCase{"IcmpError",
                                                    icmp_error_about(from_pod(pod("api"), web_ip, Udp{53, 5000}))},
                                         PacketCase{"Other", from_pod(pod("web"), api_ip, OtherProtocol{47})},
                                         PacketCase{"ToTheOutside", from_pod(pod("web"), outside_ip, Udp{5000, 53})}),
                         [](const auto& test) { return test.param.name; });

// A packet whose IP length is right, but that ends within its transport header: `shortest` bytes behind the IP header
// are needed to know its flow.
struct TransportCase {
    std::string name;
    Transport transport;
    Bytes content;
    std::size_t shortest;
};
void PrintTo(const TransportCase& transport_case, std::ostream* out) {
    *out << transport_case.name;
}

class FromPodShortTransport : public ProgTest, public testing::WithParamInterface<TransportCase> {};

TEST_P(FromPodShortTransport, IsDroppedUpToWhatAFlowNeeds) {
    Frame frame = from_pod(pod("web"), api_ip, GetParam().transport);
    frame.payload = GetParam().content;
    const Bytes whole = bytes(frame);
    for (std::size_t length = 0; 34 + length <= whole.size(); ++length) {
        SCOPED_TRACE(length);
        Bytes packet(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(34 + length));
        write16(packet, 16, static_cast<std::uint16_t>(20 + length));
        write16(packet, 24, 0);
        write16(packet, 24, internet_checksum(std::span(packet).subspan(14, 20)));
        if (length < GetParam().shortest) {
            EXPECT_TRUE(drops(from_web, packet, DROP_TRUNCATED));
        } else {
            EXPECT_NE(node().run(from_web, packet).verdict, Verdict::drop);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Transports, FromPodShortTransport,
                         testing::Values(TransportCase{"Tcp", syn, {}, 20}, TransportCase{"Udp", Udp{5000, 53}, {}, 4},
                                         TransportCase{"Sctp", OtherProtocol{132}, Bytes(12, 9), 4},
                                         TransportCase{"Echo", Icmp{.id = 7}, {}, 8},
                                         TransportCase{"ErrorAboutUdp", Icmp{.type = icmp_type::unreachable},
                                                       quoted(from_pod(pod("api"), web_ip, Udp{53, 5000})), 8 + 20 + 4},
                                         TransportCase{"ErrorAboutEcho", Icmp{.type = icmp_type::time_exceeded},
                                                       quoted(from_pod(pod("api"), web_ip, Icmp{.id = 3})), 8 + 20 + 8},
                                         TransportCase{"Other", OtherProtocol{47}, Bytes(8, 9), 0}),
                         [](const auto& test) { return test.param.name; });

TEST_F(FromPodCheck, TransportCutOffByTheIpLength_IsNotReadFromThePaddingBehindIt) {
    Frame frame = from_pod(pod("web"), api_ip, OtherProtocol{6}, 4);  // TCP, of which four bytes are there
    Bytes packet = bytes(frame);
    packet.resize(60, 0xee);
    EXPECT_TRUE(drops(from_web, packet, DROP_TRUNCATED));
    EXPECT_EQ(node().flows(), Flows{});
}

}  // namespace
}  // namespace podlane::prog
