// SPDX-License-Identifier: Apache-2.0
// A node with several ways out:
//
//                      +-- eth0, 192.168.0.1 --- wire ------- outside, 192.168.0.200 --+
//   pod a --- node 1 --+                                                               +-- both are 198.51.100.1
//   10.244.1.x         +-- eth1, 172.20.0.1 --- second wire --- outside 2, 172.20.0.200 --+
//
// Whatever the test, and whichever way the routes lead: no packet with a pod's address, in its header or in a
// quotation, reaches an outside.
#include <csignal>
#include <functional>

#include <gmock/gmock.h>

#include "test/net/harness/hooks.h"
#include "test/net/harness/sandbox.h"
#include "test/net/harness/socket.h"
#include "test/net/harness/tun.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

constexpr std::uint64_t bulk_bytes = 20'000'000;
constexpr std::size_t ethernet_header = 14;

// A packet whose IPv4 header begins at `start` and that has an address of 10.244.0.0/16, or quotes one.
FrameFilter shows_a_pod(std::size_t start) {
    return [start](const Frame& frame) {
        const auto byte = [&](std::size_t offset) {
            return offset < frame.bytes.size() ? frame.bytes[offset] : std::uint8_t{0};
        };
        const auto has_pod = [&](std::size_t header) {
            return (byte(header + 12) == 10 && byte(header + 13) == 244) ||
                   (byte(header + 16) == 10 && byte(header + 17) == 244);
        };
        constexpr std::size_t quoted = 28;  // IPv4 and ICMP headers
        const bool is_icmp_error = byte(start + 9) == 1 && (byte(start + 20) == 3 || byte(start + 20) == 11);
        return byte(start) >> 4U == 4 && (has_pod(start) || (is_icmp_error && has_pod(start + quoted)));
    };
}

FrameFilter packets_from(std::size_t start, Ipv4Address source) {
    return [start, source](const Frame& frame) {
        const auto packet = ByteView(frame.bytes).subspan(std::min(start, frame.bytes.size()));
        const auto word = source.host();
        return packet.size() >= 20 && packet[12] == (word >> 24U & 0xffU) && packet[13] == (word >> 16U & 0xffU) &&
               packet[14] == (word >> 8U & 0xffU) && packet[15] == (word & 0xffU);
    };
}

// A new flow every millisecond: one datagram each, from a port of its own.
class NewFlows {
public:
    NewFlows(const Namespace& ns, Ipv4Address to)
        : sender_([&ns, to](const std::stop_token& stop) {
              ns.enter_this_thread();
              while (!stop.stop_requested()) {
                  const Fd socket = timed_socket(SOCK_DGRAM, 50ms);
                  if (connect_to(socket, {to, 9})) {
                      [[maybe_unused]] const auto sent = ::send(socket.get(), "new", 3, 0);
                  }
                  std::this_thread::sleep_for(1ms);
              }
          }) {}

private:
    std::jthread sender_;
};

// One socket's datagrams, every 20 ms, as from a port that is never given up (WireGuard, SIP).
class LongFlow {
public:
    static constexpr std::uint16_t port = 5060;
    LongFlow(const Namespace& ns, Ipv4Address to)
        : sender_([&ns, to](const std::stop_token& stop) {
              const Fd socket = client_socket(ns, SOCK_DGRAM, 50ms);
              if (!connect_to(socket, {to, port})) {
                  return;
              }
              while (!stop.stop_requested()) {
                  [[maybe_unused]] const auto sent = ::send(socket.get(), "long", 4, 0);
                  std::this_thread::sleep_for(20ms);
              }
          }) {}

private:
    std::jthread sender_;
};

// Its packets, from this address.
FrameFilter long_flow_from(Ipv4Address source) {
    return [source](const Frame& frame) {
        constexpr std::size_t destination_port = ethernet_header + 22;
        return packets_from(ethernet_header, source)(frame) && frame.bytes.size() > destination_port + 1 &&
               frame.bytes[ethernet_header + 9] == IPPROTO_UDP &&
               (frame.bytes[destination_port] << 8U | frame.bytes[destination_port + 1]) == LongFlow::port;
    };
}

