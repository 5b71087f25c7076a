// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "test/prog/harness/fixture.h"

// from-pod: outer headers, towards another node.
namespace podlane::prog {
namespace {

const Tcp syn{40000, 80, tcp_flag::syn};

class Encapsulation : public ProgTest {};

class OuterHeaders : public Encapsulation {
protected:
    void SetUp() override {
        if (!kernel_writes_outer_headers()) {
            GTEST_SKIP() << "this kernel gives the programs no room for outer headers";
        }
        Encapsulation::SetUp();
    }
};

TEST_F(Encapsulation, PodToRemotePod_IsEncapsulatedToPeerVtep) {
    EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), api_ip, syn), member("n2")));
}

TEST_F(Encapsulation, PodToRoutedPeer_CarriesThePeersAddressesAndNotTheGateways) {
    EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), n3_pod_ip, syn), member("n3")));
}

TEST_F(Encapsulation, PodToAnotherNode_IsEncapsulatedToIt) {
    EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), n2_ip, syn), member("n2")));
    EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), n3_ip, Icmp{.id = 9}), member("n3")));
}

TEST_F(Encapsulation, PodToAnotherNodesFlannelAddress_IsEncapsulatedToIt) {
    EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), address("10.244.2.0"), syn), member("n2")));
}

TEST_F(Encapsulation, OfEachTransport_LeavesThePacketAsItWas) {
    for (const Transport& transport :
         {Transport(Udp{5000, 53}), Transport(Udp{5000, 53, {}, std::uint16_t{0}}),
          Transport(Icmp{.id = 9, .sequence = 4}), Transport(OtherProtocol{47}), Transport(OtherProtocol{132})}) {
        EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), api_ip, transport), member("n2")));
    }
}

TEST_F(Encapsulation, OfEveryLength_SetsTheOuterLengths) {
    for (std::size_t length = 0; length <= path_mtu - 28; length += length < 64 ? 1 : 97) {
        SCOPED_TRACE(length);
        EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), api_ip, Udp{5000, 53}, length), member("n2")));
    }
    EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), api_ip, Udp{5000, 53}, path_mtu - 28), member("n2")));
}

TEST_F(OuterHeaders, EcnIsCopiedToTheOuterHeader_DscpIsNot) {
    for (const unsigned dscp : {0x00U, 0x2eU, 0x3fU}) {
        for (const unsigned ecn : {0U, 1U, 2U, 3U}) {
            Frame sent = from_pod(pod("web"), api_ip, syn);
            sent.ip.tos = static_cast<std::uint8_t>(dscp << 2U | ecn);
            SCOPED_TRACE(sent.ip.tos);
            const Bytes out = node().run(from_web, bytes(sent)).packet;
            EXPECT_EQ(out.at(15), ecn);
            EXPECT_EQ(out.at(65), sent.ip.tos);
            node().forget_counters();
            EXPECT_TRUE(encapsulates(from_web, sent, member("n2")));
        }
    }
}

TEST_F(Encapsulation, KubeProxysMark_IsCleared) {
    At marked = from_web;
    marked.mark = 0x4000;
    EXPECT_TRUE(encapsulates(marked, from_pod(pod("web"), api_ip, syn), member("n2")));
}

TEST_F(OuterHeaders, PaddingBehindThePacket_TravelsAlong) {
    const Frame sent = from_pod(pod("web"), api_ip, Udp{5000, 53}, 4);
    Bytes packet = bytes(sent);
    packet.resize(60, 0xee);
    const Outcome out = node().run(from_web, packet);
    ASSERT_EQ(out.packet.size(), packet.size() + vxlan_overhead);

    Frame inner = between_vteps(sent, member("n1"), member("n2"));
    inner.ip.ttl -= 1;
    Bytes inner_bytes = bytes(inner);
    inner_bytes.resize(60, 0xee);
    Tunnel outer = tunnel(member("n1"), member("n2"));
    outer.ethernet = sent.ethernet;
    outer.ip.id = read16(out.packet, 18);
    outer.udp.source_port = outer_source_port(out.packet);
    EXPECT_TRUE(is_outcome(out, {Verdict::redirect, encapsulated(outer, inner_bytes), 0}));
}

// --- what spreads flows over paths and queues ---

TEST_F(OuterHeaders, PacketsOfOneFlow_HaveOneSourcePort) {
    std::set<std::uint16_t> ports;
    for (const std::size_t length : {0U, 1U, 100U, 1400U}) {
        ports.insert(
            outer_source_port(node().run(from_web, bytes(from_pod(pod("web"), api_ip, Udp{5000, 53}, length))).packet));
    }
    EXPECT_EQ(ports.size(), 1U);
}

