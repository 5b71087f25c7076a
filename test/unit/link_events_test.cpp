// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/reconcile/link_reconciler.h"

namespace podlane {
namespace {

using netlink::Change;

constexpr std::uint32_t overlay_ifindex = 4;
const MacAddress pod_mac({2, 0, 0, 0, 0, 5});

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

WantedHostNetwork wanted() {
    HostNetworkInputs inputs{.overlay = WantedOverlayDevice{.name = "podlane0", .port = 8472, .addresses = {}},
                             .node_address = address("10.0.0.1"),
                             .peers = {{.pod_cidr = Ipv4Prefix::parse("10.244.2.0/24").value()}},
                             .cluster_cidrs = {},
                             .pods = {{.ip = address("10.244.1.5"), .mac = pod_mac, .host_interface = "veth5"}}};
    return build_host_network(inputs);
}

bool disturbs(const netlink::Event& event) {
    return may_disturb(event, wanted(), overlay_ifindex);
}

netlink::LinkEvent link(std::uint32_t ifindex, std::string name) {
    return {.change = Change::present, .link = {.ifindex = ifindex, .name = std::move(name)}};
}

netlink::RouteEvent route(Change change, std::string_view destination, std::uint8_t protocol) {
    return {.change = change, .route = {.destination = Ipv4Prefix::parse(destination).value(), .protocol = protocol}};
}

netlink::NeighbourEvent neighbour(Change change, std::string_view ip, MacAddress mac, std::uint16_t state) {
    return {.change = change, .neighbour = {.ifindex = 9, .address = address(ip), .mac = mac, .state = state}};
}

TEST(LinkEventsTest, DevicesThatPodlaneUses_MatterAndOthersDoNot) {
    EXPECT_TRUE(disturbs(link(overlay_ifindex, "renamed")));
    EXPECT_TRUE(disturbs(link(77, "podlane0"))) << "somebody made a device of our name";
    EXPECT_TRUE(disturbs(link(9, "veth5")));
    EXPECT_FALSE(disturbs(link(2, "eth0")));
}

TEST(LinkEventsTest, BorrowedOverlayDeviceAndPortsOfABridge_Matter) {
    const auto borrowing = build_host_network(
        {.pods = {{.ip = address("10.244.1.5"), .mac = pod_mac, .host_interface = "veth5", .way = WayToPod::bridge}},
         .pod_bridges = {"cni0"}});
    EXPECT_TRUE(may_disturb(link(overlay_ifindex, "flannel.1"), borrowing, overlay_ifindex));
    EXPECT_TRUE(may_disturb(link(9, "veth5"), borrowing, overlay_ifindex));
    EXPECT_TRUE(may_disturb(link(9, "cni0"), borrowing, overlay_ifindex)) << "its MAC is the pods' gateway's";
    EXPECT_FALSE(may_disturb(link(9, "eth0"), borrowing, overlay_ifindex));
    EXPECT_FALSE(may_disturb(link(9, "eth0"), borrowing, 0));
}

TEST(LinkEventsTest, WithoutAnOverlayDevice_AnyDeviceMayHaveFreedItsPort) {
    EXPECT_TRUE(may_disturb(link(12, "flannel.1"), wanted(), 0));
    auto unknown = wanted();
    unknown.overlay.reset();
    EXPECT_FALSE(may_disturb(link(12, "flannel.1"), unknown, 0));
}

TEST(LinkEventsTest, OnlyAddressesOfTheOverlayDevice_Matter) {
    EXPECT_TRUE(disturbs(netlink::AddressEvent{Change::gone, {.ifindex = overlay_ifindex, .address = {}}}));
    EXPECT_FALSE(disturbs(netlink::AddressEvent{Change::gone, {.ifindex = 2, .address = {}}}));
}

TEST(LinkEventsTest, OurRoutes_MatterAndForeignOnesWhenTheyMakeWay) {
    EXPECT_TRUE(disturbs(route(Change::gone, "10.244.2.0/24", 80)));
    EXPECT_TRUE(disturbs(route(Change::present, "10.244.99.0/24", 80)));
    EXPECT_TRUE(disturbs(route(Change::gone, "10.244.2.0/24", 4)));
    EXPECT_FALSE(disturbs(route(Change::present, "10.244.2.0/24", 4)));
    EXPECT_FALSE(disturbs(route(Change::gone, "192.168.7.0/24", 4)));
}

TEST(LinkEventsTest, ArpOfThePodsThatSaysWhatIsWanted_DoesNotMatter) {
    EXPECT_FALSE(disturbs(neighbour(Change::present, "10.244.1.5", pod_mac, NUD_PERMANENT)));
    EXPECT_TRUE(disturbs(neighbour(Change::gone, "10.244.1.5", pod_mac, NUD_PERMANENT)));
    EXPECT_TRUE(disturbs(neighbour(Change::present, "10.244.1.5", MacAddress({2, 0, 0, 0, 0, 6}), NUD_PERMANENT)));
    EXPECT_TRUE(disturbs(neighbour(Change::present, "10.244.1.5", pod_mac, NUD_STALE)));
    EXPECT_FALSE(disturbs(neighbour(Change::present, "10.0.0.2", pod_mac, NUD_REACHABLE))) << "ARP of the underlay";
}

TEST(LinkEventsTest, SettingsAndLostEvents_AlwaysMatter) {
    EXPECT_TRUE(disturbs(netlink::SettingsEvent{-1}));
    EXPECT_TRUE(disturbs(netlink::Overrun{}));
}

}  // namespace
}  // namespace podlane