struct Settings {
    std::string name;
    std::string config;
};

class SnatUplinks : public TwoNodes, public testing::WithParamInterface<Settings> {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.extra_config = GetParam().config;
        return options;
    }
    void SetUp() override {
        TwoNodes::SetUp();
        cluster_->underlay().join(outside_, "outside", outside_address);
        for (const auto* outside : {&outside_, &outside2_}) {
            ip(*outside, fmt::format("address add {}/32 dev lo", far));
        }
        watch(outside_, "eth0", ethernet_header);
        add_nic();
        // A flow that begins before the agent knows the device's address has the node's at first.
        ASSERT_TRUE(
            wait_until([&] { return has_hook("eth1 from-uplink") && knows_device(nic_address.to_string()); }, 5s));
    }
    void TearDown() override {
        for (const auto& capture : captures_) {
            EXPECT_EQ(capture->frames().size(), 0U) << "a pod's address was seen outside";
            EXPECT_EQ(capture->lost(), 0U);
        }
    }
    // Node 1's eth1, and a sniffer at its other end.
    void add_nic() {
        connect_by_veth({node(1).ns(), "eth1"}, {outside2_, "eth0"}, 1500);
        watch(outside2_, "eth0", ethernet_header);
        ip(node(1).ns(), fmt::format("address add {}/24 dev eth1", nic_address));
        ip(outside2_, fmt::format("address add {}/24 dev eth0", outside2_address));
    }
    void watch(const Namespace& ns, const std::string& device, std::size_t start) {
        captures_.push_back(std::make_unique<Capture>(ns, device, shows_a_pod(start)));
    }
    void route_far_via(Ipv4Address next_hop) {
        ip(node(1).ns(), fmt::format("route replace {}/32 via {}", far, next_hop));
    }
    [[nodiscard]] bool has_hook(const std::string& name) {
        return node(1).agentctl({"link", "list"}).out.find(name) != std::string::npos;
    }
    // What of a device the programs know stands in a line of this.
    [[nodiscard]] bool knows_device(const std::string& text) {
        return node(1).agentctl({"map", "dump", "nat_address_by_device"}).out.find(text) != std::string::npos;
    }
    [[nodiscard]] Endpoint outside2() const { return {&outside2_, outside2_address, {}}; }
    [[nodiscard]] static Endpoint far_at(const Namespace& outside) { return {&outside, far, {}}; }
    [[nodiscard]] std::uint64_t counted(const std::string& path) {
        return node(1).agentctl_json({"map", "get", "path_counters", path}).at("value").at("packets");
    }
    [[nodiscard]] std::string drops() {
        return node(1).agentctl_json({"map", "dump", "drop_counters"}).at(0).at("entries").dump();
    }
    void expect_everything_works(const Endpoint& server, Ipv4Address seen_as) {
        for (const Outcome& outcome : {exchange_tcp(pod_a().endpoint(), server, bulk_bytes),
                                       echo_udp(pod_a().endpoint(), server, {0, 1, 700, 1400})}) {
            EXPECT_EQ(outcome.problem, "");
            EXPECT_EQ(outcome.client_seen_as, seen_as);
        }
        expect_ping(pod_a().ns(), server.address);
        const auto probe = probe_udp(pod_a().ns(), server.address, 2);
        EXPECT_EQ(probe.kind, ProbeOutcome::Kind::reached) << "an ICMP error of the outside's";
        EXPECT_EQ(probe.from, server.address);
    }

    static inline const auto outside_address = Ipv4Address::from_host(0xc0a800c8);
    static inline const auto nic_address = Ipv4Address::from_host(0xac140001);
    static inline const auto outside2_address = Ipv4Address::from_host(0xac1400c8);
    static inline const auto far = Ipv4Address::from_host(0xc6336401);
    Namespace outside_{"outside"};
    Namespace outside2_{"outside2"};
    std::vector<std::unique_ptr<Capture>> captures_;
};

