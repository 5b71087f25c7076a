// SPDX-License-Identifier: Apache-2.0
// Pods and the outside, which reports whom it sees and captures everything that reaches it:
//
//   pod a (10.244.1.x) --- node 1 (192.168.0.1) --+
//   pod b (10.244.2.x) --- node 2 (192.168.0.2) --+--- outside (192.168.0.200), which has no route to pods
//
// Whatever the test: no frame with a pod's address, in its header or in a quotation, reaches the outside.
#include "test/net/harness/two_nodes.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace podlane::net {
namespace {

constexpr std::uint64_t bulk_bytes = 30'000'000;

// Any four bytes behind the Ethernet header that are an address of 10.244.0.0/16, where an address may stand: the IPv4
// header's two, and those of a packet that an ICMP error quotes.
bool shows_a_pod(const Frame& frame) {
    constexpr std::size_t ethernet = 14;
    const auto at = [&](std::size_t offset) {
        return frame.bytes.size() >= offset + 4 && frame.bytes[offset] == 10 && frame.bytes[offset + 1] == 244;
    };
    const bool is_ipv4 = frame.bytes.size() > 23 && frame.bytes[12] == 8 && frame.bytes[13] == 0;
    const bool is_error =
        is_ipv4 && frame.bytes[23] == 1 && frame.bytes.size() > 34 && frame.bytes[34] != 0 && frame.bytes[34] != 8;
    return is_ipv4 &&
           (at(ethernet + 12) || at(ethernet + 16) || (is_error && (at(ethernet + 28 + 12) || at(ethernet + 28 + 16))));
}

struct Settings {
    std::string name;
    std::string config;
};

class SnatTest : public TwoNodes {
protected:
    void SetUp() override {
        TwoNodes::SetUp();
        cluster_->underlay().join(outside_, "outside", outside_address);
        capture_ = std::make_unique<Capture>(outside_, Underlay::node_device, shows_a_pod);
    }
    void TearDown() override {
        EXPECT_EQ(capture_->frames().size(), 0U) << "a pod's address was seen outside";
        EXPECT_EQ(capture_->lost(), 0U);
    }

    [[nodiscard]] Endpoint outside() const { return {&outside_, outside_address, {}}; }
    // Packets that took the path at node 1.
    [[nodiscard]] std::uint64_t counted(const std::string& path) {
        return node(1).agentctl_json({"map", "get", "path_counters", path}).at("value").at("packets");
    }
    // Packets that were dropped at node 1, of all reasons.
    [[nodiscard]] std::string drops() {
        return node(1).agentctl_json({"map", "dump", "drop_counters"}).at(0).at("entries").dump();
    }
    void expect_seen_as_node(const Outcome& outcome, unsigned number = 1) {
        EXPECT_EQ(outcome.problem, "");
        EXPECT_EQ(outcome.client_seen_as, node(number).address());
    }

    static inline const auto outside_address = Ipv4Address::from_host(0xc0a800c8);
    Namespace outside_{"outside"};
    std::unique_ptr<Capture> capture_;
};

class SnatPaths : public SnatTest, public testing::WithParamInterface<Settings> {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.extra_config = GetParam().config;
        return options;
    }
};

INSTANTIATE_TEST_SUITE_P(Configured, SnatPaths,
                         testing::Values(Settings{"NoServices", ""},
                                         Settings{"Services", "serviceCIDRs: [10.96.0.0/12]\n"}),
                         [](const auto& test) { return test.param.name; });

TEST_P(SnatPaths, OutsideSeesTheNodesAddressAndPacketsStayOnTheFastPath) {
    expect_seen_as_node(exchange_tcp(pod_a().endpoint(), outside(), bulk_bytes));
    expect_seen_as_node(exchange_tcp(pod_b().endpoint(), outside(), bulk_bytes), 2);
    expect_seen_as_node(echo_udp(pod_a().endpoint(), outside(), {0, 1, 700, 1422}));
    expect_ping(pod_a().ns(), outside_address);
    EXPECT_GT(counted("pod-to-outside"), 300U);
    EXPECT_GT(counted("outside-to-pod"), 300U);
    EXPECT_EQ(counted("outside-to-stack"), 0U);
    EXPECT_EQ(drops(), "[]");
}

TEST_P(SnatPaths, DatagramsInFragments_ArriveBothWays) {
    expect_seen_as_node(echo_udp(pod_a().endpoint(), outside(), {1500, 8000, 40000}));
    EXPECT_EQ(drops(), "[]");
}

