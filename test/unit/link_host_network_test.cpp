// SPDX-License-Identifier: Apache-2.0
#include "agent/link/host_network.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

const MacAddress pod_mac({2, 0, 0, 0, 0, 5});

HostNetworkInputs node() {
    return {.overlay = WantedOverlayDevice{.name = "podlane0",
                                           .port = 8472,
                                           .mac = MacAddress({2, 0x50, 10, 0, 0, 1}),
                                           .mtu = 1450,
                                           .addresses = {address("10.244.1.0"), address("10.0.0.1")}},
            .node_address = address("10.0.0.1"),
            .peers = {},
            .cluster_cidrs = {},
            .pods = {}};
}

TEST(LinkHostNetworkTest, Peer_IsReachedThroughTheOverlayWithItsFirstAddress) {
    auto inputs = node();
    inputs.peers = {{.pod_cidr = prefix("10.244.2.0/24"), .mtu = 1400}};
    EXPECT_THAT(build_host_network(inputs).routes, ElementsAre(WantedRoute{.destination = prefix("10.244.2.0/24"),
                                                                           .device = "podlane0",
                                                                           .source = address("10.244.1.0"),
                                                                           .mtu = 1400}));
}

TEST(LinkHostNetworkTest, DirectPeer_IsReachedThroughItselfWithTheNodesAddress) {
    auto inputs = node();
    inputs.peers = {
        {.pod_cidr = prefix("10.244.2.0/24"), .direct = DirectWay{.device = "eth0", .gateway = address("10.0.0.2")}}};
    EXPECT_THAT(build_host_network(inputs).routes, ElementsAre(WantedRoute{.destination = prefix("10.244.2.0/24"),
                                                                           .device = "eth0",
                                                                           .gateway = address("10.0.0.2"),
                                                                           .source = address("10.0.0.1")}));
}

TEST(LinkHostNetworkTest, ClusterCidr_IsUnreachableWithTheHighestMetric) {
    auto inputs = node();
    inputs.cluster_cidrs = {prefix("10.244.0.0/16")};
    EXPECT_THAT(build_host_network(inputs).routes,
                ElementsAre(WantedRoute{
                    .destination = prefix("10.244.0.0/16"), .kind = RouteKind::unreachable, .metric = 4294967295}));
}

TEST(LinkHostNetworkTest, LocalPod_HasARouteANeighbourAndItsDeviceSettings) {
    auto inputs = node();
    inputs.pods = {{.ip = address("10.244.1.5"), .mac = pod_mac, .host_interface = "veth5"}};
    const auto network = build_host_network(inputs);
    EXPECT_THAT(network.routes,
                ElementsAre(WantedRoute{
                    .destination = prefix("10.244.1.5/32"), .device = "veth5", .source = address("10.0.0.1")}));
    EXPECT_THAT(network.neighbours,
                ElementsAre(WantedNeighbour{.device = "veth5", .address = address("10.244.1.5"), .mac = pod_mac}));
    EXPECT_THAT(network.pod_devices, ElementsAre("veth5"));
    EXPECT_THAT(
        network.sysctls,
        Contains(WantedSysctl{.key = "net/ipv4/conf/veth5/rp_filter", .value = "0", .reach = SysctlReach::own_device}));
}

TEST(LinkHostNetworkTest, PodBehindABridge_HasNoRouteOfItsOwnAndIsAnsweredForOthers) {
    auto inputs = node();
    inputs.pods = {{.ip = address("10.244.1.5"), .mac = pod_mac, .host_interface = "veth5", .way = WayToPod::bridge},
                   {.ip = address("10.244.1.6"), .mac = pod_mac, .host_interface = "veth6", .way = WayToPod::bridge}};
    inputs.pod_bridges = {"cni0"};
    const auto network = build_host_network(inputs);
    EXPECT_THAT(network.routes, IsEmpty());
    EXPECT_THAT(network.neighbours, IsEmpty());
    EXPECT_THAT(network.pod_devices, IsEmpty());
    EXPECT_THAT(network.pod_bridging, ElementsAre("cni0", "veth5", "veth6"));
    const WantedSysctl proxy{.key = "net/ipv4/conf/cni0/proxy_arp", .value = "1", .reach = SysctlReach::host};
    EXPECT_EQ(std::ranges::count(network.sysctls, proxy), 1);
    EXPECT_THAT(
        network.sysctls,
        Contains(WantedSysctl{.key = "net/ipv4/neigh/cni0/proxy_delay", .value = "0", .reach = SysctlReach::host}));
}

TEST(LinkHostNetworkTest, OwnNodeUnknown_LeavesTheOverlayOut) {
    auto inputs = node();
    inputs.overlay.reset();
    inputs.peers = {{.pod_cidr = prefix("10.244.2.0/24")}};
    const auto network = build_host_network(inputs);
    EXPECT_FALSE(network.overlay);
    EXPECT_THAT(network.routes, IsEmpty());
    EXPECT_THAT(network.sysctls, ElementsAre(WantedSysctl{.key = "net/ipv4/ip_forward", .value = "1"}));
}

TEST(LinkHostNetworkTest, IpForward_ComesFirstSinceItResetsTheDevices) {
    EXPECT_EQ(build_host_network(node()).sysctls.front(),
              (WantedSysctl{.key = "net/ipv4/ip_forward", .value = "1", .reach = SysctlReach::host}));
}

struct ReversePath {
    unsigned all;
    std::string_view device;
};

TEST(LinkHostNetworkTest, ReversePathFilter_IsOffOrLooseWhereTheHostIsStrict) {
    // The kernel takes the larger of the two: 0 off, 1 strict, 2 loose.
    for (const auto expected : {ReversePath{0, "0"}, ReversePath{1, "2"}, ReversePath{2, "0"}}) {
        auto inputs = node();
        inputs.all_rp_filter = expected.all;
        EXPECT_THAT(build_host_network(inputs).sysctls, Contains(WantedSysctl{.key = "net/ipv4/conf/podlane0/rp_filter",
                                                                              .value = std::string(expected.device),
                                                                              .reach = SysctlReach::own_device}))
            << expected.all;
    }
}

TEST(LinkHostNetworkTest, OnlyIpForward_OutlivesPodlane) {
    auto inputs = node();
    inputs.pods = {{.ip = address("10.244.1.5"), .mac = pod_mac, .host_interface = "veth5"}};
    for (const auto& sysctl : build_host_network(inputs).sysctls) {
        EXPECT_EQ(sysctl.reach == SysctlReach::host, sysctl.key == "net/ipv4/ip_forward") << sysctl.key;
    }
}

TEST(LinkHostNetworkTest, VtepMac_IsLocallyAdministeredAndHoldsTheAddress) {
    EXPECT_EQ(vtep_mac(address("192.168.0.8")).to_string(), "02:50:c0:a8:00:08");
    EXPECT_TRUE(vtep_mac(address("192.168.0.8")).is_unicast());
    EXPECT_NE(vtep_mac(address("192.168.0.8")), vtep_mac(address("192.168.0.9")));
}

}  // namespace
}  // namespace podlane