INSTANTIATE_TEST_SUITE_P(Configured, SnatUplinks,
                         testing::Values(Settings{"NoServices", ""},
                                         Settings{"Services", "serviceCIDRs: [10.96.0.0/12]\n"}),
                         [](const auto& test) { return test.param.name; });

TEST_P(SnatUplinks, SecondNic_ShowsItsOwnAddressAndHasTheFastPath) {
    expect_everything_works(outside2(), nic_address);
    expect_everything_works({&outside_, outside_address, {}}, node(1).address());
    EXPECT_GT(counted("pod-to-outside"), 200U);
    EXPECT_GT(counted("outside-to-pod"), 200U);
    EXPECT_EQ(counted("outside-to-stack"), 0U);
    EXPECT_EQ(drops(), "[]");
    EXPECT_EQ(count_hooks({node(1).ns(), "eth1"}), count_hooks({node(1).ns(), "eth0"}));
}

// Flows begin all the time while the device comes, gets its address and a route, and goes again.
TEST_P(SnatUplinks, NicThatComesUnderTraffic_IsGuardedFromItsFirstPacket) {
    ip(node(1).ns(), "link delete eth1");
    const NewFlows flows(pod_a().ns(), far);
    for (int round = 0; round < 4; ++round) {
        add_nic();
        Capture arrived(outside2_, "eth0", packets_from(ethernet_header, nic_address));
        route_far_via(outside2_address);
        EXPECT_TRUE(arrived.wait_for_frame(5s)) << "new flows take the new way";
        ip(node(1).ns(), "link delete eth1");
    }
}

TEST_P(SnatUplinks, RouteThatMoves_TakesNewFlowsAlongAndLeaksNoneOfTheOld) {
    route_far_via(outside_address);
    const NewFlows flows(pod_a().ns(), far);
    for (int round = 0; round < 3; ++round) {
        TcpStream first(pod_a().endpoint(), far_at(outside_));
        ASSERT_TRUE(wait_until([&] { return first.received() > 1'000'000; }, 8s));
        route_far_via(outside2_address);
        const Outcome moved = exchange_tcp(pod_a().endpoint(), far_at(outside2_), 1'000'000);
        EXPECT_EQ(moved.problem, "");
        EXPECT_EQ(moved.client_seen_as, nic_address);
        route_far_via(outside_address);
        const Outcome back = exchange_tcp(pod_a().endpoint(), far_at(outside_), 1'000'000);
        EXPECT_EQ(back.problem, "");
        EXPECT_EQ(back.client_seen_as, node(1).address());
        [[maybe_unused]] const auto problem = first.stop();  // the second outside may have reset it
    }
}

TEST_P(SnatUplinks, ContainerBehindABridge_SeesTheBridgesAddress) {
    const Namespace container("container");
    const auto bridge_address = Ipv4Address::from_host(0xac110001);
    const auto container_address = Ipv4Address::from_host(0xac110002);
    ip(node(1).ns(), "link add docker0 type bridge");
    ip(node(1).ns(), fmt::format("address add {}/16 dev docker0", bridge_address));
    ip(node(1).ns(), "link set docker0 up");
    connect_by_veth({container, "eth0"}, {node(1).ns(), "veth-c"}, 1500);
    watch(container, "eth0", ethernet_header);
    ip(node(1).ns(), "link set veth-c master docker0");
    ip(container, fmt::format("address add {}/16 dev eth0", container_address));
    ip(container, fmt::format("route add default via {}", bridge_address));
    ASSERT_TRUE(wait_until([&] { return has_hook("docker0 from-uplink") && !has_hook("veth-c from-uplink"); }, 5s));
    expect_everything_works({&container, container_address, {}}, bridge_address);
    EXPECT_EQ(drops(), "[]");
}

