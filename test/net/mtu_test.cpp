// SPDX-License-Identifier: Apache-2.0
// Links that shrink and grow, and packets that are too large for the way they would take.
//
//   pod 1  (1450) --+                                                          direct to node 2: 1500
//   wide 1 (1500) --+-- node 1 (192.168.0.1) --+                               VXLAN to node 3:  1450
//                                              | wire ====== routers ====== node 3 (192.168.9.3) --- pod 3 (1450)
//   pod 2  (1450) ----- node 2 (192.168.0.2) --+
#include "test/net/harness/three_nodes.h"

namespace podlane::net {
namespace {

constexpr unsigned link_mtu = 1500;
constexpr unsigned vxlan_overhead = 50;
constexpr std::uint16_t dont_fragment = 0x4000;
constexpr std::uint8_t icmp_unreachable = 3;
constexpr std::uint8_t fragmentation_needed = 4;

using Milliseconds = std::chrono::milliseconds;

class MtuTest : public ThreeNodes {
protected:
    void SetUp() override { build({"auto", "auto", "auto"}); }

    // The nodes' devices, and what they are plugged into.
    void set_underlay_mtu(unsigned mtu) {
        for (const unsigned number : {1U, 2U, 3U}) {
            ip(node(number).ns(), fmt::format("link set {} mtu {}", Underlay::node_device, mtu));
            ip(port(number).ns, fmt::format("link set {} mtu {}", port(number).name, mtu));
        }
    }
    [[nodiscard]] static unsigned mtu_of(const DeviceRef& device) {
        return nlohmann::json::parse(ip(device.ns, "-j link show dev " + device.name)).at(0).at("mtu");
    }
    // Of node 1's map entry about another node's pods.
    [[nodiscard]] unsigned path_mtu(unsigned to) {
        const auto dump = node(1).agentctl_json({"map", "dump", "nodes_by_pod_cidr"});
        for (const auto& entry : dump.at(0).at("entries")) {
            if (entry.at("key").dump().find(Cluster::pod_cidr(to).address().to_string()) != std::string::npos) {
                return entry.at("value").at("mtu");
            }
        }
        return 0;
    }
    // Everything of the three nodes that depends on the underlay's MTU; empty when all of it follows.
    [[nodiscard]] std::string what_lags_behind(unsigned underlay) {
        for (const unsigned number : {1U, 2U, 3U}) {
            const std::vector<DeviceRef> devices = {{node(number).ns(), overlay_device},
                                                    {node(number).ns(), pod(number).host_device()},
                                                    pod(number).device()};
            for (const auto& device : devices) {
                if (const auto mtu = mtu_of(device); mtu != underlay - vxlan_overhead) {
                    return fmt::format("{} of node {}: {}", device.name, number, mtu);
                }
            }
        }
        if (path_mtu(2) != underlay || path_mtu(3) != underlay - vxlan_overhead) {
            return fmt::format("paths: {} and {}", path_mtu(2), path_mtu(3));
        }
        const auto route = ip(node(1).ns(), "route show 10.244.2.0/24");
        const auto expected = fmt::format("mtu {}", underlay - vxlan_overhead);
        return route.find(expected) == std::string::npos ? "route: " + route : std::string();
    }
    Milliseconds expect_all_to_follow(unsigned underlay) {
        const auto start = std::chrono::steady_clock::now();
        const bool followed = wait_until([&] { return what_lags_behind(underlay).empty(); }, 5s);
        EXPECT_TRUE(followed) << what_lags_behind(underlay);
        return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - start);
    }
    static void expect_progress(const TcpStream& stream, const char* what) {
        constexpr std::uint64_t enough = 4'000'000;
        const auto before = stream.received();
        EXPECT_TRUE(wait_until([&] { return stream.received() >= before + enough; }, 8s))
            << what << ": " << stream.received() - before << " bytes in 8 s";
    }
};

TEST_F(MtuTest, UnderlayThatShrinksAndGrows_IsFollowedByLinksRoutesAndPathsWhileTrafficGoesOn) {
    TcpStream direct(pod(1).endpoint(), pod(2).endpoint());
    TcpStream by_vxlan(pod(1).endpoint(), pod(3).endpoint());
    TcpStream from_host(node(1).endpoint(), pod(2).endpoint());
    UdpStream small(pod(1).endpoint(), pod(3).endpoint());
    const auto expect_all_to_go_on = [&] {
        expect_progress(direct, "direct");
        expect_progress(by_vxlan, "by VXLAN");
        expect_progress(from_host, "from the host");
    };
    expect_all_to_go_on();
    for (const unsigned mtu : {1400U, 1300U, link_mtu}) {
        SCOPED_TRACE(mtu);
        set_underlay_mtu(mtu);
        const auto took = expect_all_to_follow(mtu);
        RecordProperty(fmt::format("followed_{}_ms", mtu), static_cast<int>(took.count()));
        expect_all_to_go_on();
    }
    EXPECT_EQ(direct.stop(), "");
    EXPECT_EQ(by_vxlan.stop(), "");
    EXPECT_EQ(from_host.stop(), "");
    const auto totals = small.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
    EXPECT_EQ(echo_udp(pod(1).endpoint(), pod(3).endpoint(), {1, 1422, 1423, 8000}).problem, "");
}

// The configuration of the network said so: it is the operator's, not ours.
TEST_F(MtuTest, PodWithAnMtuOfItsOwn_KeepsIt) {
    Pod& narrow = node(1).add_pod("narrow", 1200);
    set_underlay_mtu(1400);
    expect_all_to_follow(1400);
    EXPECT_EQ(mtu_of(narrow.device()), 1200U);
    EXPECT_EQ(mtu_of({node(1).ns(), narrow.host_device()}), 1200U);
    TcpStream stream(narrow.endpoint(), pod(3).endpoint());
    expect_progress(stream, "narrow");
    EXPECT_EQ(stream.stop(), "");
}

// An agent that has lost its records knows no way into the pods' namespaces: their links stay, and their senders learn
// by ICMP what fits.
TEST_F(MtuTest, PodsWhoseNamespaceIsNotKnown_LearnByIcmp) {
    node(1).kill_agent();
    for (const auto& record : std::filesystem::directory_iterator(node(1).run_dir() / "endpoints")) {
        std::filesystem::remove(record);
    }
    node(1).start_agent();
    node(1).wait_ready();
    TcpStream direct(pod(1).endpoint(), pod(2).endpoint());
    TcpStream by_vxlan(pod(1).endpoint(), pod(3).endpoint());
    TcpStream inward(pod(3).endpoint(), pod(1).endpoint());
    for (const unsigned mtu : {1400U, link_mtu, 1300U}) {
        SCOPED_TRACE(mtu);
        set_underlay_mtu(mtu);
        ASSERT_TRUE(wait_until([&] { return path_mtu(3) == mtu - vxlan_overhead; }, 5s)) << path_mtu(3);
        expect_progress(direct, "direct");
        expect_progress(by_vxlan, "by VXLAN");
        expect_progress(inward, "by VXLAN, to the pod");
    }
    EXPECT_EQ(mtu_of(pod(1).device()), 1450U);
    for (TcpStream* stream : {&direct, &by_vxlan, &inward}) {
        EXPECT_EQ(stream->stop(), "");
    }
    const auto log = node(1).agent().output();
    const std::string complaint = "its MTU stays 1450";
    const auto said = log.find(complaint);
    EXPECT_NE(said, std::string::npos) << log;
    EXPECT_EQ(log.find(complaint, said + 1), std::string::npos) << "said more than once: " << log;
}

// What a pod whose link is as large as the underlay's is told when its packets do not fit.
class TooLargeTest : public MtuTest {
protected:
    void SetUp() override {
        MtuTest::SetUp();
        wide_ = &node(1).add_pod("wide", link_mtu);
    }
    [[nodiscard]] Pod& wide() { return *wide_; }

