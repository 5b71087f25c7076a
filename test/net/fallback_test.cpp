// SPDX-License-Identifier: Apache-2.0
// The ways that podlane takes where a kernel lacks something, on a kernel that need not lack it: --without-feature.
//
//   pod a, pod a2 --- node 1 (192.168.0.1) === VXLAN === node 2 (192.168.0.2) --- pod b
#include <sys/utsname.h>

#include <cstdio>

#include <gmock/gmock.h>

#include "test/net/harness/hooks.h"
#include "test/net/two_nodes_with_switches.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t bulk = 50'000'000;
const std::vector<std::size_t> datagram_sizes = {1, 1000, 1421, 1422, 1423, 2845, 8000};

using Without = std::vector<std::string>;

class FallbackTest : public TwoNodesWithSwitches, public testing::WithParamInterface<Without> {
protected:
    void SetUp() override {
        if (lacks("cgroup-memory") && !may_raise_the_memory_limit()) {
            GTEST_SKIP() << "the memory limit cannot be raised here: needs CAP_SYS_RESOURCE";
        }
        TwoNodesWithSwitches::SetUp();
    }
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.without = GetParam();
        return options;
    }
    [[nodiscard]] static bool lacks(const std::string& feature) {
        return std::ranges::find(GetParam(), feature) != GetParam().end();
    }
    void set_offload_everywhere(Offload offload) {
        for (const auto& device : {pod_a().device(), pod_b().device(), node(1).device(), node(2).device(),
                                   DeviceRef{wire(), "port-n1"}, DeviceRef{wire(), "port-n2"}}) {
            set_segmentation_offload(device, offload);
        }
    }
};

TEST_P(FallbackTest, Status_IsOkAndNamesTheWays) {
    const auto features = features_of(node(1));
    for (const auto& [feature, key, fallback] : std::vector<std::tuple<std::string, std::string, std::string>>{
             {"own-headers", "encapsulation", "tunnel device"},
             {"tcx", "hooks", "clsact"},
             {"cgroup-memory", "memory", "rlimit"},
             {"xdp-fragments", "xdp", "one buffer"}}) {
        if (lacks(feature)) {
            EXPECT_EQ(features.at(key), fallback);
        }
        const auto line = fmt::format("\n{}: {}\n", key, features.at(key).get<std::string>());
        EXPECT_THAT(node(1).agentctl({"status"}).out, HasSubstr(line));
    }
    EXPECT_EQ(features.size(), 4U);
}

// What a mainline kernel has from some version on is found there. Older ones may have it too: distributions backport.
TEST_P(FallbackTest, Features_AreFoundWhereTheKernelHasThem) {
    utsname system{};
    ASSERT_EQ(::uname(&system), 0);
    unsigned major = 0;
    unsigned minor = 0;
    ASSERT_EQ(std::sscanf(system.release, "%u.%u", &major, &minor), 2) << system.release;
    const auto features = features_of(node(1));
    for (const auto& [feature, key, since, way] :
         std::vector<std::tuple<std::string, std::string, std::pair<unsigned, unsigned>, std::string>>{
             {"own-headers", "encapsulation", {5, 13}, "own headers"},
             {"tcx", "hooks", {6, 6}, "tcx"},
             {"cgroup-memory", "memory", {5, 11}, "cgroup"},
             {"xdp-fragments", "xdp", {5, 18}, "several buffers"}}) {
        if (std::pair(major, minor) >= since && !lacks(feature)) {
            EXPECT_EQ(features.at(key), way) << system.release;
        }
    }
}

TEST_P(FallbackTest, EveryHook_RunsOneProgram) {
    expect_one_set_of_hooks(node(1), {overlay_device, Underlay::node_device, pod_a().host_device()});
}

TEST_P(FallbackTest, BulkTcpWithTso_ArrivesWholeInBothDirections) {
    set_offload_everywhere(Offload::on);
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), bulk).problem, "");
    EXPECT_EQ(exchange_tcp(pod_b().endpoint(), pod_a().endpoint(), bulk).problem, "");
}