// Packets of a macvlan pass the hook of the device below as well: nothing is translated twice.
TEST_P(SnatUplinks, MacvlanOnANic_TranslatesOnceForPodsAndHost) {
    const auto macvlan_address = Ipv4Address::from_host(0xac140003);
    ip(node(1).ns(), "link add mv0 link eth1 type macvlan mode bridge");
    ip(node(1).ns(), fmt::format("address add {}/32 dev mv0", macvlan_address));
    ip(node(1).ns(), "link set mv0 up");
    ip(node(1).ns(), fmt::format("route add {}/32 dev mv0 scope link src {}", outside2_address, macvlan_address));
    ASSERT_TRUE(wait_until([&] { return has_hook("mv0 from-uplink"); }, 5s));
    expect_everything_works(outside2(), macvlan_address);
    EXPECT_EQ(exchange_tcp(node(1).endpoint(), outside2(), 1'000'000).problem, "");
    EXPECT_EQ(counted("host-to-outside"), 0U);
    EXPECT_EQ(drops(), "[]");
}

TEST_P(SnatUplinks, AddressOfTheDeviceThatChanges_IsTakenByNewFlowsAndByThoseThatNeverEnd) {
    const LongFlow flow(pod_a().ns(), outside2_address);
    EXPECT_TRUE(Capture(outside2_, "eth0", long_flow_from(nic_address)).wait_for_frame(5s));
    TcpStream stream(pod_a().endpoint(), outside2());
    ASSERT_TRUE(wait_until([&] { return stream.received() > 1'000'000; }, 8s));
    const auto second = Ipv4Address::from_host(0xac140007);
    ip(node(1).ns(), fmt::format("address add {}/24 dev eth1", second));  // secondary
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), outside2(), 1000).client_seen_as, nic_address);
    set_sysctl(node(1).ns(), "net/ipv4/conf/eth1/promote_secondaries", "1");
    ip(node(1).ns(), fmt::format("address delete {}/24 dev eth1", nic_address));
    EXPECT_TRUE(
        wait_until([&] { return exchange_tcp(pod_a().endpoint(), outside2(), 1000).client_seen_as == second; }, 5s));
    EXPECT_TRUE(Capture(outside2_, "eth0", long_flow_from(second)).wait_for_frame(5s));
    [[maybe_unused]] const auto problem = stream.stop();  // replies find its address no more
}

// The agent sees a device's new address late, and what leaves meanwhile has the node's.
class SnatLateAddress : public SnatUplinks {
protected:
    void expect_address_is_taken(const std::function<void()>& send_away, const std::function<void()>& bring_back) {
        ip(node(1).ns(), fmt::format("address delete {}/24 dev eth1", nic_address));
        ASSERT_TRUE(wait_until([&] { return !knows_device(nic_address.to_string()); }, 5s));
        send_away();
        ip(node(1).ns(), fmt::format("address add {}/24 dev eth1", nic_address));
        const LongFlow flow(pod_a().ns(), outside2_address);
        EXPECT_TRUE(Capture(outside2_, "eth0", long_flow_from(node(1).address())).wait_for_frame(5s));
        ip(outside2_, fmt::format("route add {}/32 dev eth0", node(1).address()));
        TcpStream answered(pod_a().endpoint(), outside2());
        ASSERT_TRUE(wait_until([&] { return answered.received() > 1'000'000; }, 8s));
        bring_back();
        EXPECT_TRUE(Capture(outside2_, "eth0", long_flow_from(nic_address)).wait_for_frame(10s));
        const auto before = answered.received();
        EXPECT_TRUE(wait_until([&] { return answered.received() > before + 1'000'000; }, 8s));
        EXPECT_EQ(answered.stop(), "");
    }
};
INSTANTIATE_TEST_SUITE_P(Configured, SnatLateAddress,
                         testing::Values(Settings{"NoServices", ""},
                                         Settings{"Services", "serviceCIDRs: [10.96.0.0/12]\n"}),
                         [](const auto& test) { return test.param.name; });