TEST_P(SnatPaths, ManyParallelConnections_AllWork) {
    const Outcome outcome =
        exchange_on_parallel_connections(pod_a().endpoint(), outside(), 1000, ClientPorts::translated);
    expect_seen_as_node(outcome);
    EXPECT_EQ(drops(), "[]");
}

// The router's ICMP errors quote the node's address and a port of the range; the pod must understand them.
TEST_P(SnatPaths, NarrowLinkOutside_IsFoundByPathMtuDiscovery) {
    const Namespace far("far");
    const auto far_address = Ipv4Address::from_host(0x0a090902);
    connect_by_veth({far, "eth0"}, {wire(), "to-far"}, 1280);
    ip(wire(), "address add 10.9.9.1/24 dev to-far");
    ip(far, fmt::format("address add {}/24 dev eth0", far_address));
    ip(far, "route add default via 10.9.9.1");
    set_sysctl(wire(), "net/ipv4/ip_forward", "1");
    Capture seen(far, "eth0", shows_a_pod);
    const Endpoint server{&far, far_address, {}};
    expect_seen_as_node(exchange_tcp(pod_a().endpoint(), server, 3'000'000));
    expect_seen_as_node(echo_udp(pod_a().endpoint(), server, {100, 1100}));
    const auto probe = probe_udp(pod_a().ns(), far_address, 2);
    EXPECT_EQ(probe.kind, ProbeOutcome::Kind::time_exceeded);
    EXPECT_EQ(probe.from, cluster_->underlay().router());
    EXPECT_EQ(probe_udp(pod_a().ns(), far_address, 3).kind, ProbeOutcome::Kind::reached);
    EXPECT_NE(echo_udp(pod_a().endpoint(), server, {1400}).problem, "") << "the first one is lost";
    EXPECT_THAT(ip(pod_a().ns(), fmt::format("route get {}", far_address)), testing::HasSubstr("mtu 1280"));
    expect_seen_as_node(echo_udp(pod_a().endpoint(), server, {1400}));  // in fragments now
    EXPECT_EQ(seen.frames().size(), 0U);
}

TEST_P(SnatPaths, EachHopOfAPath_AnswersToThePod) {
    auto probe = probe_udp(pod_a().ns(), outside_address, 1);
    EXPECT_EQ(probe.kind, ProbeOutcome::Kind::time_exceeded);
    probe = probe_udp(pod_a().ns(), outside_address, 2);
    EXPECT_EQ(probe.kind, ProbeOutcome::Kind::reached);
    EXPECT_EQ(probe.from, outside_address);
}

TEST_P(SnatPaths, HostsOwnTraffic_IsUntouchedBesideThePods) {
    expect_seen_as_node(exchange_tcp(node(1).endpoint(), outside(), 1'000'000));
    expect_seen_as_node(exchange_tcp(pod_a().endpoint(), outside(), 1'000'000));
    expect_seen_as_node(exchange_tcp(node(1).endpoint(), outside(), 1'000'000));
    expect_ping(node(1).ns(), outside_address);
}

TEST_P(SnatPaths, ConnectionOutlivesItsAgent) {
    TcpStream stream(pod_a().endpoint(), outside());
    ASSERT_TRUE(wait_until([&] { return stream.received() > 1'000'000; }, 8s));
    node(1).kill_agent();
    auto before = stream.received();
    EXPECT_TRUE(wait_until([&] { return stream.received() > before + 1'000'000; }, 8s));
    node(1).start_agent();
    before = stream.received();
    EXPECT_TRUE(wait_until([&] { return stream.received() > before + 50'000'000; }, 8s));
    EXPECT_EQ(stream.stop(), "");
}

class SnatSmallRange : public SnatTest {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.extra_config = "snat: {portRange: 20000-20063}\n";
        return options;
    }
};

TEST_F(SnatSmallRange, AsManyConnectionsAsPorts_Work) {
    EXPECT_EQ(exchange_on_parallel_connections(pod_a().endpoint(), outside(), 64, ClientPorts::translated).problem, "");
    EXPECT_EQ(drops(), "[]");
}

class SnatUntranslated : public SnatTest {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.extra_config = "snat: {nonMasqueradeCIDRs: [192.168.0.128/25]}\n";
        return options;
    }
    void TearDown() override {}
};

TEST_F(SnatUntranslated, OutsideSeesThePod) {
    ip(outside_, fmt::format("route add 10.244.1.0/24 via {}", node(1).address()));
    const Outcome outcome = exchange_tcp(pod_a().endpoint(), outside(), 1'000'000);
    EXPECT_EQ(outcome.problem, "");
    EXPECT_EQ(outcome.client_seen_as, pod_a().address());
    EXPECT_EQ(counted("stack-to-outside"), 0U);
}

}  // namespace
}  // namespace podlane::net
