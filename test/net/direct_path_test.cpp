// SPDX-License-Identifier: Apache-2.0
// overlay.mode auto: direct between adjacent nodes, VXLAN to the one behind a router.
//
//   pod 1 --- node 1 (192.168.0.1) --+
//                                    | wire ====== routers ====== node 3 (192.168.9.3) --- pod 3
//   pod 2 --- node 2 (192.168.0.2) --+
#include "test/net/harness/three_nodes.h"

namespace podlane::net {
namespace {

using Kind = ProbeOutcome::Kind;

constexpr std::uint64_t bulk = 50'000'000;
const std::vector<std::size_t> datagram_sizes = {1, 1400, 1422, 1423, 1472, 1473, 4000, 8000};

// What a node sent, in packets, ARP aside.
struct Carried {
    std::uint64_t plain = 0;    // of pods, and to pods, as they are
    std::uint64_t vxlan = 0;    // encapsulated ones
    std::uint64_t echo = 0;     // ICMP echo between nodes: the probes
    std::uint64_t strange = 0;  // anything else
};

// Counts what comes in by one port of the wire, in the kernel: a capture of bulk traffic would lose packets.
class PortCount {
public:
    explicit PortCount(DeviceRef port) : port_(std::move(port)) {
        RunOptions rules;
        rules.input = fmt::format(
            "table bridge sent {{\n"
            "  counter plain {{}}\n  counter vxlan {{}}\n  counter echo {{}}\n  counter strange {{}}\n"
            "  chain prerouting {{\n"
            "    type filter hook prerouting priority -300;\n"
            "    iifname != \"{}\" accept\n"
            "    ether type arp accept\n"
            "    ip saddr 10.244.0.0/16 counter name plain accept\n"
            "    ip daddr 10.244.0.0/16 counter name plain accept\n"
            "    udp dport {} counter name vxlan accept\n"
            "    icmp type {{ echo-request, echo-reply }} counter name echo accept\n"
            "    counter name strange\n"
            "  }}\n"
            "}}\n",
            port_.name, overlay_port);
        must_run(port_.ns, {"nft", "-f", "-"}, rules);
    }
    PortCount(const PortCount&) = delete;
    PortCount& operator=(const PortCount&) = delete;
    ~PortCount() { static_cast<void>(run(port_.ns, {"nft", "delete", "table", "bridge", "sent"})); }

    [[nodiscard]] Carried carried() const {
        return {packets("plain"), packets("vxlan"), packets("echo"), packets("strange")};
    }

private:
    [[nodiscard]] std::uint64_t packets(const std::string& counter) const {
        const auto listed =
            nlohmann::json::parse(must_run(port_.ns, {"nft", "-j", "list", "counter", "bridge", "sent", counter}));
        return listed.at("nftables").at(1).at("counter").at("packets");
    }
    DeviceRef port_;
};

class DirectPathTest : public ThreeNodes {
protected:
    void SetUp() override { build({"auto", "auto", "auto"}); }

    // What node `number` puts on its wire while `traffic` runs.
    template <typename Traffic>
    Carried sent_by(unsigned number, Traffic traffic) {
        const PortCount count(port(number));
        traffic();
        return count.carried();
    }