TEST_P(SnatLateAddress, OfABusyAgent_IsTakenByFlowsThatNobodyHasAnswered) {
    expect_address_is_taken([&] { ASSERT_EQ(::kill(node(1).agent().pid(), SIGSTOP), 0); },
                            [&] { ASSERT_EQ(::kill(node(1).agent().pid(), SIGCONT), 0); });
}

TEST_P(SnatLateAddress, WhileNoAgentRan_IsTakenByFlowsThatNobodyHasAnswered) {
    expect_address_is_taken([&] { node(1).kill_agent(); }, [&] { node(1).start_agent(); });
}

TEST_P(SnatUplinks, NicWithASmallerMtuThanThePods_CarriesWhatFits) {
    // Segments are cut at eth1, and one that is too large is lost behind it. The outside knows of no limit for the pod.
    ip(node(1).ns(), "link set eth1 mtu 1300 gso_max_segs 1");
    ip(outside2_, "link set eth0 mtu 1300");
    ip(outside2_, fmt::format("route replace 172.20.0.0/24 dev eth0 src {} advmss 1410", outside2_address));
    ASSERT_TRUE(wait_until([&] { return knows_device("1300"); }, 5s));
    const Outcome outcome = exchange_tcp(pod_a().endpoint(), outside2(), bulk_bytes);
    EXPECT_EQ(outcome.problem, "");
    EXPECT_EQ(outcome.client_seen_as, nic_address);
}

TEST_P(SnatUplinks, WithoutAnAgent_OldAndNewFlowsGoOn) {
    route_far_via(outside2_address);
    TcpStream stream(pod_a().endpoint(), outside2());
    ASSERT_TRUE(wait_until([&] { return stream.received() > 1'000'000; }, 8s));
    node(1).kill_agent();
    const auto before = stream.received();
    EXPECT_TRUE(wait_until([&] { return stream.received() > before + 1'000'000; }, 8s));
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), far_at(outside2_), 1'000'000).client_seen_as, nic_address);
    // A device that comes now has no hook, and nothing leaves by it.
    const Namespace outside3("outside3");
    connect_by_veth({node(1).ns(), "eth2"}, {outside3, "eth0"}, 1500);
    watch(outside3, "eth0", ethernet_header);
    ip(node(1).ns(), "address add 172.21.0.1/24 dev eth2");
    ip(outside3, "address add 172.21.0.2/24 dev eth0");
    EXPECT_EQ(ping(pod_a().ns(), Ipv4Address::from_host(0xac150002), 1).answered, 0U);
    EXPECT_GT(node(1).drops("nat-unknown-device"), 0U);
    node(1).start_agent();
    node(1).wait_ready();
    expect_ping(pod_a().ns(), Ipv4Address::from_host(0xac150002));
    EXPECT_EQ(stream.stop(), "");
}

TEST_P(SnatUplinks, TunDevice_TranslatesBothWays) {
    const Namespace far_end("tunnel");
    const auto far_end_address = Ipv4Address::from_host(0xac160002);
    const TunWire wire({node(1).ns(), "tun0"}, {far_end, "tun0"});
    watch(far_end, "tun0", 0);
    ip(node(1).ns(), "address add 172.22.0.1/24 dev tun0");
    ip(far_end, fmt::format("address add {}/24 dev tun0", far_end_address));
    // The device may have its hook before its address: a flow of that moment keeps the node's.
    const auto knows = [&] {
        return node(1).agentctl({"map", "dump", "nat_address_by_device"}).out.contains("172.22.0.1");
    };
    ASSERT_TRUE(wait_until([&] { return has_hook("tun0 to-l3-uplink") && knows(); }, 10s));
    expect_everything_works({&far_end, far_end_address, {}}, Ipv4Address::from_host(0xac160001));
    EXPECT_EQ(counted("outside-to-pod"), 0U) << "replies go through the stack";
    EXPECT_GT(counted("outside-to-stack"), 20U);
    EXPECT_EQ(drops(), "[]");
}

