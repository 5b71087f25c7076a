// SPDX-License-Identifier: Apache-2.0
// The link reconciler against a real kernel; the scene is in link_scene.h.
#include <chrono>

#include <gmock/gmock.h>

#include "agent/netlink/monitor.h"
#include "test/net/link_scene.h"

namespace podlane::net {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class LinkReconcilerTest : public LinkSceneTest {};

TEST_F(LinkReconcilerTest, FirstPass_MakesDeviceRoutesNeighboursAndSysctls) {
    const auto report = reconcile(wanted());
    EXPECT_THAT(problems(report), IsEmpty());
    EXPECT_EQ(report.overlay_ifindex, ifindex("podlane0"));
    EXPECT_THAT(ip("-d link show podlane0"),
                AllOf(HasSubstr("NOARP,UP"), HasSubstr("mtu 1450"), HasSubstr("link/ether 02:50:0a:00:00:01"),
                      HasSubstr("vxlan external"), HasSubstr("dstport 8472"), HasSubstr("alias podlane overlay")));
    EXPECT_THAT(ip("addr show podlane0"), AllOf(HasSubstr("inet 10.0.0.1/32 scope global"), Not(HasSubstr("inet6"))));
    EXPECT_EQ(ip("route show proto 80"),
              "unreachable 10.244.0.0/16 metric 4294967295 \n"
              "10.244.1.5 dev veth5 scope link src 10.0.0.1 \n"
              "10.244.2.0/24 dev podlane0 scope link src 10.0.0.1 \n"
              "10.244.3.0/24 dev podlane0 scope link src 10.0.0.1 mtu 1400 \n");
    EXPECT_EQ(ip("neigh show nud permanent"), "10.244.1.5 dev veth5 lladdr 02:00:00:00:00:05 PERMANENT proto 80 \n");
    for (const auto* key : {"ip_forward", "conf/podlane0/forwarding", "conf/veth5/forwarding"}) {
        EXPECT_EQ(get_sysctl(ns_, std::string("net/ipv4/") + key), "1") << key;
    }
    for (const auto* key : {"conf/podlane0/rp_filter", "conf/veth5/rp_filter"}) {
        EXPECT_EQ(get_sysctl(ns_, std::string("net/ipv4/") + key), "0") << key;
    }
    EXPECT_THAT(report.changes, AllOf(Contains("create link podlane0 type vxlan external dstport 8472"),
                                      Contains("add route 10.244.2.0/24 dev podlane0 src 10.0.0.1"),
                                      Contains("set net/ipv4/ip_forward to 1 (was 0)")));
}

TEST_F(LinkReconcilerTest, SecondPass_ChangesNothingAndCausesNoEvent) {
    reconcile(wanted());
    auto monitor = netlink::Monitor::open();
    ASSERT_TRUE(succeeded(monitor));
    const auto report = reconcile(wanted());
    EXPECT_THAT(report.changes, IsEmpty());
    EXPECT_THAT(problems(report), IsEmpty());
    EXPECT_TRUE(
        succeeded(monitor->drain([](const netlink::Event&) { ADD_FAILURE() << "a pass without a difference"; })));
}

TEST_F(LinkReconcilerTest, RouteOfTheHostToARemotePod_LeavesByTheOverlayWithTheNodesAddress) {
    reconcile(wanted());
    EXPECT_THAT(ip("route get 10.244.2.9"), HasSubstr("10.244.2.9 dev podlane0 src 10.0.0.1"));
    EXPECT_THAT(ip("route get 10.0.0.2"), HasSubstr("10.0.0.2 dev eth0 src 10.0.0.1"));
    const auto unknown = run(ns_, {"ip", "route", "get", "10.244.9.9"});
    EXPECT_THAT(unknown.err, HasSubstr("No route to host"));
}

TEST_F(LinkReconcilerTest, StrictReversePathFilterOfTheHost_IsLiftedOnOurDevicesAlone) {
    set_sysctl(ns_, "net/ipv4/conf/all/rp_filter", "1");
    auto given = inputs();
    given.all_rp_filter = 1;
    EXPECT_THAT(problems(reconcile(build_host_network(given))), IsEmpty());
    EXPECT_EQ(get_sysctl(ns_, "net/ipv4/conf/podlane0/rp_filter"), "2");
    EXPECT_EQ(get_sysctl(ns_, "net/ipv4/conf/all/rp_filter"), "1");
}

TEST_F(LinkReconcilerTest, WhatNobodyWants_StaysUntilSourcesAreInSync) {
    reconcile(wanted());
    auto fewer = inputs();
    fewer.peers.pop_back();
    fewer.pods.clear();
    auto less = build_host_network(fewer);
    less.pod_devices.insert("veth5");
    EXPECT_THAT(reconcile(less, Sweep::keep).changes, IsEmpty());
    EXPECT_THAT(ip("route show proto 80"), AllOf(HasSubstr("10.244.3.0/24"), HasSubstr("10.244.1.5")));
    EXPECT_THAT(reconcile(less, Sweep::remove).changes,
                testing::UnorderedElementsAre("delete route 10.244.3.0/24 dev podlane0 src 10.0.0.1 mtu 1400",
                                              "delete route 10.244.1.5/32 dev veth5 src 10.0.0.1",
                                              "delete neighbour 10.244.1.5 dev veth5 lladdr 02:00:00:00:00:05"));
    EXPECT_EQ(ip("neigh show nud permanent"), "");
}

TEST_F(LinkReconcilerTest, ChangedNodeAddress_MovesWithoutAMomentWithoutRoutes) {
    reconcile(wanted());
    auto moved = inputs();
    ip("addr add 10.0.0.7/24 dev eth0");
    moved.overlay->addresses = {address("10.0.0.7")};
    moved.overlay->mac = vtep_mac(address("10.0.0.7"));
    moved.node_address = address("10.0.0.7");
    auto monitor = netlink::Monitor::open();
    ASSERT_TRUE(succeeded(monitor));
    EXPECT_THAT(problems(reconcile(build_host_network(moved))), IsEmpty());
    EXPECT_TRUE(succeeded(monitor->drain([](const netlink::Event& event) {
        const auto* route = std::get_if<netlink::RouteEvent>(&event);
        EXPECT_FALSE(route != nullptr && route->route.protocol == 80 && route->change == netlink::Change::gone);
    })));
    EXPECT_THAT(ip("route show proto 80"), AllOf(HasSubstr("src 10.0.0.7"), Not(HasSubstr("src 10.0.0.1"))));
    EXPECT_THAT(ip("addr show podlane0"), AllOf(HasSubstr("10.0.0.7/32"), Not(HasSubstr("10.0.0.1/32"))));
    EXPECT_THAT(not_ok(build_host_network(moved)), IsEmpty());
}

TEST_F(LinkReconcilerTest, NothingKnownYet_MakesNoDeviceAndLeavesTheOneThatIsThere) {
    reconcile(wanted());
    const auto before = ifindex("podlane0");
    auto unknown = inputs();
    unknown.overlay.reset();
    EXPECT_THAT(problems(reconcile(build_host_network(unknown), Sweep::keep)), IsEmpty());
    EXPECT_EQ(ifindex("podlane0"), before);
    EXPECT_THAT(ip("route show proto 80"), HasSubstr("10.244.2.0/24 dev podlane0"));
}

TEST_F(LinkReconcilerTest, DeviceWithoutItsPrograms_IsMadeButStaysDownAndGetsNoRoute) {
    auto guarded = wanted();
    guarded.overlay->gate = DeviceGate::closed;
    const auto made = reconcile(guarded);
    EXPECT_THAT(problems(made), IsEmpty());
    EXPECT_EQ(made.overlay_ifindex, ifindex("podlane0")) << "for the programs to be attached to";
    EXPECT_THAT(ip("-d link show podlane0"), AllOf(HasSubstr("state DOWN"), HasSubstr("vxlan external")));
    EXPECT_THAT(ip("route show proto 80"), AllOf(Not(HasSubstr("podlane0")), HasSubstr("10.244.1.5 dev veth5")));
    EXPECT_THAT(reconcile(guarded).changes, IsEmpty());
    const auto opened = reconcile(wanted());
    EXPECT_THAT(problems(opened), IsEmpty());
    EXPECT_EQ(opened.overlay_ifindex, made.overlay_ifindex);
    EXPECT_THAT(not_ok(wanted()), IsEmpty());
    EXPECT_THAT(reconcile(guarded).changes, IsEmpty()) << "after a restart the device that forwards goes on";
    EXPECT_THAT(ip("route show proto 80"), HasSubstr("10.244.2.0/24 dev podlane0"));
}

TEST_F(LinkReconcilerTest, Inspect_TellsMissingFromWrongFromOk) {
    EXPECT_THAT(reconciler_.inspect(wanted()).value(),
                Contains(LinkItem{.kind = "device",
                                  .name = "podlane0",
                                  .wanted = "vxlan external dstport 8472 address 02:50:0a:00:00:01 mtu 1450 noarp up",
                                  .actual = "",
                                  .state = LinkState::missing}));
    reconcile(wanted());
    EXPECT_THAT(not_ok(wanted()), IsEmpty());
    ip("route replace 10.244.2.0/24 dev eth0 proto 80");
    ip("route add 10.244.77.0/24 dev eth0 proto 80");
    EXPECT_THAT(not_ok(wanted()), ElementsAre(LinkItem{.kind = "route",
                                                       .name = "10.244.2.0/24",
                                                       .wanted = "10.244.2.0/24 dev podlane0 src 10.0.0.1",
                                                       .actual = "10.244.2.0/24 dev eth0",
                                                       .state = LinkState::wrong},
                                              LinkItem{.kind = "route",
                                                       .name = "10.244.77.0/24",
                                                       .wanted = "",
                                                       .actual = "10.244.77.0/24 dev eth0",
                                                       .state = LinkState::wrong}));
}

TEST_F(LinkReconcilerTest, FiveThousandPeers_AreInPlaceQuicklyAndCostLittleAfterwards) {
    auto many = inputs();
    many.peers.clear();
    many.cluster_cidrs = {prefix("10.0.0.0/8")};
    for (std::uint32_t index = 0; index < 5000; ++index) {
        many.peers.push_back(
            {.pod_cidr = Ipv4Prefix::masked(Ipv4Address::from_host(address("10.100.0.0").host() + (index << 8U)), 24)});
    }
    const auto network = build_host_network(many);
    const auto cost_of_pass = [&](const WantedHostNetwork& target) {
        LinkReport report;
        const auto cost = cost_of([&] { report = reconcile(target); });
        EXPECT_THAT(problems(report), IsEmpty());
        return cost;
    };
    const auto first = cost_of_pass(network);
    const auto second = cost_of_pass(network);
    RecordProperty("first", static_cast<int>(first.count()));
    RecordProperty("second", static_cast<int>(second.count()));
    EXPECT_LT(first, std::chrono::seconds(3));
    EXPECT_LT(second, std::chrono::seconds(1));
    EXPECT_EQ(std::ranges::count(ip("route show proto 80"), '\n'), 5002);
    EXPECT_LT(cost_of_pass(wanted()), std::chrono::seconds(3)) << "and go as quickly";
}

}  // namespace
}  // namespace podlane::net
