// SPDX-License-Identifier: Apache-2.0
// What makes a path direct, and what takes it back: evidence, and no more than evidence.
//
//   pod 1 --- node 1 (192.168.0.1) --+
//                                    | wire (a bridge with a filter) ====== routers ====== node 3 --- pod 3
//   pod 2 --- node 2 (192.168.0.2) --+
#include "test/net/harness/three_nodes.h"

namespace podlane::net {
namespace {

using Kind = ProbeOutcome::Kind;

// The contract's: "lost or regained adjacency is noticed within 10 s".
constexpr auto notice_deadline = 10s;

// Frames that the bridge does not forward, while it lives.
class WireFilter {
public:
    WireFilter(const Namespace& wire, const std::string& match) : wire_(wire) {
        must_run(wire_, {"nft", "add table bridge deaf"});
        must_run(wire_, {"nft", "add chain bridge deaf forward { type filter hook forward priority 0; }"});
        must_run(wire_, {"nft", "add rule bridge deaf forward " + match + " drop"});
    }
    WireFilter(const WireFilter&) = delete;
    WireFilter& operator=(const WireFilter&) = delete;
    ~WireFilter() { remove(); }
    void remove() {
        if (!removed_) {
            must_run(wire_, {"nft", "delete table bridge deaf"});
            removed_ = true;
        }
    }

private:
    const Namespace& wire_;
    bool removed_ = false;
};

class PathSwitchTest : public ThreeNodes {};

// The probes alone are lost: the old path works until the last moment, so nothing may be lost by the switch.
TEST_F(PathSwitchTest, PeerThatIsDeafToProbes_IsReachedByVxlanAndThenDirectlyAgainWithoutALoss) {
    build({"auto", "auto", "auto"});
    UdpStream outward(pod(1).endpoint(), pod(2).endpoint());
    UdpStream inward(pod(2).endpoint(), pod(1).endpoint());
    UdpStream from_host(node(1).endpoint(), pod(2).endpoint());
    WireFilter filter(wire(), "ip saddr 192.168.0.1 ip daddr 192.168.0.2 icmp type echo-request");
    const auto lost = expect_path(1, 2, "vxlan", notice_deadline);
    EXPECT_EQ(listed(1, 2).reason, "does not answer on eth0 (3 probes)");
    EXPECT_EQ(listed(2, 1).path, "direct") << "node 2's own probes are answered";
    filter.remove();
    const auto regained = expect_path(1, 2, "direct", notice_deadline);
    RecordProperty("lost_ms", static_cast<int>(lost.count()));
    RecordProperty("regained_ms", static_cast<int>(regained.count()));
    std::this_thread::sleep_for(300ms);
    for (UdpStream* stream : {&outward, &inward, &from_host}) {
        const auto totals = stream->stop();
        EXPECT_EQ(totals.echoed, totals.sent);
        EXPECT_GT(totals.sent, 2000U);
    }
    EXPECT_EQ(node(1).agentctl_json({"status"}).at("details").at("pathSwitches"), 2);
    const auto log = node(1).agent().output();
    EXPECT_NE(log.find("node n2: path vxlan instead of direct: does not answer on eth0"), std::string::npos) << log;
    EXPECT_NE(log.find("node n2: path direct instead of vxlan: on-link on eth0, answers"), std::string::npos) << log;
}

// A wire that carries VXLAN only: the direct path is dead from one moment to the next.
TEST_F(PathSwitchTest, PlainPacketsThatNoLongerArrive_GoByVxlanWithinTenSeconds) {
    build({"auto", "auto", "auto"});
    // Probes, and pods' packets as they are; what is between the nodes' addresses by UDP is VXLAN.
    WireFilter filter(wire(), "ip protocol icmp");
    must_run(wire(), {"nft", "add rule bridge deaf forward ip saddr 10.244.0.0/16 drop"});
    expect_path(1, 2, "vxlan", notice_deadline);
    expect_path(2, 1, "vxlan", notice_deadline);
    EXPECT_TRUE(wait_until([&] { return ping(pod(1).ns(), pod(2).address(), 1).answered == 1; }, 2s));
    EXPECT_EQ(exchange_tcp(pod(1).endpoint(), pod(2).endpoint(), 5'000'000).problem, "");
    filter.remove();
    expect_path(1, 2, "direct", notice_deadline);
    expect_path(2, 1, "direct", notice_deadline);
    EXPECT_EQ(exchange_tcp(pod(1).endpoint(), pod(2).endpoint(), 5'000'000).problem, "");
}

TEST_F(PathSwitchTest, LostCarrier_TakesTheDirectPathBackAtOnce) {
    build({"auto", "auto", "auto"});
    ip(wire(), fmt::format("link set {} down", port(1).name));
    expect_path(1, 2, "vxlan", 1s);
    EXPECT_EQ(listed(1, 2).reason, "eth0 has no carrier");
    expect_path(2, 1, "vxlan", notice_deadline);
    ip(wire(), fmt::format("link set {} up", port(1).name));
    expect_path(1, 2, "direct", notice_deadline);
    expect_path(2, 1, "direct", notice_deadline);
    expect_ping(pod(1).ns(), pod(2).address());
}

TEST_F(PathSwitchTest, PeerThatIsRoutedFromNowOn_IsEncapsulatedAtOnce) {
    build({"auto", "auto", "auto"});
    UdpStream stream(pod(1).endpoint(), pod(2).endpoint());
    ip(node(1).ns(), "route add 192.168.0.2/32 via 192.168.0.254");
    expect_path(1, 2, "vxlan", 1s);
    EXPECT_EQ(listed(1, 2).reason, "behind gateway 192.168.0.254");
    std::this_thread::sleep_for(300ms);
    ip(node(1).ns(), "route delete 192.168.0.2/32 via 192.168.0.254");
    expect_path(1, 2, "direct", notice_deadline);
    const auto totals = stream.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
}

// A reply to ARP is no proof.
TEST_F(PathSwitchTest, RouterThatAnswersArpForAPeer_IsNotTakenForIt) {
    build({"auto", "auto", "auto"}, FarNode::proxied);
    expect_ping(node(1).ns(), node(3).address());
    const auto neighbour = ip(node(1).ns(), "neighbour show 192.168.0.3");
    ASSERT_NE(neighbour.find(mac_of({wire(), Underlay::bridge}).to_string()), std::string::npos)
        << "the router does not answer for node 3: " << neighbour;
    ASSERT_TRUE(wait_until([&] { return listed(1, 3).reason == "does not answer on eth0 (3 probes)"; }, 10s))
        << listed(1, 3).reason;
    EXPECT_EQ(listed(1, 3).path, "vxlan");
    EXPECT_EQ(listed(1, 2).path, "direct");
    Capture plain(far_wire(), port(3).name, [](const Frame& frame) {
        const auto packet = decode_ipv4_frame(frame.bytes);
        return packet && Ipv4Prefix::parse("10.244.0.0/16").value().contains(packet->ip.source);
    });
    expect_ping(pod(1).ns(), pod(3).address());
    EXPECT_EQ(exchange_tcp(pod(1).endpoint(), pod(3).endpoint(), 5'000'000).problem, "");
    EXPECT_EQ(exchange_tcp(pod(3).endpoint(), pod(1).endpoint(), 5'000'000).problem, "");
    EXPECT_TRUE(plain.frames().empty());
    // No probe is answered later either.
    std::this_thread::sleep_for(3s);
    EXPECT_EQ(listed(1, 3).path, "vxlan");
}

class HostGwTest : public ThreeNodes {
protected:
    void SetUp() override { build({"host-gw", "host-gw", "host-gw"}); }
};

TEST_F(HostGwTest, RoutedPeer_IsUnreachableByNameWithWhatToDo) {
    const std::string reason =
        "node n3 192.168.9.3 is behind the gateway 192.168.0.254: host-gw needs layer-2 adjacency; use overlay.mode "
        "auto or vxlan";
    EXPECT_EQ(listed(1, 3).path, "unreachable");
    EXPECT_EQ(listed(1, 3).reason, reason);
    const auto peers = subsystem(1, "peers");
    EXPECT_EQ(peers.at("state"), "degraded");
    EXPECT_EQ(peers.at("reason"), reason);
    EXPECT_EQ(node(1).agentctl({"status"}).status, 5);
    const auto log = node(1).agent().output();
    EXPECT_NE(log.find(reason), std::string::npos) << log;
}

TEST_F(HostGwTest, PodsOfARoutedPeer_AreAnsweredForWithUnreachable) {
    const auto outcome = probe_udp(pod(1).ns(), pod(3).address(), 64);
    EXPECT_EQ(outcome.kind, Kind::unreachable);
    EXPECT_EQ(outcome.from, node(1).address());
    // Nothing of a pod leaves by the default route, to the peer's own address neither.
    Capture leaked(wire(), port(1).name, [](const Frame& frame) {
        const auto packet = decode_ipv4_frame(frame.bytes);
        return packet && !frame.outgoing && Ipv4Prefix::parse("10.244.0.0/16").value().contains(packet->ip.source);
    });
    const auto before = node(1).drops("peer-unreachable");
    EXPECT_EQ(ping(pod(1).ns(), pod(3).address(), 1).answered, 0U);
    EXPECT_EQ(ping(pod(1).ns(), node(3).address(), 1).answered, 0U);
    EXPECT_EQ(node(1).drops("peer-unreachable"), before + 1);
    EXPECT_TRUE(leaked.frames().empty());
    expect_ping(node(1).ns(), node(3).address());
}

TEST_F(HostGwTest, AdjacentPeers_AreReachedAsTheyAreWithTheLinksMtu) {
    EXPECT_EQ(listed(1, 2).path, "direct");
    EXPECT_NE(ip(pod(1).ns(), "link show eth0").find("mtu 1500"), std::string::npos);
    Capture encapsulated(wire(), port(1).name, vxlan_frames(overlay_port));
    for (const auto offload : {Offload::on, Offload::off}) {
        set_offload_everywhere(offload);
        const auto stream = exchange_tcp(pod(1).endpoint(), pod(2).endpoint(), 50'000'000);
        EXPECT_EQ(stream.problem, "");
        EXPECT_EQ(stream.client_seen_as, pod(1).address());
        EXPECT_EQ(exchange_tcp(node(1).endpoint(), pod(2).endpoint(), 5'000'000).client_seen_as, node(1).address());
        EXPECT_EQ(exchange_tcp(pod(1).endpoint(), node(2).endpoint(), 5'000'000).client_seen_as, pod(1).address());
        EXPECT_EQ(echo_udp(pod(1).endpoint(), pod(2).endpoint(), {1, 1422, 1472, 1473, 8000}).problem, "");
        EXPECT_EQ(echo_udp(node(1).endpoint(), pod(2).endpoint(), {1, 1422, 1472, 1473, 8000}).problem, "");
    }
    EXPECT_TRUE(encapsulated.frames().empty());
}

TEST_F(HostGwTest, RestartAfterAKill_LosesNothing) {
    UdpStream stream(pod(1).endpoint(), pod(2).endpoint());
    node(1).kill_agent();
    node(1).start_agent();
    node(1).wait_for_status(5);
    expect_path(1, 2, "direct", 1s);
    std::this_thread::sleep_for(500ms);
    const auto totals = stream.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
}

TEST_F(HostGwTest, PeerThatFallsSilent_IsUnreachableByNameAndComesBack) {
    WireFilter filter(wire(), "ip saddr 192.168.0.1 ip daddr 192.168.0.2 icmp type echo-request");
    expect_path(1, 2, "unreachable", notice_deadline);
    EXPECT_NE(listed(1, 2).reason.find("node n2 192.168.0.2 does not answer on eth0 (3 probes): host-gw needs"),
              std::string::npos)
        << listed(1, 2).reason;
    EXPECT_EQ(probe_udp(pod(1).ns(), pod(2).address(), 64).kind, Kind::unreachable);
    filter.remove();
    expect_path(1, 2, "direct", notice_deadline);
    expect_ping(pod(1).ns(), pod(2).address());
}

}  // namespace
}  // namespace podlane::net
