// SPDX-License-Identifier: Apache-2.0
// What is broken behind the reconciler's back is mended by the next pass; the scene is in link_scene.h.
#include <gmock/gmock.h>

#include "test/net/link_scene.h"

namespace podlane::net {
namespace {

using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class LinkDamageTest : public LinkSceneTest {};

struct Damage {
    std::string_view name;
    std::vector<std::string_view> commands;
    bool same_device;
};

class LinkDamagesTest : public LinkDamageTest, public testing::WithParamInterface<Damage> {};

TEST_P(LinkDamagesTest, NextPass_PutsItRight) {
    reconcile(wanted());
    const auto before = ifindex("podlane0");
    const auto routes = ip("route show proto 80");
    for (const auto command : GetParam().commands) {
        ip(command);
    }
    EXPECT_THAT(not_ok(wanted()), Not(IsEmpty()));
    const auto report = reconcile(wanted());
    EXPECT_THAT(problems(report), IsEmpty());
    EXPECT_THAT(report.repairs, Not(IsEmpty()));
    EXPECT_THAT(not_ok(wanted()), IsEmpty());
    EXPECT_EQ(ip("route show proto 80"), routes);
    EXPECT_EQ(ifindex("podlane0") == before, GetParam().same_device);
    EXPECT_THAT(reconcile(wanted()).changes, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Damages, LinkDamagesTest,
    testing::ValuesIn(std::vector<Damage>{
        Damage{"DeviceDown", {"link set podlane0 down"}, true},
        Damage{"DeviceFlapped", {"link set podlane0 down", "link set podlane0 up"}, true},
        Damage{"WrongMac", {"link set podlane0 address 02:11:22:33:44:55"}, true},
        Damage{"WrongMtu", {"link set podlane0 mtu 1500"}, true}, Damage{"ArpOn", {"link set podlane0 arp on"}, true},
        Damage{"AliasGone", {"link set podlane0 alias other"}, true},
        Damage{"AddressGone", {"addr del 10.0.0.1/32 dev podlane0"}, true},
        Damage{"AddressThatNobodyWants", {"addr add 10.0.0.77/32 dev podlane0"}, true},
        Damage{"DeviceGone", {"link del podlane0"}, false},
        Damage{"WrongPort",
               {"link del podlane0", "link add podlane0 type vxlan external dstport 4789", "link set podlane0 up"},
               false},
        Damage{"RouteGone", {"route del 10.244.2.0/24"}, true},
        Damage{"RouteElsewhere", {"route replace 10.244.2.0/24 dev eth0 proto 80"}, true},
        Damage{"RouteWithoutMtu", {"route replace 10.244.3.0/24 dev podlane0 scope link src 10.0.0.1 proto 80"}, true},
        Damage{"StaleRoute", {"route add 10.244.77.0/24 dev podlane0 proto 80"}, true},
        Damage{"NeighbourGone", {"neigh del 10.244.1.5 dev veth5"}, true},
        Damage{"NeighbourWithWrongMac",
               {"neigh replace 10.244.1.5 dev veth5 lladdr 02:00:00:00:00:99 nud permanent"},
               true},
        Damage{"NeighbourNotPermanent", {"neigh change 10.244.1.5 dev veth5 lladdr 02:00:00:00:00:05 nud stale"}, true},
        Damage{"StaleNeighbour", {"neigh add 10.244.1.6 dev veth5 lladdr 02:00:00:00:00:06 nud permanent"}, true}}),
    [](const auto& damage) { return std::string(damage.param.name); });

TEST_F(LinkDamageTest, SysctlThatIsTurnedOff_IsTurnedOnAgain) {
    reconcile(wanted());
    set_sysctl(ns_, "net/ipv4/ip_forward", "0");
    set_sysctl(ns_, "net/ipv4/conf/podlane0/rp_filter", "1");
    EXPECT_THAT(not_ok(wanted()), SizeIs(4)) << "ip_forward, both devices' forwarding, rp_filter";
    EXPECT_THAT(problems(reconcile(wanted())), IsEmpty());
    EXPECT_THAT(not_ok(wanted()), IsEmpty());
}

TEST_F(LinkDamageTest, OtherWishes_AreNoRepairs) {
    EXPECT_THAT(reconcile(wanted()).repairs, IsEmpty()) << "the first pass cannot know who removed what";
    auto given = inputs();
    given.overlay->mtu = 1400;
    given.peers.pop_back();
    given.peers.front().mtu = 1350;
    given.all_rp_filter = 1;
    const auto report = reconcile(build_host_network(given));
    EXPECT_THAT(report.changes, SizeIs(5)) << "device, two routes, two reverse path filters";
    EXPECT_THAT(report.repairs, IsEmpty());
}

TEST_F(LinkDamageTest, WishAndDamageTogether_AreToldApart) {
    reconcile(wanted());
    auto given = inputs();
    given.peers.front().mtu = 1350;
    ip("route del 10.244.3.0/24");
    const auto report = reconcile(build_host_network(given));
    EXPECT_THAT(report.changes, SizeIs(2));
    EXPECT_THAT(report.repairs, testing::ElementsAre("add route 10.244.3.0/24 dev podlane0 src 10.0.0.1 mtu 1400"));
}

TEST_F(LinkDamageTest, WhatCouldNotBeDoneBefore_IsNoRepairWhenItCan) {
    ip("route add 10.244.3.0/24 dev eth0 proto static");
    EXPECT_THAT(problems(reconcile(wanted())), SizeIs(1));
    ip("route del 10.244.3.0/24 dev eth0 proto static");
    const auto report = reconcile(wanted());
    EXPECT_THAT(report.changes, SizeIs(1));
    EXPECT_THAT(report.repairs, IsEmpty());
}

TEST_F(LinkDamageTest, ObjectThatGoesAndIsWantedOtherwise_IsNoRepair) {
    reconcile(wanted());
    auto given = inputs();
    given.peers.front().mtu = 1350;
    ip("route del 10.244.2.0/24");
    const auto report = reconcile(build_host_network(given));
    EXPECT_THAT(report.changes, testing::ElementsAre("add route 10.244.2.0/24 dev podlane0 src 10.0.0.1 mtu 1350"));
    EXPECT_THAT(report.repairs, IsEmpty());
}

TEST_F(LinkDamageTest, SettingsAlone_AreMendedWithoutAPass) {
    reconcile(wanted());
    set_sysctl(ns_, "net/ipv4/conf/podlane0/accept_local", "1");
    const auto report = reconciler_.reconcile_sysctls(wanted());
    EXPECT_THAT(report.repairs, testing::ElementsAre("set net/ipv4/conf/podlane0/accept_local to 0 (was 1)"));
    EXPECT_THAT(not_ok(wanted()), IsEmpty());
}

}  // namespace
}  // namespace podlane::net
