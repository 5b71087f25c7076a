// SPDX-License-Identifier: Apache-2.0
// What pods send to the outside; harness/snat.h has the topology.
#include <gmock/gmock.h>

#include "test/net/harness/snat.h"

namespace podlane::net {
namespace {

constexpr std::uint64_t bulk_bytes = 30'000'000;

struct Settings {
    std::string name;
    std::string config;
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
    EXPECT_GT(bytes_counted("pod-to-outside"), at_most_bulk_limit(bulk_bytes));
    EXPECT_GT(bytes_counted("outside-to-pod"), at_most_bulk_limit(bulk_bytes));
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
    join_far(far, 1280);
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
