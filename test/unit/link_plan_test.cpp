// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/link_plan.h"

#include <net/if.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/reconcile/link_overlay.h"

namespace podlane {
namespace {

using netlink::AdminState;
using netlink::ArpUse;
using netlink::LinkChange;
using netlink::VxlanSettings;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

WantedOverlayDevice overlay() {
    return {.name = "podlane0",
            .port = 8472,
            .mac = MacAddress({2, 0x50, 10, 0, 0, 1}),
            .mtu = 1450,
            .addresses = {address("10.0.0.1")}};
}

netlink::Link good() {
    return {.ifindex = 4,
            .name = "podlane0",
            .kind = "vxlan",
            .flags = IFF_UP | IFF_NOARP,
            .mtu = 1450,
            .mac = MacAddress({2, 0x50, 10, 0, 0, 1}),
            .alias = "podlane overlay",
            .vxlan = VxlanSettings{.external = true, .port = 8472}};
}

LinkTable devices() {
    return LinkTable({good(), {.ifindex = 5, .name = "veth5", .kind = "veth"}});
}

struct OverlayCase {
    std::string_view name;
    void (*damage)(netlink::Link&);
    OverlayAction action;
    LinkChange change;
};

class LinkOverlayPlanTest : public testing::TestWithParam<OverlayCase> {};

TEST_P(LinkOverlayPlanTest, Damage_IsMetByTheLeastThatMendsIt) {
    auto link = good();
    GetParam().damage(link);
    const auto plan = plan_overlay(overlay(), &link);
    EXPECT_EQ(plan.action, GetParam().action);
    EXPECT_EQ(plan.change, GetParam().change);
    EXPECT_EQ(overlay_item(overlay(), &link).state == LinkState::ok, plan.action == OverlayAction::none);
}

const MacAddress right_mac({2, 0x50, 10, 0, 0, 1});

INSTANTIATE_TEST_SUITE_P(
    Cases, LinkOverlayPlanTest,
    testing::ValuesIn(std::vector<OverlayCase>{
        OverlayCase{"Good", [](netlink::Link&) {}, OverlayAction::none, {}},
        OverlayCase{"Down",
                    [](netlink::Link& link) { link.flags = IFF_NOARP; },
                    OverlayAction::change,
                    {.state = AdminState::up}},
        OverlayCase{
            "Arp", [](netlink::Link& link) { link.flags = IFF_UP; }, OverlayAction::change, {.arp = ArpUse::off}},
        OverlayCase{"Mtu", [](netlink::Link& link) { link.mtu = 1500; }, OverlayAction::change, {.mtu = 1450}},
        OverlayCase{"Mac",
                    [](netlink::Link& link) { link.mac = MacAddress({2, 1, 1, 1, 1, 1}); },
                    OverlayAction::change,
                    {.mac = right_mac}},
        OverlayCase{
            "Alias", [](netlink::Link& link) { link.alias = ""; }, OverlayAction::change, {.alias = "podlane overlay"}},
        OverlayCase{"Port", [](netlink::Link& link) { link.vxlan->port = 4789; }, OverlayAction::recreate, {}},
        OverlayCase{"Learning", [](netlink::Link& link) { link.vxlan->learning = true; }, OverlayAction::recreate, {}},
        OverlayCase{
            "NotExternal", [](netlink::Link& link) { link.vxlan->external = false; }, OverlayAction::recreate, {}},
        OverlayCase{"NotExternalNorOurs",
                    [](netlink::Link& link) {
                        link.vxlan->external = false;
                        link.alias = "";
                    },
                    OverlayAction::refuse,
                    {}},
        OverlayCase{"OtherKind",
                    [](netlink::Link& link) {
                        link.vxlan.reset();
                        link.kind = "bridge";
                    },
                    OverlayAction::refuse,
                    {}}}),
    [](const auto& damage) { return std::string(damage.param.name); });

TEST(LinkOverlayTest, DeviceWhoseGateIsClosed_IsNeitherBroughtUpNorTakenDown) {
    auto wanted = overlay();
    wanted.gate = DeviceGate::closed;
    auto link = good();
    EXPECT_EQ(plan_overlay(wanted, &link).action, OverlayAction::none);
    link.flags = IFF_NOARP;
    EXPECT_EQ(plan_overlay(wanted, &link).action, OverlayAction::none);
}

TEST(LinkOverlayTest, NoDevice_IsCreated) {
    EXPECT_EQ(plan_overlay(overlay(), nullptr).action, OverlayAction::create);
    EXPECT_EQ(overlay_item(overlay(), nullptr).state, LinkState::missing);
}

std::vector<std::string> labels(const std::vector<netlink::Message>& requests) {
    std::vector<std::string> texts;
    texts.reserve(requests.size());
    for (const auto& request : requests) {
        texts.push_back(request.label());
    }
    return texts;
}

WantedHostNetwork wanted() {
    return {
        .overlay = overlay(),
        .pod_devices = {"veth5"},
        .routes = {{.destination = prefix("10.244.2.0/24"), .device = "podlane0", .source = address("10.0.0.1")},
                   {.destination = prefix("10.244.0.0/16"), .kind = RouteKind::unreachable, .metric = 9}},
        .neighbours = {{.device = "veth5", .address = address("10.244.1.5"), .mac = MacAddress({2, 0, 0, 0, 0, 5})}},
        .sysctls = {}};
}

TEST(LinkPlanTest, EmptyKernel_GetsAddressesBeforeTheRoutesThatNameThem) {
    const auto links = devices();
    const auto located = locate(wanted(), links);
    EXPECT_THAT(located.waiting, IsEmpty());
    EXPECT_THAT(labels(plan_objects(located.objects, {}, Sweep::remove, links)),
                ElementsAre("add address 10.0.0.1/32 dev podlane0",
                            "add neighbour 10.244.1.5 dev veth5 lladdr 02:00:00:00:00:05",
                            "add route unreachable 10.244.0.0/16 metric 9",
                            "add route 10.244.2.0/24 dev podlane0 src 10.0.0.1"));
}

TEST(LinkPlanTest, EqualKernel_GetsNothing) {
    const auto links = devices();
    const auto located = locate(wanted(), links);
    EXPECT_THAT(plan_objects(located.objects, located.objects, Sweep::remove, links), IsEmpty());
    for (const auto& item : object_items(located.objects, located.objects, links)) {
        EXPECT_EQ(item.state, LinkState::ok) << item.name;
    }
}

TEST(LinkPlanTest, WhatNobodyWants_GoesRoutesFirstAndOnlyOnceInSync) {
    const auto links = devices();
    const auto stale = locate(wanted(), links).objects;
    EXPECT_THAT(plan_objects({}, stale, Sweep::keep, links), IsEmpty());
    EXPECT_THAT(labels(plan_objects({}, stale, Sweep::remove, links)),
                ElementsAre("delete route unreachable 10.244.0.0/16 metric 9",
                            "delete route 10.244.2.0/24 dev podlane0 src 10.0.0.1",
                            "delete neighbour 10.244.1.5 dev veth5 lladdr 02:00:00:00:00:05",
                            "delete address 10.0.0.1/32 dev podlane0"));
}

TEST(LinkPlanTest, DifferenceInAnyFieldOfARoute_IsAChange) {
    const auto links = devices();
    const auto located = locate(wanted(), links).objects;
    const auto key = RouteKey{.table = RT_TABLE_MAIN, .destination = prefix("10.244.2.0/24")};
    const std::vector<void (*)(netlink::Route&)> differences{
        [](netlink::Route& route) { route.oif = 5; },
        [](netlink::Route& route) { route.type = RTN_BLACKHOLE; },
        [](netlink::Route& route) { route.gateway = address("10.0.0.2"); },
        [](netlink::Route& route) { route.source.reset(); },
        [](netlink::Route& route) { route.scope = RT_SCOPE_UNIVERSE; },
        [](netlink::Route& route) { route.on_link = true; },
        [](netlink::Route& route) { route.mtu = 1400; },
    };
    for (const auto differ : differences) {
        auto actual = located;
        differ(actual.routes.at(key));
        EXPECT_THAT(labels(plan_objects(located, actual, Sweep::remove, links)),
                    ElementsAre("change route 10.244.2.0/24 dev podlane0 src 10.0.0.1"));
    }
}

TEST(LinkPlanTest, ObjectsOnAMissingDevice_WaitAndNameIt) {
    const LinkTable links({good()});
    const auto located = locate(wanted(), links);
    EXPECT_THAT(located.missing_devices, ElementsAre("veth5"));
    EXPECT_THAT(located.waiting, ElementsAre(LinkItem{.kind = "neighbour",
                                                      .name = "10.244.1.5",
                                                      .wanted = "10.244.1.5 dev veth5",
                                                      .actual = "",
                                                      .state = LinkState::missing}));
    EXPECT_THAT(located.objects.neighbours, IsEmpty());
    EXPECT_THAT(located.objects.routes, SizeIs(2));
}

TEST(LinkPlanTest, ForgottenDevice_IsAsGoodAsMissing) {
    auto links = devices();
    links.forget("podlane0");
    const auto located = locate(wanted(), links);
    EXPECT_THAT(located.missing_devices, ElementsAre("podlane0"));
    EXPECT_THAT(located.objects.addresses, IsEmpty());
}

TEST(LinkPlanTest, TwoRoutesToOneDestination_KeepTheFirstAndNameBoth) {
    auto network = wanted();
    network.routes.push_back({.destination = prefix("10.244.2.0/24"), .device = "veth5"});
    const auto links = devices();
    const auto located = locate(network, links);
    ASSERT_THAT(located.collisions, SizeIs(1));
    EXPECT_EQ(located.collisions.front().message,
              "route 10.244.2.0/24 dev veth5: 10.244.2.0/24 dev podlane0 src 10.0.0.1 is wanted as well, and stays");
    network.routes.pop_back();
    network.routes.push_back(network.routes.front());
    EXPECT_THAT(locate(network, links).collisions, IsEmpty()) << "the same route twice is no collision";
}

}  // namespace
}  // namespace podlane
