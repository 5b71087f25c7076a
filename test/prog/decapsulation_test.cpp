// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// from-underlay: what is taken out of its outer headers and given to a pod, and what is left alone.
namespace podlane::prog {
namespace {

const Tcp syn{80, 40000, tcp_flag::syn};
const Member& n1 = member("n1");
const Member& n2 = member("n2");
const Member& n3 = member("n3");

Frame api_to(Ipv4Address to, const Transport& transport = syn, std::size_t payload_length = 32) {
    return from_pod(pod("api"), to, transport, payload_length);
}

class Decapsulation : public ProgTest {
protected:
    // Decapsulated and routed into web.
    [[nodiscard]] static testing::AssertionResult reaches_web(const Frame& inner, const Member& from) {
        return redirects(underlay_in, encapsulated(inner, from, n1), bytes(delivered(inner, pod("web"))),
                         PATH_OVERLAY_TO_POD);
    }
};

TEST_F(Decapsulation, RemotePodToPod_IsRoutedIntoThePod) {
    EXPECT_TRUE(reaches_web(api_to(web_ip), n2));
}

TEST_F(Decapsulation, OfEachTransport_LeavesThePacketAsItWas) {
    for (const Transport& transport :
         {Transport(Udp{5000, 53}), Transport(Udp{5000, 53, {}, std::uint16_t{0}}),
          Transport(Icmp{.id = 9, .sequence = 4}), Transport(Icmp{.type = icmp_type::timestamp}),
          Transport(OtherProtocol{47}), Transport(OtherProtocol{132})}) {
        EXPECT_TRUE(reaches_web(api_to(web_ip, transport), n2));
    }
}

TEST_F(Decapsulation, OfEveryLength_IsWhole) {
    for (std::size_t length = 0; length <= 1450 - 28; length += length < 64 ? 1 : 97) {
        SCOPED_TRACE(length);
        EXPECT_TRUE(reaches_web(api_to(web_ip, Udp{5000, 53}, length), n2));
    }
}

TEST_F(Decapsulation, PeerBehindAGateway_IsKnownByItsOwnAddress) {
    Frame inner = api_to(web_ip);
    inner.ip.source = n3_pod_ip;
    EXPECT_TRUE(reaches_web(inner, n3));
}

TEST_F(Decapsulation, FromTheSendingNodesOwnAddresses_IsAccepted) {
    for (const Ipv4Address source : {n2_ip, address("10.244.2.0")}) {
        SCOPED_TRACE(source.to_string());
        Frame inner = api_to(web_ip);
        inner.ip.source = source;
        EXPECT_TRUE(reaches_web(inner, n2));
    }
}

TEST_F(Decapsulation, InnerMacs_AreTheSendersAffair) {
    // A peer knows our VTEP MAC from our annotation, perhaps from an older one.
    Frame inner = between_vteps(api_to(web_ip), n2, n1);
    inner.ethernet.destination = mac("02:50:00:00:00:01");
    EXPECT_TRUE(redirects(underlay_in, encapsulated(tunnel(n2, n1), bytes(inner)), bytes(delivered(inner, pod("web"))),
                          PATH_OVERLAY_TO_POD));
}

TEST_F(Decapsulation, OuterHeaderFieldsThatSayNothing_AreIgnored) {
    const Frame inner = api_to(web_ip);
    Tunnel outer = tunnel(n2, n1);
    outer.ip.ttl = 1;  // we are where it wants to go
    outer.ip.fragment = dont_fragment;
    outer.ip.tos = 0xb8;
    outer.udp.source_port = 1;
    EXPECT_TRUE(redirects(underlay_in, encapsulated(outer, bytes(between_vteps(inner, n2, n1))),
                          bytes(delivered(inner, pod("web"))), PATH_OVERLAY_TO_POD));
}

// RFC 7348, section 5: a receiver may choose not to verify it, and takes the packet then.
TEST_F(Decapsulation, OuterUdpChecksum_IsNotVerified) {
    const Frame inner = api_to(web_ip);
    for (const std::optional<std::uint16_t> checksum :
         {std::optional<std::uint16_t>{}, std::optional<std::uint16_t>{0xabcd}}) {
        Tunnel outer = tunnel(n2, n1);
        outer.udp.checksum = checksum;  // right, and wrong
        EXPECT_TRUE(redirects(underlay_in, encapsulated(outer, bytes(between_vteps(inner, n2, n1))),
                              bytes(delivered(inner, pod("web"))), PATH_OVERLAY_TO_POD));
    }
}

TEST_F(Decapsulation, PaddingBehindTheInnerPacket_TravelsAlong) {
    const Frame inner = between_vteps(api_to(web_ip, Udp{5000, 53}, 4), n2, n1);
    Bytes inner_bytes = bytes(inner);
    Bytes expected = bytes(delivered(inner, pod("web")));
    inner_bytes.resize(60, 0xee);
    expected.resize(60, 0xee);
    EXPECT_TRUE(redirects(underlay_in, encapsulated(tunnel(n2, n1), inner_bytes), expected, PATH_OVERLAY_TO_POD));
}

TEST_F(Decapsulation, MarkOfTheOuterPacket_IsNotOurs) {
    At marked = underlay_in;
    marked.mark = 0x4000;
    const Frame inner = api_to(web_ip);
    EXPECT_TRUE(
        redirects(marked, encapsulated(inner, n2, n1), bytes(delivered(inner, pod("web"))), PATH_OVERLAY_TO_POD));
}

// --- ECN (RFC 6040, figure 4) ---

struct EcnRow {
    unsigned inner;
    int result[4];  // by outer Not-ECT (0), ECT(1) (1), ECT(0) (2), CE (3); -1: dropped
};

constexpr EcnRow ecn_table[] = {
    {.inner = 0, .result = {0, 0, 0, -1}},
    {.inner = 2, .result = {2, 1, 2, 3}},
    {.inner = 1, .result = {1, 1, 1, 3}},
    {.inner = 3, .result = {3, 3, 3, 3}},
};

class DecapsulationEcn : public Decapsulation, public testing::WithParamInterface<EcnRow> {};

TEST_P(DecapsulationEcn, IsMergedAsRfc6040Demands) {
    for (unsigned outer_ecn = 0; outer_ecn < 4; ++outer_ecn) {
        for (const unsigned dscp : {0x00U, 0x2eU, 0x3fU}) {
            Frame inner = api_to(web_ip);
            inner.ip.tos = static_cast<std::uint8_t>(dscp << 2U | GetParam().inner);
            Tunnel outer = tunnel(n2, n1);
            outer.ip.tos = static_cast<std::uint8_t>((0x3fU ^ dscp) << 2U | outer_ecn);
            const Bytes packet = encapsulated(outer, bytes(between_vteps(inner, n2, n1)));
            SCOPED_TRACE(fmt::format("outer {:#x}, inner {:#x}", outer.ip.tos, inner.ip.tos));
            if (GetParam().result[outer_ecn] < 0) {
                EXPECT_TRUE(drops(underlay_in, packet, DROP_ECN_CONGESTED));
                continue;
            }
            Frame expected = delivered(inner, pod("web"));
            expected.ip.tos =
                static_cast<std::uint8_t>(dscp << 2U | static_cast<unsigned>(GetParam().result[outer_ecn]));
            EXPECT_TRUE(redirects(underlay_in, packet, bytes(expected), PATH_OVERLAY_TO_POD));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(InnerEcn, DecapsulationEcn, testing::ValuesIn(ecn_table),
                         [](const auto& test) { return std::to_string(test.param.inner); });

// --- nothing to do with us ---

struct OuterCase {
    std::string name;
    void (*change)(Tunnel& outer);
};
void PrintTo(const OuterCase& outer_case, std::ostream* out) {
    *out << outer_case.name;
}

class UnderlayForeign : public ProgTest, public testing::WithParamInterface<OuterCase> {};

TEST_P(UnderlayForeign, IsLeftAlone) {
    Tunnel outer = tunnel(n2, n1);
    GetParam().change(outer);
    EXPECT_TRUE(leaves_alone(underlay_in, encapsulated(outer, bytes(between_vteps(api_to(web_ip), n2, n1)))));
    EXPECT_EQ(node().flows(), Flows{});
}

INSTANTIATE_TEST_SUITE_P(
    Outer, UnderlayForeign,
    testing::Values(
        OuterCase{"ToAnotherPort", [](Tunnel& outer) { outer.udp.destination_port = 4789; }},
        OuterCase{"FromOurPort",
                  [](Tunnel& outer) {
                      outer.udp.source_port = overlay_port;
                      outer.udp.destination_port = 51234;
                  }},
        OuterCase{"ToAnotherAddress", [](Tunnel& outer) { outer.ip.destination = address("192.168.100.77"); }},
        OuterCase{"ToAnotherMac", [](Tunnel& outer) { outer.ethernet.destination = underlay_mac("n2"); }},
        OuterCase{"ToTheBroadcastMac", [](Tunnel& outer) { outer.ethernet.destination = mac("ff:ff:ff:ff:ff:ff"); }},
        OuterCase{"ToAMulticastMac", [](Tunnel& outer) { outer.ethernet.destination = mac("01:00:5e:00:00:01"); }},
        OuterCase{"WithIpOptions", [](Tunnel& outer) { outer.ip.options = Bytes(4, 1); }},
        OuterCase{"FirstFragment", [](Tunnel& outer) { outer.ip.fragment = more_fragments; }},
        OuterCase{"LaterFragment", [](Tunnel& outer) { outer.ip.fragment = 185; }},
        OuterCase{"IpVersion6InTheHeader", [](Tunnel& outer) { outer.ip.version = 6; }},
        OuterCase{"HeaderLengthTooSmall", [](Tunnel& outer) { outer.ip.header_words = std::uint8_t{4}; }},
        OuterCase{"Ipv6", [](Tunnel& outer) { outer.ethernet.type = 0x86dd; }},
        OuterCase{"Vlan", [](Tunnel& outer) { outer.ethernet.type = 0x8100; }}),
    [](const auto& test) { return test.param.name; });

TEST_F(Decapsulation, OtherTrafficOfTheUnderlay_IsLeftAlone) {
    Frame frame = from_pod(pod("web"), n1_ip, Tcp{40000, overlay_port, tcp_flag::syn});
    frame.ethernet = {.destination = underlay_mac("n1"), .source = underlay_mac("n2")};
    frame.ip.source = n2_ip;
    for (const Transport& transport : {Transport(Tcp{40000, overlay_port, tcp_flag::syn}), Transport(Icmp{.id = 3}),
                                       Transport(Udp{500, 500}), Transport(OtherProtocol{136})}) {
        frame.transport = transport;
        EXPECT_TRUE(leaves_alone(underlay_in, bytes(frame)));
    }
    EXPECT_TRUE(leaves_alone(underlay_in, bytes(Arp{.ethernet = {.destination = mac("ff:ff:ff:ff:ff:ff"),
                                                                 .source = underlay_mac("n2"),
                                                                 .type = ethertype_arp},
                                                    .sender_mac = underlay_mac("n2"),
                                                    .sender = n2_ip,
                                                    .target = n1_ip})));
}

// --- for the stack ---

TEST_F(Decapsulation, InnerForTheHost_IsLeftToTheOverlayDevice) {
    for (const Ipv4Address to : {n1_ip, address("10.244.1.0"), address("10.244.1.200"), outside_ip, api_ip}) {
        SCOPED_TRACE(to.to_string());
        EXPECT_TRUE(hands_over(underlay_in, encapsulated(api_to(to), n2, n1), HANDOVER_OVERLAY_HOST));
    }
    EXPECT_EQ(node().flows(), Flows{});
}

struct InnerCase {
    std::string name;
    void (*change)(Frame& inner);
    handover_reason reason;
};
void PrintTo(const InnerCase& inner_case, std::ostream* out) {
    *out << inner_case.name;
}

class DecapsulationSlow : public ProgTest, public testing::WithParamInterface<InnerCase> {};

TEST_P(DecapsulationSlow, IsLeftToTheOverlayDevice) {
    Frame inner = api_to(web_ip, Udp{5000, 53});
    GetParam().change(inner);
    EXPECT_TRUE(hands_over(underlay_in, encapsulated(inner, n2, n1), GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(
    Inner, DecapsulationSlow,
    testing::Values(
        InnerCase{"Ttl0", [](Frame& inner) { inner.ip.ttl = 0; }, HANDOVER_TTL_EXPIRED},
        InnerCase{"Ttl1", [](Frame& inner) { inner.ip.ttl = 1; }, HANDOVER_TTL_EXPIRED},
        InnerCase{"Options", [](Frame& inner) { inner.ip.options = Bytes(8, 1); }, HANDOVER_IP_OPTIONS},
        InnerCase{"FirstFragment", [](Frame& inner) { inner.ip.fragment = more_fragments; }, HANDOVER_FRAGMENT},
        InnerCase{"LaterFragment", [](Frame& inner) { inner.ip.fragment = 100; }, HANDOVER_FRAGMENT},
        InnerCase{"LargerThanThePodsMtu", [](Frame& inner) { inner.payload = pattern(1450 - 27); }, HANDOVER_TOO_BIG},
        InnerCase{"LargerThanASmallPodsMtu",
                  [](Frame& inner) {
                      inner.ip.destination = small_ip;
                      inner.payload = pattern(1280 - 27);
                  },
                  HANDOVER_TOO_BIG}),
    [](const auto& test) { return test.param.name; });

TEST_F(Decapsulation, AggregatedPacket_IsMeasuredByItsSegments) {
    const Frame inner = api_to(web_ip, syn, 3000);
    At gro = underlay_in;
    gro.gso_segs = 3;
    gro.gso_size = 1450 - 39;
    EXPECT_TRUE(hands_over(gro, encapsulated(inner, n2, n1), HANDOVER_TOO_BIG));
}

}  // namespace
}  // namespace podlane::prog