TEST_P(SnatUplinks, FlowsThatMoveOntoATun_DoNotLeak) {
    const Namespace far_end("tunnel");
    const TunWire wire({node(1).ns(), "tun0"}, {far_end, "tun0"});
    watch(far_end, "tun0", 0);
    ip(node(1).ns(), "address add 172.22.0.1/24 dev tun0");
    ip(far_end, "address add 172.22.0.2/24 dev tun0");
    ip(far_end, fmt::format("address add {}/32 dev lo", far));
    route_far_via(outside_address);
    TcpStream stream(pod_a().endpoint(), far_at(outside_));
    const NewFlows flows(pod_a().ns(), far);
    ASSERT_TRUE(wait_until([&] { return stream.received() > 1'000'000; }, 8s));
    Capture arrived(far_end, "tun0", packets_from(0, Ipv4Address::from_host(0xac160001)));
    ip(node(1).ns(), fmt::format("route replace {}/32 dev tun0", far));
    EXPECT_TRUE(arrived.wait_for_frame(5s));
    std::this_thread::sleep_for(500ms);
    [[maybe_unused]] const auto problem = stream.stop();
}

class SnatUplinkHooks : public SnatUplinks {};
INSTANTIATE_TEST_SUITE_P(Configured, SnatUplinkHooks, testing::Values(Settings{"NoServices", ""}),
                         [](const auto& test) { return test.param.name; });

// The way to node 2 leads out of eth1 for a while: eth1 becomes an entrance for peers, and is none again.
TEST_P(SnatUplinkHooks, DeviceThatAPathMovesTo_ChangesItsHooksAndBack) {
    TcpStream stream(pod_a().endpoint(), outside2());
    ip(node(1).ns(), fmt::format("route add {}/32 via {}", node(2).address(), outside2_address));
    EXPECT_TRUE(wait_until([&] { return has_hook("eth1 from-underlay") && !has_hook("eth1 from-uplink"); }, 5s));
    EXPECT_EQ(count_hooks({node(1).ns(), "eth1"}), count_hooks({node(1).ns(), "eth0"}));
    ip(node(1).ns(), fmt::format("route delete {}/32", node(2).address()));
    EXPECT_TRUE(wait_until([&] { return has_hook("eth1 from-uplink") && !has_hook("eth1 from-underlay"); }, 5s));
    const auto before = stream.received();
    EXPECT_TRUE(wait_until([&] { return stream.received() > before + 1'000'000; }, 8s));
    EXPECT_EQ(stream.stop(), "");
}

TEST_P(SnatUplinkHooks, HooksThatSomebodyRemoves_ComeBackAndCleanupRemovesThem) {
    const auto attached = count_hooks({node(1).ns(), "eth1"});
    const TunWire wire({node(1).ns(), "tun0"}, {outside2_, "tun0"});
    ASSERT_TRUE(wait_until([&] { return has_hook("tun0 to-l3-uplink"); }, 5s));
    std::filesystem::remove_all(node(1).bpffs() / "v1" / "links");
    EXPECT_TRUE(wait_until([&] { return count_hooks({node(1).ns(), "eth1"}) == attached; }, 8s));
    EXPECT_EQ(node(1).stop_agent(), 0);
    EXPECT_EQ(count_hooks({node(1).ns(), "eth1"}), attached) << "without the agent they stay";
    const auto cleaned = run(node(1).ns(), {(program_dir() / "podlane-agent").string(), "cleanup", "--config",
                                            node(1).config_file().string()});
    EXPECT_TRUE(cleaned.ok()) << cleaned.describe();
    EXPECT_EQ(count_hooks({node(1).ns(), "eth1"}), HookCount{});
    EXPECT_EQ(count_hooks({node(1).ns(), "tun0"}), HookCount{});
    node(1).start_agent();
    node(1).wait_ready();
}

}  // namespace
}  // namespace podlane::net
