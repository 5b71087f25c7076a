// SPDX-License-Identifier: Apache-2.0
#include "agent/node/uplinks.h"

#include <gmock/gmock.h>
#include <net/if.h>
#include <net/if_arp.h>

namespace podlane {
namespace {

using netlink::Change;
using netlink::Link;

Link ethernet(std::uint32_t ifindex, std::string name, std::string kind = {}) {
    return {.ifindex = ifindex, .name = std::move(name), .kind = std::move(kind), .type = ARPHRD_ETHER};
}
Link port_of(std::uint32_t master, Link link) {
    link.master = master;
    return link;
}
Link standing_on(std::uint32_t lower, Link link) {
    link.link = lower;
    return link;
}

// eth0 the underlay; eth1 another NIC, down and without an address; docker0 with a container's port; a tunnel; a VRF
// with a NIC; a macvlan on eth1; a pod's link, and podlane0.
std::vector<Link> devices() {
    Link loopback = ethernet(1, "lo");
    loopback.flags = IFF_LOOPBACK;
    Link wireguard = ethernet(6, "wg0", "wireguard");
    wireguard.type = ARPHRD_NONE;
    Link leftover = ethernet(13, "podlane9", "vxlan");
    leftover.alias = "podlane overlay";
    return {loopback,
            ethernet(2, "eth0"),
            ethernet(3, "eth1"),
            ethernet(4, "docker0", "bridge"),
            port_of(4, ethernet(5, "veth-c", "veth")),
            wireguard,
            ethernet(7, "blue", "vrf"),
            port_of(7, ethernet(8, "eth2")),
            standing_on(3, ethernet(9, "mv0", "macvlan")),
            ethernet(10, "pod-a", "veth"),
            ethernet(11, "podlane0", "vxlan"),
            port_of(99, ethernet(12, "eth3")),
            leftover};
}

class UplinksTest : public testing::Test {
protected:
    void SetUp() override { uplinks_.choose(devices(), {10, 11}, {}); }
    [[nodiscard]] std::map<std::uint32_t, nat_device> devices_for(
        const std::vector<netlink::InterfaceAddress>& addresses, const std::set<std::uint32_t>& unwatched = {}) const {
        return uplinks_.devices({.underlay = 2, .node = node_, .all = addresses}, peer_facing_,
                                [&](Hook, std::uint32_t ifindex) { return !unwatched.contains(ifindex); });
    }
    [[nodiscard]] static Ipv4Address address(std::string_view text) { return Ipv4Address::parse(text).value(); }
    [[nodiscard]] static Link changed(std::uint32_t ifindex) {
        const auto all = devices();
        return *std::ranges::find(all, ifindex, &Link::ifindex);
    }