TEST_P(FallbackTest, BulkTcpWithoutTso_ArrivesWholeInBothDirections) {
    set_offload_everywhere(Offload::off);
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), bulk).problem, "");
}

TEST_P(FallbackTest, BulkTcpSegmentedBehindTheEncapsulation_ArrivesWholeInBothDirections) {
    set_offload_everywhere(Offload::off);
    set_segmentation_offload(pod_a().device(), Offload::on);
    set_segmentation_offload(pod_b().device(), Offload::on);
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), bulk).problem, "");
}

TEST_P(FallbackTest, EveryOtherTraffic_Works) {
    Pod& neighbour = node(1).add_pod("a2");
    expect_ping(pod_a().ns(), pod_b().address());
    expect_ping(pod_a().ns(), neighbour.address());
    EXPECT_EQ(echo_udp(pod_a().endpoint(), pod_b().endpoint(), datagram_sizes).problem, "");
    EXPECT_EQ(exchange_on_parallel_connections(pod_a().endpoint(), pod_b().endpoint(), 50).problem, "");
    EXPECT_EQ(exchange_tcp(neighbour.endpoint(), pod_a().endpoint(), bulk).problem, "");
    EXPECT_EQ(exchange_tcp(node(1).endpoint(), pod_b().endpoint(), bulk).client_seen_as, node(1).address());
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), node(2).endpoint(), bulk).client_seen_as, pod_a().address());
}

// The peer cannot tell which way it was.
TEST_P(FallbackTest, RemotePodsPacket_IsTheSameVxlanFrame) {
    Capture on_wire(wire(), Underlay::port_of("n1"), vxlan_frames(overlay_port));
    ASSERT_TRUE(send_one_datagram(pod_a().endpoint(), pod_b().endpoint(), {.ttl = 33, .tos = 0x29}).arrived);
    const auto frame = on_wire.wait_for_frame(1s);
    ASSERT_TRUE(frame.has_value());
    const auto packet = decode_vxlan_frame(frame->bytes, overlay_port);
    ASSERT_TRUE(packet.has_value());

    EXPECT_EQ(packet->outer.ethernet.source, mac_of(node(1).device()));
    EXPECT_EQ(packet->outer.ethernet.destination, mac_of(node(2).device()));
    EXPECT_EQ(packet->outer.ip.source, node(1).address());
    EXPECT_EQ(packet->outer.ip.destination, node(2).address());
    EXPECT_EQ(packet->outer.ip.ttl, 64);
    EXPECT_EQ(packet->outer.ip.tos, 0x01);  // the inner ECN bits alone
    EXPECT_TRUE(packet->outer.ip_checksum_ok);
    EXPECT_EQ(packet->outer.udp_checksum, 0);
    EXPECT_EQ(packet->flags, vxlan_flags);
    EXPECT_EQ(packet->vni, 1U);
    EXPECT_EQ(packet->inner.ethernet.source, mac_of({node(1).ns(), overlay_device}));
    EXPECT_EQ(packet->inner.ethernet.destination, mac_of({node(2).ns(), overlay_device}));
    EXPECT_EQ(packet->inner.ip.ttl, 32);
    EXPECT_EQ(packet->inner.ip.tos, 0x29);
    EXPECT_TRUE(packet->inner.ip_checksum_ok);
}

INSTANTIATE_TEST_SUITE_P(Switches, FallbackTest,
                         testing::Values(Without{"tcx"}, Without{"own-headers"}, Without{"cgroup-memory"},
                                         Without{"tcx", "own-headers"}),
                         [](const auto& without) {
                             return without.param.size() > 1                 ? std::string("TcxAndOwnHeaders")
                                    : without.param.front() == "tcx"         ? "Tcx"
                                    : without.param.front() == "own-headers" ? "OwnHeaders"
                                                                             : "CgroupMemory";
                         });

}  // namespace
}  // namespace podlane::net