TEST_F(OuterHeaders, PacketsOfManyFlows_SpreadOverSourcePorts) {
    std::set<std::uint16_t> ports;
    for (std::uint16_t port = 1; port <= 256; ++port) {
        ports.insert(
            outer_source_port(node().run(from_web, bytes(from_pod(pod("web"), api_ip, Udp{port, 53}))).packet));
    }
    // 256 draws from 16384: two collisions are to be expected, 56 are not.
    EXPECT_GT(ports.size(), 200U);
}

TEST_F(OuterHeaders, OuterIdentification_DiffersFromPacketToPacket) {
    std::set<std::uint16_t> ids;
    for (int i = 0; i < 64; ++i) {
        ids.insert(read16(node().run(from_web, bytes(from_pod(pod("web"), api_ip, syn))).packet, 18));
    }
    EXPECT_GT(ids.size(), 48U);
}

// --- podCIDRs of several lengths ---

TEST_F(Encapsulation, LongestPodCidr_Wins) {
    node().set_pod_cidr(Ipv4Prefix::parse("10.244.6.0/24").value(), node().route_to(member("n2")));
    node().set_pod_cidr(Ipv4Prefix::parse("10.244.6.64/26").value(), node().route_to(member("n3")));
    node().set_pod_cidr(Ipv4Prefix::parse("10.244.6.70/32").value(), node().route_to(member("n2")));
    const std::vector<std::pair<const char*, const char*>> expected{
        {"10.244.6.1", "n2"},   {"10.244.6.63", "n2"},  {"10.244.6.64", "n3"},
        {"10.244.6.69", "n3"},  {"10.244.6.70", "n2"},  {"10.244.6.71", "n3"},
        {"10.244.6.127", "n3"}, {"10.244.6.128", "n2"}, {"10.244.2.7", "n2"}};
    for (const auto& [to, owner] : expected) {
        SCOPED_TRACE(to);
        EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), address(to), syn), member(owner)));
    }
}

TEST_F(Encapsulation, EveryPrefixLengthAtOnce_IsLookedUp) {
    for (unsigned length = 0; length <= 32; ++length) {
        node().set_pod_cidr(Ipv4Prefix::masked(address("172.16.170.170"), length),
                            node().route_to(member(length % 2 == 0 ? "n2" : "n3")));
    }
    // An address that agrees with 172.16.170.170 in its first `length` bits and differs in the next one.
    for (unsigned length = 0; length <= 32; ++length) {
        const std::uint32_t differing = length == 32 ? 0 : std::uint32_t{1} << (31 - length);
        const Ipv4Address to = Ipv4Address::from_host(address("172.16.170.170").host() ^ differing);
        SCOPED_TRACE(to.to_string());
        EXPECT_TRUE(encapsulates(from_web, from_pod(pod("web"), to, syn), member(length % 2 == 0 ? "n2" : "n3")));
    }
}

// --- by the overlay device ---

TEST_F(Encapsulation, PacketThatTheKernelGivesNoRoomTo_TakesTheOverlayDevice) {
    // BPF_PROG_TEST_RUN knows no GSO type, and the kernel makes room in no GSO packet of an unknown type: as with a
    // packet that has been through a tunnel before.
    At gso = from_web;
    gso.gso_size = 1400;
    gso.gso_segs = 3;
    EXPECT_TRUE(takes_the_overlay_device(node(), gso, from_pod(pod("web"), api_ip, syn, 3000)));
}

class TunnelDevice : public ProgTest {
protected:
    static Node& device_node() {
        static Node node("n1", ENCAPSULATION_TUNNEL_DEVICE);
        return node;
    }
    void SetUp() override { device_node().reset(); }
};

TEST_F(TunnelDevice, PodToRemotePod_IsRoutedAndMarkedForTheOverlayDevice) {
    EXPECT_TRUE(takes_the_overlay_device(device_node(), from_web, from_pod(pod("web"), api_ip, syn)));
    EXPECT_TRUE(takes_the_overlay_device(device_node(), from_web, from_pod(pod("web"), n3_ip, Udp{5000, 53}, 1400)));
}

TEST_F(TunnelDevice, PodToLocalPod_IsRedirectedAsEver) {
    const Frame sent = from_pod(pod("web"), db_ip, syn);
    EXPECT_TRUE(comes_to(device_node(), from_web, bytes(sent),
                         {Verdict::redirect, bytes(delivered(sent, pod("db"))), 0},
                         once(counter_of(PATH_POD_TO_LOCAL_POD), bytes(sent))));
}

}  // namespace
}  // namespace podlane::prog