    const Ipv4Address node_ = address("192.168.0.1");
    const Uplinks::DeviceNames peer_facing_ = {{2, "eth0"}};
    Uplinks uplinks_;
};

TEST_F(UplinksTest, EveryDeviceARouteMayUse_IsOneButThoseOfAMasterAndLoopback) {
    std::map<std::string, Uplink> by_name;
    for (const auto& [ifindex, uplink] : choose_uplinks(devices(), {10, 11})) {
        by_name.emplace(uplink.name, uplink);
    }
    const std::map<std::string, Uplink> expected = {
        {"eth0", {.name = "eth0"}},
        {"eth1", {.name = "eth1", .is_shared = true}},
        {"docker0", {.name = "docker0"}},
        {"wg0", {.name = "wg0", .ethernet = false}},
        {"blue", {.name = "blue", .inner = true}},
        {"eth2", {.name = "eth2"}},
        {"mv0", {.name = "mv0"}},
        {"pod-a", {.name = "pod-a", .inner = true}},
        {"podlane0", {.name = "podlane0", .inner = true}},
        {"eth3", {.name = "eth3"}},
        {"podlane9", {.name = "podlane9", .inner = true}},
    };
    EXPECT_EQ(by_name, expected);
}

TEST_F(UplinksTest, MtuOfADevice_StandsBesideItsAddress) {
    Link nic = ethernet(3, "eth1");
    nic.mtu = 1400;
    uplinks_.choose({ethernet(2, "eth0"), nic}, {}, {});
    EXPECT_EQ(devices_for({}).at(3).mtu, 1400U);
}

TEST_F(UplinksTest, MacOfAMacvlanNetworksMaster_StandsBesideItsAddressAndAChangeIsFollowed) {
    Link nic = ethernet(3, "eth1");
    nic.mac = MacAddress::parse("52:54:00:00:00:03").value();
    uplinks_.choose({ethernet(2, "eth0"), nic}, {}, {});
    EXPECT_TRUE(std::ranges::equal(devices_for({}).at(3).mac, MacAddress().bytes())) << "none's master";
    uplinks_.choose({ethernet(2, "eth0"), nic}, {}, {"eth1"});
    EXPECT_TRUE(std::ranges::equal(devices_for({}).at(3).mac, nic.mac->bytes()));
    EXPECT_FALSE(uplinks_.concerns({Change::present, nic}));
    nic.mac = MacAddress::parse("52:54:00:00:00:04").value();
    EXPECT_TRUE(uplinks_.concerns({Change::present, nic}));
}

TEST_F(UplinksTest, MacvlanOfAnotherNamespace_SharesNothingHere) {
    Link upper = standing_on(3, ethernet(9, "mv0", "macvlan"));
    upper.link_netnsid = 4;
    EXPECT_FALSE(choose_uplinks({ethernet(3, "eth1"), upper}, {}).at(3).is_shared);
}

TEST_F(UplinksTest, MacvlanWithoutAHookOfItsOwn_LeavesItToTheDeviceBelow) {
    Link shim = standing_on(3, ethernet(9, "podlane-lan", "macvlan"));
    shim.alias = "podlane shim lan";
    const auto chosen = choose_uplinks({ethernet(3, "eth1"), shim}, {});
    EXPECT_FALSE(chosen.at(3).is_shared);
    EXPECT_TRUE(chosen.at(9).inner);
}

TEST_F(UplinksTest, HooksFollowTheRoleAndTheLinkLayer) {
    std::vector<std::string> hooks;
    for (const auto& hook : uplinks_.hooks(peer_facing_)) {
        hooks.push_back(fmt::format("{} {}", hook.device, to_string(hook.hook)));
    }
    EXPECT_THAT(hooks, testing::UnorderedElementsAre("eth0 from-underlay", "eth0 to-underlay", "eth1 from-uplink",
                                                     "eth1 to-underlay", "docker0 from-uplink", "docker0 to-underlay",
                                                     "wg0 from-l3-uplink", "wg0 to-l3-uplink", "eth2 from-uplink",
                                                     "eth2 to-underlay", "mv0 from-uplink", "mv0 to-underlay",
                                                     "eth3 from-uplink", "eth3 to-underlay"));
    EXPECT_EQ(uplinks_.hooks({{6, "wg0"}}).front(), (WantedHook{Hook::from_l3_uplink, 6, "wg0"}));
}

TEST_F(UplinksTest, BeforeADeviceListIsRead_PeerFacingDevicesHaveTheirHooks) {
    EXPECT_EQ(Uplinks().hooks(peer_facing_),
              (std::vector<WantedHook>{{Hook::from_underlay, 2, "eth0"}, {Hook::to_underlay, 2, "eth0"}}));
}

TEST_F(UplinksTest, AddressIsTheDevicesFirstGlobalOne_OtherwiseTheNodes) {
    constexpr std::uint8_t link_scope = 253;
    const auto found = devices_for({{.ifindex = 2, .address = address("192.168.0.77"), .prefix_length = 24},
                                    {.ifindex = 2, .address = node_, .prefix_length = 24},
                                    {.ifindex = 3, .address = address("169.254.1.1"), .scope = link_scope},
                                    {.ifindex = 3, .address = address("172.20.0.1"), .prefix_length = 24},
                                    {.ifindex = 3, .address = address("172.20.0.2"), .prefix_length = 24},
                                    {.ifindex = 10, .address = address("10.244.1.1")}});
    EXPECT_EQ(found.at(2).address, node_.wire());
    EXPECT_EQ(found.at(2).flags, unsigned{NAT_DEVICE_OWN});
    EXPECT_EQ(found.at(3).address, address("172.20.0.1").wire());
    EXPECT_EQ(found.at(3).flags, unsigned{NAT_DEVICE_OWN} | NAT_DEVICE_SHARED);
    EXPECT_EQ(found.at(6).address, node_.wire()) << "wg0 has none";
    EXPECT_EQ(found.at(6).flags, unsigned{NAT_DEVICE_L3});
    EXPECT_EQ(found.at(10).address, 0U);
    EXPECT_EQ(found.at(10).flags, unsigned{NAT_DEVICE_INNER});
    EXPECT_FALSE(found.contains(5)) << "a bridge's port is no way out";
    EXPECT_FALSE(found.contains(1));
}

TEST_F(UplinksTest, ShimThatCarriesTheHost_IsAnUplinkKnownBelow) {
    auto links = devices();
    auto shim = standing_on(3, ethernet(20, "podlane-lan", "macvlan"));
    shim.mac = MacAddress({0x96, 0x60, 0x89, 0xc5, 0x73, 0xa8});
    shim.alias = "podlane shim lan";
    links.push_back(shim);
    EXPECT_TRUE(choose_uplinks(links, {}).at(20).inner);
    EXPECT_EQ(choose_uplinks(links, {}).at(3).shim_mac, *shim.mac);
    EXPECT_FALSE(choose_uplinks(links, {}).at(3).has_host_above);
    links.back().alias = "podlane shim lan carries the host";
    uplinks_.choose(links, {10, 11}, {});
    const auto found = devices_for({{.ifindex = 20, .address = address("172.20.7.100"), .prefix_length = 24}});
    EXPECT_EQ(found.at(20).flags, unsigned{NAT_DEVICE_OWN});
    EXPECT_EQ(found.at(20).address, address("172.20.7.100").wire());
    EXPECT_EQ(found.at(3).flags, unsigned{NAT_DEVICE_SHARED} | NAT_DEVICE_HOST_ABOVE) << "another macvlan shares it";
    EXPECT_TRUE(std::ranges::equal(found.at(3).shim_mac, shim.mac->bytes()));
    EXPECT_THAT(uplinks_.hooks(peer_facing_), testing::Contains(WantedHook{Hook::to_underlay, 20, "podlane-lan"}));
}

TEST_F(UplinksTest, DeviceWithoutItsHook_HasNoEntry) {
    const auto found = devices_for({{.ifindex = 3, .address = address("172.20.0.1")}}, {3, 6});
    EXPECT_FALSE(found.contains(3));
    EXPECT_FALSE(found.contains(6));
    EXPECT_TRUE(found.contains(4));
    EXPECT_TRUE(found.contains(10)) << "needs none";
}

TEST_F(UplinksTest, PassIsDueForDevicesThatComeGoOrChangeTheirMaster) {
    EXPECT_TRUE(uplinks_.concerns({Change::present, ethernet(20, "eth9")}));
    EXPECT_TRUE(uplinks_.concerns({Change::gone, changed(3)}));
    EXPECT_TRUE(uplinks_.concerns({Change::present, port_of(4, changed(3))})) << "joins docker0";
    EXPECT_TRUE(uplinks_.concerns({Change::present, port_of(0, changed(5))})) << "leaves docker0";
    EXPECT_TRUE(uplinks_.concerns({Change::present, ethernet(3, "lan0")})) << "another name";
    Link up = changed(3);
    up.flags |= IFF_UP;
    EXPECT_FALSE(uplinks_.concerns({Change::present, up}));
    Link smaller = changed(3);
    smaller.mtu = 1400;
    EXPECT_TRUE(uplinks_.concerns({Change::present, smaller}));
    EXPECT_FALSE(uplinks_.concerns({Change::present, changed(5)}));
    EXPECT_FALSE(uplinks_.concerns({Change::gone, ethernet(20, "eth9")}));
    EXPECT_FALSE(Uplinks().concerns({Change::present, changed(3)}));
}

}  // namespace
}  // namespace podlane
