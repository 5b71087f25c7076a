// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// from-underlay, and the guard in front of it: VXLAN to our port that no node of the cluster would send.
namespace podlane::prog {
namespace {

const Tcp syn{80, 40000, tcp_flag::syn};
const Member& n1 = member("n1");
const Member& n2 = member("n2");

Frame good_inner() {
    return between_vteps(from_pod(pod("api"), web_ip, syn), n2, n1);
}

Bytes with_outer(const Tunnel& outer) {
    return encapsulated(outer, bytes(good_inner()));
}

class DecapsulationReject : public ProgTest {
protected:
    // By the program at tc and by the guard alike.
    [[nodiscard]] static testing::AssertionResult is_refused(const Bytes& packet, drop_reason reason) {
        auto at_tc = drops(underlay_in, packet, reason);
        return at_tc ? guard_drops(packet, reason) : at_tc;
    }
    // Whatever is dropped leaves no flow behind.
    void TearDown() override { EXPECT_EQ(node().flows(), Flows{}); }
};

// --- VXLAN header ---

TEST_F(DecapsulationReject, EveryWrongFlagBit_IsDropped) {
    for (unsigned bit = 0; bit < 32; ++bit) {
        SCOPED_TRACE(bit);
        Tunnel outer = tunnel(n2, n1);
        outer.flags ^= 1U << bit;
        EXPECT_TRUE(is_refused(with_outer(outer), DROP_BAD_VXLAN_HEADER));
    }
}

TEST_F(DecapsulationReject, EveryBitOfTheReservedByte_IsDropped) {
    for (unsigned bit = 0; bit < 8; ++bit) {
        SCOPED_TRACE(bit);
        Tunnel outer = tunnel(n2, n1);
        outer.reserved = static_cast<std::uint8_t>(1U << bit);
        EXPECT_TRUE(is_refused(with_outer(outer), DROP_BAD_VXLAN_HEADER));
    }
}

TEST_F(DecapsulationReject, AnotherVni_IsDropped) {
    Tunnel outer = tunnel(n2, n1);
    for (unsigned bit = 0; bit < 24; ++bit) {
        SCOPED_TRACE(bit);
        outer.vni = overlay_vni ^ 1U << bit;
        EXPECT_TRUE(is_refused(with_outer(outer), DROP_WRONG_VNI));
    }
    outer.vni = 0xffffff;
    EXPECT_TRUE(is_refused(with_outer(outer), DROP_WRONG_VNI));
}

// --- lengths ---

TEST_F(DecapsulationReject, UdpLengthThatLies_IsDropped) {
    const auto right = static_cast<std::uint16_t>(with_outer(tunnel(n2, n1)).size() - 34);
    for (const int wrong : {0, 7, 8, 16, right - 1, right + 1, right + 20, 0xffff}) {
        SCOPED_TRACE(wrong);
        Tunnel outer = tunnel(n2, n1);
        outer.udp.length = static_cast<std::uint16_t>(wrong);
        EXPECT_TRUE(is_refused(with_outer(outer), DROP_BAD_VXLAN_HEADER));
    }
}

TEST_F(DecapsulationReject, OuterLengthBeyondTheFrame_IsDropped) {
    const auto right = static_cast<std::uint16_t>(with_outer(tunnel(n2, n1)).size() - 14);
    for (const int wrong : {right + 1, 0xffff}) {
        Tunnel outer = tunnel(n2, n1);
        outer.ip.total_length = static_cast<std::uint16_t>(wrong);
        outer.udp.length = static_cast<std::uint16_t>(wrong - 20);
        EXPECT_TRUE(is_refused(with_outer(outer), DROP_TRUNCATED));
    }
}

TEST_F(DecapsulationReject, OuterLengthsWithoutRoomForTheInnerFrame_AreDropped) {
    for (const int wrong : {0, 20, 28, 36, 49}) {
        SCOPED_TRACE(wrong);
        Tunnel outer = tunnel(n2, n1);
        outer.ip.total_length = static_cast<std::uint16_t>(wrong);
        outer.udp.length = static_cast<std::uint16_t>(wrong - 20);
        EXPECT_TRUE(is_refused(with_outer(outer), DROP_BAD_VXLAN_HEADER));
    }
}

TEST_F(DecapsulationReject, InnerPacketThatEndsBehindTheOuterOne_IsDropped) {
    // The bytes are in the frame, but behind the end of the outer packet: no part of what the peer sent.
    for (const unsigned missing : {1U, 20U, 40U, 71U}) {
        SCOPED_TRACE(missing);
        const auto right = static_cast<unsigned>(with_outer(tunnel(n2, n1)).size() - 14);
        Tunnel outer = tunnel(n2, n1);
        outer.ip.total_length = static_cast<std::uint16_t>(right - missing);
        outer.udp.length = static_cast<std::uint16_t>(right - missing - 20);
        EXPECT_TRUE(is_refused(with_outer(outer), DROP_BAD_INNER_FRAME));
    }
}

TEST_F(DecapsulationReject, OuterHeaderChecksum_IsVerified) {
    for (unsigned bit = 0; bit < 16; ++bit) {
        SCOPED_TRACE(bit);
        Bytes packet = with_outer(tunnel(n2, n1));
        write16(packet, 24, static_cast<std::uint16_t>(read16(packet, 24) ^ (1U << bit)));
        EXPECT_TRUE(is_refused(packet, DROP_BAD_IP_HEADER));
    }
}

TEST_F(DecapsulationReject, CutOffAnywhere_IsNotDecapsulated) {
    constexpr std::size_t end_of_udp_header = 42;
    const Bytes whole = with_outer(tunnel(n2, n1));
    for (std::size_t length = shortest_test_run; length < whole.size(); ++length) {
        SCOPED_TRACE(length);
        const Bytes packet(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
        if (length < end_of_udp_header) {
            EXPECT_TRUE(leaves_alone(underlay_in, packet));  // whose port it is for cannot be told
            EXPECT_TRUE(guard_passes(packet));
        } else {
            EXPECT_TRUE(is_refused(packet, DROP_TRUNCATED));
        }
    }
}

TEST_F(DecapsulationReject, InnerFrameCutOffAnywhere_IsDropped) {
    const Bytes whole = bytes(good_inner());
    for (std::size_t length = 0; length < whole.size(); ++length) {
        SCOPED_TRACE(length);
        const Bytes inner(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
        EXPECT_TRUE(
            is_refused(encapsulated(tunnel(n2, n1), inner), length < 14 ? DROP_TRUNCATED : DROP_BAD_INNER_FRAME));
    }
}

// --- who sends ---

struct SourceCase {
    std::string name;
    Ipv4Address vtep;
    Ipv4Address inner;
    drop_reason reason;
};
void PrintTo(const SourceCase& source_case, std::ostream* out) {
    *out << source_case.name;
}

class DecapsulationSource : public DecapsulationReject, public testing::WithParamInterface<SourceCase> {};

TEST_P(DecapsulationSource, IsDropped) {
    Tunnel outer = tunnel(n2, n1);
    outer.ip.source = GetParam().vtep;
    for (const Ipv4Address to : {web_ip, n1_ip, nobody_ip}) {
        Frame inner = good_inner();
        inner.ip.source = GetParam().inner;
        inner.ip.destination = to;
        EXPECT_TRUE(is_refused(encapsulated(outer, bytes(inner)), GetParam().reason));
    }
}

const Ipv4Address stranger = address("192.168.100.66");

INSTANTIATE_TEST_SUITE_P(
    Sources, DecapsulationSource,
    testing::Values(SourceCase{"StrangerAsARemotePod", stranger, api_ip, DROP_UNKNOWN_VTEP},
                    SourceCase{"StrangerAsANode", stranger, n2_ip, DROP_UNKNOWN_VTEP},
                    SourceCase{"StrangerAsItself", stranger, stranger, DROP_UNKNOWN_VTEP},
                    SourceCase{"PodAsAVtep", api_ip, api_ip, DROP_UNKNOWN_VTEP},
                    SourceCase{"FlannelAddressAsAVtep", address("10.244.2.0"), api_ip, DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"OurselvesAsARemotePod", n1_ip, api_ip, DROP_UNKNOWN_VTEP},
                    SourceCase{"OurselvesAsOurPod", n1_ip, db_ip, DROP_UNKNOWN_VTEP},
                    SourceCase{"OurselvesAsOurselves", n1_ip, n1_ip, DROP_UNKNOWN_VTEP},
                    SourceCase{"PeerAsAnotherNodesPod", n2_ip, n3_pod_ip, DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerAsAnotherNode", n2_ip, n3_ip, DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerAsAnotherNodesFlannelAddress", n2_ip, address("10.244.3.0"),
                               DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerAsTheOutside", n2_ip, outside_ip, DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerAsNobody", n2_ip, nobody_ip, DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerAsOurPod", n2_ip, db_ip, DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerAsThePodItself", n2_ip, web_ip, DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerAsUs", n2_ip, n1_ip, DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerAsOurFlannelAddress", n2_ip, address("10.244.1.0"), DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerWithoutAddress", n2_ip, {}, DROP_FOREIGN_INNER_SOURCE},
                    SourceCase{"PeerAsLoopback", n2_ip, address("127.0.0.1"), DROP_FOREIGN_INNER_SOURCE}),
    [](const auto& test) { return test.param.name; });

// --- what it sends ---

struct InnerCase {
    std::string name;
    void (*change)(Frame& inner);
};
void PrintTo(const InnerCase& inner_case, std::ostream* out) {
    *out << inner_case.name;
}

class DecapsulationInner : public DecapsulationReject, public testing::WithParamInterface<InnerCase> {};

TEST_P(DecapsulationInner, IsDropped) {
    Frame inner = good_inner();
    GetParam().change(inner);
    EXPECT_TRUE(is_refused(encapsulated(tunnel(n2, n1), bytes(inner)), DROP_BAD_INNER_FRAME));
}

INSTANTIATE_TEST_SUITE_P(
    Inner, DecapsulationInner,
    testing::Values(
        InnerCase{"Arp", [](Frame& inner) { inner.ethernet.type = ethertype_arp; }},
        InnerCase{"Ipv6", [](Frame& inner) { inner.ethernet.type = 0x86dd; }},
        InnerCase{"Vlan", [](Frame& inner) { inner.ethernet.type = 0x8100; }},
        InnerCase{"Version6", [](Frame& inner) { inner.ip.version = 6; }},
        InnerCase{"HeaderLengthTooSmall", [](Frame& inner) { inner.ip.header_words = std::uint8_t{4}; }},
        InnerCase{"HeaderLengthBeyondThePacket",
                  [](Frame& inner) {
                      inner.ip.header_words = std::uint8_t{15};
                      inner.ip.total_length = std::uint16_t{59};
                  }},
        InnerCase{"TotalLengthBelowTheHeader", [](Frame& inner) { inner.ip.total_length = std::uint16_t{19}; }},
        InnerCase{"TotalLengthBeyondTheFrame",
                  [](Frame& inner) { inner.ip.total_length = static_cast<std::uint16_t>(ip_bytes(inner).size() + 1); }},
        InnerCase{"TotalLength65535", [](Frame& inner) { inner.ip.total_length = std::uint16_t{0xffff}; }},
        InnerCase{"WrongChecksum", [](Frame& inner) { inner.ip.checksum = std::uint16_t{0x1234}; }},
        InnerCase{"TransportCutOff",
                  [](Frame& inner) {
                      inner.transport = OtherProtocol{6};  // TCP, of which the ports alone are there
                      inner.payload = pattern(4);
                  }}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace podlane::prog