    // A UDP datagram of that many bytes of IP that must not be fragmented, out of the wide pod.
    Bytes send_from_wide(Ipv4Address to, std::size_t size) {
        const Ipv4Header header{wide().address(), to, protocol_udp, 57, 0x28, 0x1234, dont_fragment};
        const Ethernet ethernet{mac_of({node(1).ns(), wide().host_device()}), mac_of(wide().device())};
        Bytes payload(size - 28, 0x42);
        const auto packet = udp_packet(header, {5000, 5001}, payload);
        RawSender(wide().ns(), "eth0").send(ethernet_frame(ethernet, packet));
        return packet;
    }
    static bool is_icmp_error(const Frame& frame) {
        const auto packet = decode_ipv4_frame(frame.bytes);
        return packet && !frame.outgoing && packet->ip.protocol == protocol_icmp && !packet->payload.empty() &&
               packet->payload[0] == icmp_unreachable;
    }
    // The answer to a datagram that does not fit, byte for byte. Free are what RFC 792 leaves free: how much is quoted
    // beyond the header and eight bytes, and the identification. TOS by RFC 1812, 4.3.2.5: the datagram's,
    // precedence 6.
    void expect_told(Ipv4Address to, std::size_t size, Ipv4Address by, unsigned mtu, std::uint8_t ttl = 64) {
        Capture in_pod(wide().ns(), "eth0", &is_icmp_error);
        const auto sent = send_from_wide(to, size);
        const auto frame = in_pod.wait_for_frame(2s);
        ASSERT_TRUE(frame.has_value()) << "no ICMP error about " << size << " bytes to " << to.to_string();
        const auto error = decode_ipv4_frame(frame->bytes);
        constexpr std::size_t icmp_header = 8;
        ASSERT_GE(error->payload.size(), icmp_header + 28);
        const ByteView quote = ByteView(sent).first(error->payload.size() - icmp_header);
        const Ipv4Header header{by, wide().address(), protocol_icmp, ttl, 0xc8, error->ip.id, error->ip.fragment};
        const Ethernet ethernet{mac_of(wide().device()), mac_of({node(1).ns(), wide().host_device()})};
        // A router that forwarded it before it met its end has counted it down in what is quoted.
        Bytes expected_quote(quote.begin(), quote.end());
        const Bytes quoted_header(error->payload.begin() + icmp_header, error->payload.begin() + icmp_header + 20);
        if (by != node(1).address()) {
            std::copy(quoted_header.begin() + 8, quoted_header.begin() + 12, expected_quote.begin() + 8);
            EXPECT_EQ(quoted_header[8], 56) << "the quoted TTL";
        }
        EXPECT_EQ(frame->bytes,
                  ethernet_frame(ethernet,
                                 icmp_packet(header, {icmp_unreachable, fragmentation_needed, mtu}, expected_quote)));
        EXPECT_EQ(frame->length, frame->bytes.size());
    }

private:
    Pod* wide_ = nullptr;
};

TEST_F(TooLargeTest, ForAVxlanPath_TheNodeSaysHowMuchFits) {
    expect_told(pod(3).address(), 1451, node(1).address(), 1450);
    expect_told(pod(3).address(), 1500, node(1).address(), 1450);
}

TEST_F(TooLargeTest, ForTheAddressOfANodeByVxlan_TheNodeSaysHowMuchFits) {
    Capture fragments(wire(), port(1).name, [](const Frame& frame) {
        const auto packet = decode_ipv4_frame(frame.bytes);
        return packet && !frame.outgoing && packet->is_fragment();
    });
    expect_told(node(3).address(), 1451, node(1).address(), 1450);
    expect_told(node(3).address(), 1500, node(1).address(), 1450);
    EXPECT_TRUE(fragments.frames().empty()) << "outer packets were fragmented";
}

TEST_F(TooLargeTest, ForAPodOfTheSameNode_TheNodeSaysHowMuchFits) {
    expect_told(pod(1).address(), 1451, node(1).address(), 1450);
}

// The direct path carries it, the pod's link at its end does not.
TEST_F(TooLargeTest, ForThePodBehindADirectPath_ThePodsNodeSaysHowMuchFits) {
    expect_told(pod(2).address(), 1451, node(2).address(), 1450, 63);
}

TEST_F(TooLargeTest, ForADirectPathThatIsNarrowerThanTheLink_TheNodeSaysHowMuchFits) {
    ip(node(1).ns(), "route add 192.168.0.2/32 dev eth0 mtu 1350");
    ASSERT_TRUE(wait_until([&] { return path_mtu(2) == 1350; }, 5s)) << path_mtu(2);
    ASSERT_EQ(listed(1, 2).path, "direct");
    expect_told(pod(2).address(), 1351, node(1).address(), 1350);
    EXPECT_EQ(exchange_tcp(wide().endpoint(), pod(2).endpoint(), 20'000'000).problem, "");
}

TEST_F(TooLargeTest, ForAVxlanPathThatIsNarrowerThanTheOthers_TheNodeSaysHowMuchFits) {
    ip(node(1).ns(), "route add 192.168.9.3/32 via 192.168.0.254 mtu 1400");
    ASSERT_TRUE(wait_until([&] { return path_mtu(3) == 1350; }, 5s)) << path_mtu(3);
    EXPECT_EQ(path_mtu(2), link_mtu);
    for (const auto to : {pod(3).address(), node(3).address()}) {
        expect_told(to, 1351, node(1).address(), 1350);
    }
    for (const auto& client : {wide().endpoint(), pod(1).endpoint(), node(1).endpoint()}) {
        EXPECT_EQ(exchange_tcp(client, pod(3).endpoint(), 5'000'000).problem, "") << client.address.to_string();
    }
}

// It comes out of the tunnel and does not fit the link behind it.
TEST_F(TooLargeTest, ForTheNarrowPodBehindAVxlanPath_ThePodsNodeSaysHowMuchFits) {
    Pod& narrow = node(3).add_pod("narrow", 1200);
    expect_told(narrow.address(), 1201, node(3).address(), 1200, 63);
    expect_told(narrow.address(), 1450, node(3).address(), 1200, 63);
}

TEST_F(TooLargeTest, BulkTraffic_FindsTheSizeThatFitsEverywhere) {
    Pod& other_wide = node(3).add_pod("wide", link_mtu);
    for (const auto offload : {Offload::on, Offload::off}) {
        SCOPED_TRACE(offload == Offload::on ? "with TSO" : "without TSO");
        set_offload_everywhere(offload);
        set_segmentation_offload(wide().device(), offload);
        for (const auto& server : {pod(1).endpoint(), pod(2).endpoint(), pod(3).endpoint(), other_wide.endpoint(),
                                   node(1).endpoint(), node(2).endpoint(), node(3).endpoint()}) {
            // What was learned in an earlier round would hide what is asked here.
            ip(wide().ns(), "route flush cache");
            const auto outcome = exchange_tcp(wide().endpoint(), server, 20'000'000);
            EXPECT_EQ(outcome.problem, "") << server.address.to_string();
            EXPECT_EQ(outcome.client_seen_as, wide().address());
        }
    }
}

TEST_F(TooLargeTest, DatagramsThatMayBeFragmented_Arrive) {
    for (const auto* ns :
         {&wide().ns(), &pod(1).ns(), &pod(2).ns(), &pod(3).ns(), &node(1).ns(), &node(2).ns(), &node(3).ns()}) {
        set_sysctl(*ns, "net/ipv4/ip_no_pmtu_disc", "1");  // sockets opened from now on leave DF clear
    }
    for (const auto& server : {pod(1).endpoint(), pod(2).endpoint(), pod(3).endpoint(), node(1).endpoint(),
                               node(2).endpoint(), node(3).endpoint()}) {
        EXPECT_EQ(echo_udp(wide().endpoint(), server, {1423, 1472, 1473, 4000}).problem, "")
            << server.address.to_string();
    }
}

}  // namespace
}  // namespace podlane::net