    // Every cell of the contract's table between two nodes, and the source that the receiver sees.
    void exchange_everything(unsigned from, unsigned to) {
        SCOPED_TRACE(fmt::format("node {} to node {}", from, to));
        expect_ping(pod(from).ns(), pod(to).address());
        expect_ping(node(from).ns(), pod(to).address());
        expect_ping(pod(from).ns(), node(to).address());
        for (const auto& [client, server] :
             {std::pair{pod(from).endpoint(), pod(to).endpoint()}, std::pair{node(from).endpoint(), pod(to).endpoint()},
              std::pair{pod(from).endpoint(), node(to).endpoint()}}) {
            const auto stream = exchange_tcp(client, server, bulk);
            EXPECT_EQ(stream.problem, "") << fmt::format("{} to {}", client.address, server.address);
            EXPECT_EQ(stream.client_seen_as, client.address);
            const auto datagrams = echo_udp(client, server, datagram_sizes);
            EXPECT_EQ(datagrams.problem, "") << fmt::format("{} to {}", client.address, server.address);
            EXPECT_EQ(datagrams.client_seen_as, client.address);
        }
        EXPECT_EQ(exchange_on_parallel_connections(pod(from).endpoint(), pod(to).endpoint(), 100).problem, "");
    }
    static void expect_plain(const Carried& carried) {
        EXPECT_GT(carried.plain, 100U);
        EXPECT_EQ(carried.vxlan, 0U);
        EXPECT_EQ(carried.strange, 0U);
    }
    static void expect_vxlan(const Carried& carried) {
        EXPECT_EQ(carried.plain, 0U);
        EXPECT_GT(carried.vxlan, 100U);
        EXPECT_EQ(carried.strange, 0U);
    }
};

TEST_F(DirectPathTest, NodeList_SaysWhichPathAndWhy) {
    EXPECT_EQ(listed(1, 2).path, "direct");
    EXPECT_EQ(listed(1, 2).reason, "on-link on eth0, answers");
    EXPECT_EQ(listed(1, 3).path, "vxlan");
    EXPECT_EQ(listed(1, 3).reason, "behind gateway 192.168.0.254");
    EXPECT_EQ(listed(3, 1).reason, "behind gateway 192.168.9.254");
    EXPECT_EQ(listed(1, 1).path, "local");
    EXPECT_EQ(subsystem(1, "peers").at("reason"), "1 direct, 1 by VXLAN");
    const auto status = node(1).agentctl_json({"status"});
    EXPECT_EQ(status.at("state"), "ok");
    EXPECT_EQ(status.at("details").at("pathSwitches"), 0);
}

TEST_F(DirectPathTest, BetweenAdjacentNodes_EverythingIsPlain) {
    for (const auto offload : {Offload::on, Offload::off}) {
        SCOPED_TRACE(offload == Offload::on ? "with TSO" : "without TSO");
        set_offload_everywhere(offload);
        expect_plain(sent_by(1, [&] { exchange_everything(1, 2); }));
        expect_plain(sent_by(2, [&] { exchange_everything(1, 2); }));
        expect_plain(sent_by(1, [&] { exchange_everything(2, 1); }));
    }
}

TEST_F(DirectPathTest, ToAndFromTheRoutedNode_EverythingIsVxlan) {
    for (const auto offload : {Offload::on, Offload::off}) {
        SCOPED_TRACE(offload == Offload::on ? "with TSO" : "without TSO");
        set_offload_everywhere(offload);
        expect_vxlan(sent_by(3, [&] { exchange_everything(1, 3); }));
        expect_vxlan(sent_by(3, [&] { exchange_everything(3, 2); }));
    }
    // On node 1's wire there are its probes of node 2 beside it.
    expect_vxlan(sent_by(1, [&] { exchange_everything(1, 3); }));
}

TEST_F(DirectPathTest, DirectPacket_IsThePodsOwnBetweenTheNodesMacs) {
    Capture on_wire(wire(), port(1).name, [&](const Frame& frame) {
        const auto packet = decode_ipv4_frame(frame.bytes);
        return packet && !frame.outgoing && packet->ip.source == pod(1).address();
    });
    const auto arrival = send_one_datagram(pod(1).endpoint(), pod(2).endpoint(), {.ttl = 33, .tos = 0x28});
    ASSERT_TRUE(arrival.arrived);
    EXPECT_EQ(arrival.ttl, 31);
    EXPECT_EQ(arrival.tos, 0x28);
    const auto frame = on_wire.wait_for_frame(1s);
    ASSERT_TRUE(frame.has_value());
    const auto packet = decode_ipv4_frame(frame->bytes);
    EXPECT_EQ(packet->ethernet.source, mac_of(node(1).device()));
    EXPECT_EQ(packet->ethernet.destination, mac_of(node(2).device()));
    EXPECT_EQ(packet->ip.destination, pod(2).address());
    EXPECT_EQ(packet->ip.ttl, 32);
    EXPECT_TRUE(packet->ip_checksum_ok);
}

TEST_F(DirectPathTest, FastPath_CarriesPodTrafficInBothDirections) {
    ASSERT_EQ(exchange_tcp(pod(1).endpoint(), pod(2).endpoint(), 1'000'000).problem, "");
    const auto packets = [&](unsigned number, const char* path) {
        const auto dump = node(number).agentctl_json({"map", "dump", "path_counters"});
        for (const auto& entry : dump.at(0).at("entries")) {
            if (entry.at("key").dump().find(path) != std::string::npos) {
                return entry.at("value").at("packets").get<std::uint64_t>();
            }
        }
        return std::uint64_t{0};
    };
    for (const unsigned number : {1U, 2U}) {
        EXPECT_GT(packets(number, "pod-to-direct"), 10U);
        EXPECT_GT(packets(number, "direct-to-pod"), 10U);
        EXPECT_EQ(packets(number, "stack-to-direct"), 0U);
    }
}

TEST_F(DirectPathTest, HostsRoutes_LeadToTheAdjacentPeerItselfAndElseIntoTheOverlay) {
    const auto direct = ip(node(1).ns(), "route show 10.244.2.0/24");
    EXPECT_NE(direct.find("via 192.168.0.2 dev eth0 proto 80 src 192.168.0.1"), std::string::npos) << direct;
    const auto overlay = ip(node(1).ns(), "route show 10.244.3.0/24");
    EXPECT_NE(overlay.find("dev podlane0 proto 80 scope link src 192.168.0.1"), std::string::npos) << overlay;
}

TEST_F(DirectPathTest, TtlOnTheWay_ExpiresAtEachNode) {
    for (const unsigned to : {2U, 3U}) {
        SCOPED_TRACE(to);
        const auto first = probe_udp(pod(1).ns(), pod(to).address(), 1);
        EXPECT_EQ(first.kind, Kind::time_exceeded);
        EXPECT_EQ(first.from, node(1).address());
        const auto second = probe_udp(pod(1).ns(), pod(to).address(), 2);
        EXPECT_EQ(second.kind, Kind::time_exceeded);
        EXPECT_EQ(second.from, node(to).address());
        const auto last = probe_udp(pod(1).ns(), pod(to).address(), 3);
        EXPECT_EQ(last.kind, Kind::reached);
        EXPECT_EQ(last.from, pod(to).address());
        EXPECT_EQ(probe_udp(pod(1).ns(), Ipv4Address::from_host(node(to).pod_cidr().address().host() + 250), 64).kind,
                  Kind::unreachable);
    }
}

TEST_F(DirectPathTest, RestartAfterAKill_KeepsThePathsAndLosesNothing) {
    UdpStream adjacent(pod(1).endpoint(), pod(2).endpoint());
    UdpStream routed(pod(1).endpoint(), pod(3).endpoint());
    std::this_thread::sleep_for(300ms);
    const auto carried = sent_by(1, [&] {
        node(1).kill_agent();
        node(1).start_agent();
        node(1).wait_ready();
        std::this_thread::sleep_for(1500ms);
    });
    EXPECT_EQ(listed(1, 2).path, "direct");
    EXPECT_GT(carried.plain, 500U);
    const auto totals = adjacent.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
    const auto far_totals = routed.stop();
    EXPECT_EQ(far_totals.echoed, far_totals.sent);
    EXPECT_EQ(node(1).agent().output().find("instead of"), std::string::npos) << "a path was switched";
}

TEST_F(DirectPathTest, FlushedRoutes_AreBackWithTheirPathsAndNothingIsLost) {
    UdpStream adjacent(pod(1).endpoint(), pod(2).endpoint());
    UdpStream from_host(node(1).endpoint(), pod(2).endpoint());
    UdpStream routed(pod(1).endpoint(), pod(3).endpoint());
    const auto routes = ip(node(1).ns(), "route show proto 80");
    ip(node(1).ns(), "route flush proto 80");
    EXPECT_TRUE(wait_until([&] { return ip(node(1).ns(), "route show proto 80") == routes; }, 5s));
    EXPECT_EQ(listed(1, 2).path, "direct");
    for (UdpStream* stream : {&adjacent, &routed}) {
        const auto totals = stream->stop();
        EXPECT_EQ(totals.echoed, totals.sent);
    }
    const auto host_totals = from_host.stop();
    std::printf("the host lost %zu of %zu datagrams\n", host_totals.sent - host_totals.echoed, host_totals.sent);
}

// Each node chooses for what it sends itself.
class AsymmetricPathTest : public DirectPathTest {
protected:
    void SetUp() override { build({"auto", "vxlan", "auto"}); }
};

TEST_F(AsymmetricPathTest, OneDirectAndTheOtherByVxlan_CarryEverything) {
    EXPECT_EQ(listed(1, 2).path, "direct");
    EXPECT_EQ(listed(2, 1).path, "vxlan");
    for (const auto offload : {Offload::on, Offload::off}) {
        set_offload_everywhere(offload);
        expect_plain(sent_by(1, [&] { exchange_everything(1, 2); }));
        expect_vxlan(sent_by(2, [&] { exchange_everything(2, 1); }));
    }
}

// "between nodes podlane sends nothing but VXLAN (and ARP)"
class VxlanModeTest : public DirectPathTest {
protected:
    void SetUp() override { build({"vxlan", "vxlan", "vxlan"}); }
};

TEST_F(VxlanModeTest, NodesOnOneWire_SendNothingButVxlanAndArp) {
    EXPECT_EQ(listed(1, 2).path, "vxlan");
    EXPECT_EQ(listed(1, 2).reason, "mode is vxlan; on-link on eth0");
    const auto carried = sent_by(1, [&] {
        exchange_everything(1, 2);
        // More than one interval of the probes that there must not be.
        std::this_thread::sleep_for(3s);
    });
    expect_vxlan(carried);
    EXPECT_EQ(carried.echo, 0U);
}

}  // namespace
}  // namespace podlane::net
