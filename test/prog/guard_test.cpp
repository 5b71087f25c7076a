// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// The XDP program in front of the overlay: what it leaves alone, and packets in several buffers. What it refuses stands
// in decapsulation_reject_test.cpp, beside what from-underlay refuses.
namespace podlane::prog {
namespace {

const Tcp syn{80, 40000, tcp_flag::syn};
const Member& n1 = member("n1");
const Member& n2 = member("n2");

Frame api_to(Ipv4Address to, const Transport& transport = syn, std::size_t payload_length = 32) {
    return from_pod(pod("api"), to, transport, payload_length);
}

// VXLAN that is refused wherever it is looked at.
Bytes forged(const Tunnel& outer) {
    Tunnel wrong = outer;
    wrong.vni = 99;
    return encapsulated(wrong, bytes(between_vteps(api_to(web_ip), n2, n1)));
}

Bytes cut(const Bytes& whole, std::size_t length) {
    return {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)};
}

struct Passing {
    std::string name;
    Bytes packet;
};
void PrintTo(const Passing& passing, std::ostream* out) {
    *out << passing.name;
}

std::vector<Passing> good_tunnel_packets() {
    std::vector<Passing> packets;
    for (const auto& [name, transport] :
         std::vector<std::pair<std::string, Transport>>{{"Tcp", syn},
                                                        {"Udp", Udp{5000, 53}},
                                                        {"Echo", Icmp{.id = 9}},
                                                        {"Timestamp", Icmp{.type = icmp_type::timestamp}},
                                                        {"Gre", OtherProtocol{47}},
                                                        {"Sctp", OtherProtocol{132}}}) {
        packets.push_back({"Tunnel" + name, encapsulated(api_to(web_ip, transport), n2, n1)});
    }
    Frame complaint = api_to(web_ip, Icmp{.type = icmp_type::unreachable, .code = 3});
    complaint.payload = quoted(from_pod(pod("web"), api_ip, Udp{53, 5000}));
    packets.push_back({"TunnelIcmpError", encapsulated(complaint, n2, n1)});
    packets.push_back({"TunnelToTheHost", encapsulated(api_to(n1_ip), n2, n1)});
    packets.push_back({"TunnelToNobody", encapsulated(api_to(nobody_ip), n2, n1)});
    Frame fragment = api_to(web_ip, Udp{5000, 53});
    fragment.ip.fragment = more_fragments;
    packets.push_back({"TunnelInnerFragment", encapsulated(fragment, n2, n1)});
    Tunnel checksummed = tunnel(n2, n1);
    checksummed.udp.checksum = std::uint16_t{0x1234};
    packets.push_back(
        {"TunnelWithAnOuterChecksum", encapsulated(checksummed, bytes(between_vteps(api_to(web_ip), n2, n1)))});
    Tunnel congested = tunnel(n2, n1);
    congested.ip.tos = 3;  // from-underlay judges it together with what the pod can do about it
    packets.push_back({"TunnelMarkedCongested", encapsulated(congested, bytes(between_vteps(api_to(web_ip), n2, n1)))});
    return packets;
}

// Forged VXLAN, but not on our port at our address, or not to be judged as it is.
std::vector<Passing> forged_elsewhere() {
    std::vector<Passing> packets;
    const auto add = [&packets](const std::string& name, const Tunnel& outer) {
        packets.push_back({name, forged(outer)});
    };
    Tunnel outer = tunnel(n2, n1);
    outer.ip.destination = n2_ip;
    add("ForgedToAnotherAddress", outer);
    outer = tunnel(n2, n1);
    outer.udp.destination_port = 4789;
    add("ForgedToAnotherPort", outer);
    outer = tunnel(n2, n1);
    outer.ip.fragment = more_fragments;
    add("ForgedFirstFragment", outer);
    outer = tunnel(n2, n1);
    outer.ip.fragment = 185;
    add("ForgedLaterFragment", outer);
    outer = tunnel(n2, n1);
    outer.ip.options = {1, 1, 1, 1};
    add("ForgedWithOuterOptions", outer);
    outer = tunnel(n2, n1);
    outer.ethernet.destination = mac("ff:ff:ff:ff:ff:ff");
    add("ForgedBroadcast", outer);
    outer.ethernet.destination = mac("01:00:5e:00:00:01");
    add("ForgedMulticast", outer);
    outer = tunnel(n2, n1);
    outer.ethernet.type = 0x86dd;
    add("ForgedUnderAnotherEthertype", outer);
    Bytes tagged = forged(tunnel(n2, n1));
    tagged.insert(tagged.begin() + 12, {0x81, 0x00, 0x00, 0x64});
    packets.push_back({"ForgedWithAVlanTag", tagged});
    return packets;
}

std::vector<Passing> plain_packets() {
    Frame to_node = api_to(n1_ip, Tcp{40000, 22, tcp_flag::syn});
    to_node.ip.source = n2_ip;
    Frame bad = to_node;
    bad.ip.checksum = std::uint16_t{0x1234};
    Frame direct = api_to(web_ip);
    direct.ethernet = {.destination = underlay_mac("n1"), .source = underlay_mac("n2")};
    Frame tcp_to_our_port = to_node;
    tcp_to_our_port.transport = Tcp{40000, overlay_port, tcp_flag::syn};
    const Bytes arp = bytes(
        Arp{.ethernet = {.destination = mac("ff:ff:ff:ff:ff:ff"), .source = underlay_mac("n2"), .type = ethertype_arp},
            .sender_mac = underlay_mac("n2"),
            .sender = n2_ip,
            .target = n1_ip});
    return {{"TcpToTheNode", bytes(to_node)},
            {"TcpToOurPort", bytes(tcp_to_our_port)},
            {"BadChecksumToTheNode", bytes(bad)},
            {"DirectToAPod", bytes(direct)},
            {"Arp", arp},
            {"JustAnEthernetHeader", cut(bytes(to_node), 14)},
            {"HalfAnIpHeader", cut(bytes(to_node), 24)}};
}

std::vector<Passing> passing() {
    std::vector<Passing> all = good_tunnel_packets();
    for (const auto& some : {forged_elsewhere(), plain_packets()}) {
        all.insert(all.end(), some.begin(), some.end());
    }
    return all;
}

class GuardPasses : public ProgTest, public testing::WithParamInterface<Passing> {};

TEST_P(GuardPasses, Untouched) {
    EXPECT_TRUE(guard_passes(GetParam().packet));
    EXPECT_EQ(node().flows(), Flows{}) << "the guard learns nothing";
}

INSTANTIATE_TEST_SUITE_P(Packets, GuardPasses, testing::ValuesIn(passing()),
                         [](const auto& test) { return test.param.name; });

class GuardBuffers : public ProgTest {
protected:
    void SetUp() override {
        ProgTest::SetUp();
        if (kernel_features().xdp != XdpBuffers::several) {
            GTEST_SKIP() << "this kernel gives XDP programs one buffer (needs Linux 5.18)";
        }
    }
    [[nodiscard]] static const Guard& guard() { return guards().back(); }
    // Nothing: this kernel cannot be asked to split a packet where we want.
    [[nodiscard]] static std::optional<testing::AssertionResult> comes_to(const Bytes& packet, std::size_t first_buffer,
                                                                          XdpVerdict verdict, const Counted& counted) {
        const auto outcome = guard().run_split(packet, first_buffer);
        if (!outcome) {
            return std::nullopt;
        }
        if (outcome->verdict != verdict) {
            return testing::AssertionFailure() << to_string(outcome->verdict) << ", expected " << to_string(verdict);
        }
        if (auto same = are_counted(node().counted(), counted); !same) {
            return same;
        }
        return same_packet(packet, outcome->packet);
    }
};

TEST_F(GuardBuffers, PacketInSeveralBuffers_IsMeasuredAsAWhole) {
    const Bytes good = encapsulated(api_to(web_ip, Udp{5000, 53}, 8000), n2, n1);
    EXPECT_TRUE(guard().comes_to(good, XdpVerdict::pass, {}));
    Bytes longer = good;
    write16(longer, 16, static_cast<std::uint16_t>(good.size() - 14 + 1));
    write16(longer, 38, static_cast<std::uint16_t>(good.size() - 34 + 1));
    EXPECT_TRUE(
        guard().comes_to(longer, XdpVerdict::drop, once(counter_of(DROP_TRUNCATED, DIRECTION_UNDERLAY_GUARD), longer)));
    Tunnel outer = tunnel(n2, n1);
    outer.vni = 7;
    const Bytes wrong = encapsulated(outer, bytes(between_vteps(api_to(web_ip, Udp{5000, 53}, 8000), n2, n1)));
    EXPECT_TRUE(
        guard().comes_to(wrong, XdpVerdict::drop, once(counter_of(DROP_WRONG_VNI, DIRECTION_UNDERLAY_GUARD), wrong)));
}

// The first buffer ends anywhere: what is not in it is left to tc, and never taken for missing.
TEST_F(GuardBuffers, HeadersBehindTheFirstBuffer_AreLeftToTc) {
    constexpr std::size_t end_of_headers = 104;  // of an inner TCP header
    const Bytes good = encapsulated(api_to(web_ip), n2, n1);
    const Bytes wrong = forged(tunnel(n2, n1));
    for (std::size_t first = 14; first < good.size(); ++first) {
        SCOPED_TRACE(first);
        const auto of_good = comes_to(good, first, XdpVerdict::pass, {});
        if (!of_good) {
            GTEST_SKIP() << "this kernel cannot be told where to split a packet (needs Linux 6.18)";
        }
        EXPECT_TRUE(*of_good);
        const bool visible = first >= end_of_headers;
        EXPECT_TRUE(*comes_to(wrong, first, visible ? XdpVerdict::drop : XdpVerdict::pass,
                              visible ? once(counter_of(DROP_WRONG_VNI, DIRECTION_UNDERLAY_GUARD), wrong) : Counted{}));
    }
}

}  // namespace
}  // namespace podlane::prog
