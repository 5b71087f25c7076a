// SPDX-License-Identifier: Apache-2.0
#include <linux/if_link.h>
#include <net/if.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/node/macvlan_networks.h"
#include "agent/reconcile/link_shim.h"
#include "agent/state/desired_state.h"

namespace podlane {
namespace {

using netlink::AdminState;
using netlink::ArpUse;
using netlink::LinkChange;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

namespace fs = std::filesystem;

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

const MacAddress pod_mac({2, 0, 0, 0, 7, 0x51});
const MacAddress other_mac({2, 9, 9, 9, 9, 9});

WantedShim wanted() {
    return {.network = "lan",
            .name = "podlane-lan",
            .master = "em2",
            .mac = shim_mac("n1", "lan"),
            .mtu = 1500,
            .address = address("172.20.7.100"),
            .gate = DeviceGate::open};
}

const netlink::Link master{.ifindex = 3, .name = "em2", .mtu = 1500};

netlink::Link good() {
    return {.ifindex = 7,
            .name = "podlane-lan",
            .kind = "macvlan",
            .flags = IFF_UP,
            .mtu = 1500,
            .mac = shim_mac("n1", "lan"),
            .alias = "podlane shim lan",
            .link = 3,
            .macvlan_mode = MACVLAN_MODE_BRIDGE};
}

// ---- the MAC

TEST(ShimMacTest, IsStableLocalAndDiffersByNodeAndNetwork) {
    EXPECT_EQ(shim_mac("n1", "lan").to_string(), "96:60:89:c5:73:a8") << "pods have it in their tables";
    EXPECT_EQ(shim_mac("node-17.example.org", "dmz-10").to_string(), "3e:c5:44:81:39:2d");
    EXPECT_EQ(shim_mac("k\xc3\xb6ln", "lan").to_string(), "6e:e4:b7:92:50:31") << "whatever the sign of char";
    EXPECT_NE(shim_mac("n1", "lan"), shim_mac("n2", "lan"));
    EXPECT_NE(shim_mac("n1", "lan"), shim_mac("n1", "dmz"));
    EXPECT_NE(shim_mac("n1", "1lan"), shim_mac("n11", "lan"));
    EXPECT_TRUE(shim_mac("n1", "lan").is_unicast());
}

// ---- what is done about a shim

struct ShimCase {
    std::string_view name;
    void (*damage)(netlink::Link&);
    ShimAction action;
    LinkChange change;
};

class ShimPlanTest : public testing::TestWithParam<ShimCase> {};

TEST_P(ShimPlanTest, Damage_IsMetByTheLeastThatMendsIt) {
    auto link = good();
    GetParam().damage(link);
    const auto plan = plan_shim(wanted(), &link, &master);
    EXPECT_EQ(plan.action, GetParam().action);
    EXPECT_EQ(plan.change, GetParam().change);
    const auto item = shim_item(wanted(), LinkTable({master, link}));
    EXPECT_EQ(item.state == LinkState::ok, plan.action == ShimAction::none);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, ShimPlanTest,
    testing::ValuesIn(std::vector<ShimCase>{
        {"Good", [](netlink::Link&) {}, ShimAction::none, {}},
        {"Down", [](netlink::Link& link) { link.flags = 0; }, ShimAction::change, {.state = AdminState::up}},
        {"NoArp", [](netlink::Link& link) { link.flags |= IFF_NOARP; }, ShimAction::change, {.arp = ArpUse::on}},
        {"Mtu", [](netlink::Link& link) { link.mtu = 1400; }, ShimAction::change, {.mtu = 1500}},
        {"Mac", [](netlink::Link& link) { link.mac = other_mac; }, ShimAction::change, {.mac = shim_mac("n1", "lan")}},
        {"NoAliasYet", [](netlink::Link& link) { link.alias = ""; }, ShimAction::change, {.alias = "podlane shim lan"}},
        {"AliasOfAnotherNetwork",
         [](netlink::Link& link) { link.alias = "podlane shim dmz"; },
         ShimAction::change,
         {.alias = "podlane shim lan"}},
        {"OtherMode", [](netlink::Link& link) { link.macvlan_mode = MACVLAN_MODE_PRIVATE; }, ShimAction::recreate, {}},
        {"OtherMaster", [](netlink::Link& link) { link.link = 4; }, ShimAction::recreate, {}},
        {"Foreign",
         [](netlink::Link& link) {
             link.alias = "";
             link.mac = other_mac;
         },
         ShimAction::refuse,
         {}},
        {"OtherKind", [](netlink::Link& link) { link.kind = "ipvlan"; }, ShimAction::refuse, {}}}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(ShimPlanTest, ShimWhoseGateIsClosed_IsNeitherBroughtUpNorTakenDown) {
    auto closed = wanted();
    closed.gate = DeviceGate::closed;
    auto link = good();
    EXPECT_EQ(plan_shim(closed, &link, &master).action, ShimAction::none);
    link.flags = 0;
    EXPECT_EQ(plan_shim(closed, &link, &master).action, ShimAction::none);
}

// Its lower device would be the master's: no shim that is made there is ever as wanted.
TEST(ShimPlanTest, MasterThatIsAMacvlan_IsRefused) {
    auto upper = master;
    upper.kind = "macvlan";
    const auto link = good();
    EXPECT_EQ(plan_shim(wanted(), nullptr, &upper).action, ShimAction::refuse);
    EXPECT_EQ(plan_shim(wanted(), &link, &upper).action, ShimAction::refuse);
}

TEST(ShimPlanTest, WhatIsMissing_IsMadeWhereTheMasterIs) {
    EXPECT_EQ(plan_shim(wanted(), nullptr, &master).action, ShimAction::create);
    EXPECT_EQ(plan_shim(wanted(), nullptr, nullptr).action, ShimAction::refuse);
    EXPECT_EQ(shim_item(wanted(), LinkTable({master})).state, LinkState::missing);
}

// ---- the wanted state

MacvlanNetwork network() {
    return {.name = "lan",
            .shim = "podlane-lan",
            .master = "em2",
            .master_mtu = 9000,
            .shim_ifindex = 7,
            .host_address = address("172.20.7.100"),
            .gate = DeviceGate::open,
            .pods = {{.ip = address("172.20.7.51"), .mac = pod_mac}}};
}

class MacvlanStateTest : public testing::Test {
protected:
    [[nodiscard]] DesiredInputs inputs() const {
        DesiredInputs inputs;
        inputs.cluster = &cluster_;
        inputs.paths = &paths_;
        inputs.pods = &pods_;
        inputs.underlay_mtu = 1500;
        inputs.macvlans = &networks_;
        return inputs;
    }
    static OverlaySettings settings() {
        OverlaySettings settings;
        settings.device = "podlane0";
        return settings;
    }
    void SetUp() override {
        Node self;
        self.name = "n1";
        self.internal_ip = self.vtep = address("10.0.0.1");
        self.self = true;
        cluster_.nodes["n1"] = self;
    }
    Cluster cluster_;
    std::map<std::string, PeerPath> paths_;
    std::vector<AttachedPod> pods_;
    std::vector<MacvlanNetwork> networks_ = {network()};
};

TEST_F(MacvlanStateTest, Network_HasAShimWithTheHostsAddressAndRoutesToItsPods) {
    const auto host = desired_host_network(settings(), inputs());
    auto shim = wanted();
    shim.mtu = 9000;
    EXPECT_THAT(host.shims, ElementsAre(shim));
    EXPECT_THAT(host.routes, Contains(WantedRoute{.destination = prefix("172.20.7.51/32"),
                                                  .device = "podlane-lan",
                                                  .source = address("172.20.7.100")}));
    EXPECT_THAT(host.neighbours, ElementsAre(WantedNeighbour{
                                     .device = "podlane-lan", .address = address("172.20.7.51"), .mac = pod_mac}));
    EXPECT_THAT(host.sysctls,
                Contains(WantedSysctl{
                    .key = "net/ipv6/conf/podlane-lan/disable_ipv6", .value = "1", .reach = SysctlReach::own_device}));
    EXPECT_THAT(host.sysctls,
                Contains(WantedSysctl{
                    .key = "net/ipv4/conf/podlane-lan/rp_filter", .value = "0", .reach = SysctlReach::own_device}));
}

TEST_F(MacvlanStateTest, ShimThatCarriesTheHost_HasNoneOfPodlanesAddressesAndRoutes) {
    networks_.front().place = networks_.front().wanted = HostPlace::shim;
    networks_.front().rp_filter = "2";
    const auto host = desired_host_network(settings(), inputs());
    ASSERT_EQ(host.shims.size(), 1U);
    EXPECT_FALSE(host.shims.front().address);
    EXPECT_EQ(host.shims.front().place, HostPlace::shim);
    EXPECT_THAT(host.routes, Not(Contains(testing::Field(&WantedRoute::device, "podlane-lan"))));
    EXPECT_EQ(host.neighbours.size(), 1U) << "pods are known by them";
    for (const auto& [key, value, reach] :
         {WantedSysctl{"net/ipv4/conf/podlane-lan/rp_filter", "2", SysctlReach::own_device},
          WantedSysctl{"net/ipv4/conf/podlane-lan/send_redirects", "0", SysctlReach::own_device},
          WantedSysctl{"net/ipv4/conf/all/send_redirects", "0", SysctlReach::host},
          WantedSysctl{"net/ipv4/conf/em2/arp_ignore", "1", SysctlReach::host}}) {
        EXPECT_THAT(host.sysctls, Contains(WantedSysctl{key, value, reach}));
    }
    EXPECT_EQ(desired_maps(settings(), inputs()).macvlan_pods_by_ipv4.size(), 1U) << "towards peers";
}

TEST_F(MacvlanStateTest, AliasSaysWhoseTheAddressesOnAShimAre) {
    auto carrying = wanted();
    carrying.place = HostPlace::shim;
    auto link = good();
    EXPECT_EQ(plan_shim(carrying, &link, &master).change.alias, "podlane shim lan carries the host");
    link.alias = "podlane shim lan carries the host";
    EXPECT_EQ(plan_shim(carrying, &link, &master).action, ShimAction::none);
    EXPECT_EQ(plan_shim(wanted(), &link, &master).change.alias, "podlane shim lan");
}

TEST_F(MacvlanStateTest, PodsOfANetwork_AreInTheMap) {
    const auto maps = desired_maps(settings(), inputs());
    ASSERT_EQ(maps.macvlan_pods_by_ipv4.size(), 1U);
    const auto pod = maps.macvlan_pods_by_ipv4.at(address("172.20.7.51").wire());
    EXPECT_EQ(pod.ifindex, 7U);
    EXPECT_EQ(pod.host_address, address("172.20.7.100").wire());
    EXPECT_TRUE(std::equal(pod_mac.bytes().begin(), pod_mac.bytes().end(), std::begin(pod.mac)));
}

TEST_F(MacvlanStateTest, WithoutTheHostsAddress_TheShimStaysAndNothingPasses) {
    networks_.front().host_address.reset();
    const auto host = desired_host_network(settings(), inputs());
    ASSERT_EQ(host.shims.size(), 1U);
    EXPECT_FALSE(host.shims.front().address);
    EXPECT_THAT(host.neighbours, IsEmpty());
    EXPECT_THAT(desired_maps(settings(), inputs()).macvlan_pods_by_ipv4, IsEmpty());
}

TEST_F(MacvlanStateTest, WithoutAShim_NoPodIsInTheMap) {
    networks_.front().shim_ifindex = 0;
    EXPECT_THAT(desired_maps(settings(), inputs()).macvlan_pods_by_ipv4, IsEmpty());
}

TEST(MacvlanNatTest, MacvlanPodsAreTranslatedWhetherPodsAreOrNot) {
    SnatSettings settings{.enabled = false, .macvlan = true, .port_low = 20000, .port_high = 29999};
    auto config = desired_nat(settings);
    EXPECT_EQ(config.enabled, 0U);
    EXPECT_EQ(config.macvlan, 1U);
    EXPECT_EQ(config.port_low, 20000U);
    settings.enabled = true;
    config = desired_nat(settings);
    EXPECT_EQ(config.enabled, 1U);
    EXPECT_EQ(config.macvlan, 1U);
    settings = {.enabled = false, .macvlan = false, .port_low = 20000, .port_high = 29999};
    EXPECT_EQ(desired_nat(settings).port_count, 0U);
}

// ---- when a pod is gone

class MacvlanPodsTest : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "podlane-macvlan-XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
        fs::create_directories(directory_ / "netns");
    }
    void TearDown() override { fs::remove_all(directory_); }

    Endpoint add(const std::string& netns) {
        Endpoint endpoint;
        endpoint.container_id = "c1";
        endpoint.if_name = "eth0";
        endpoint.netns = netns;
        endpoint.link = "macvlan";
        endpoint.master = "em2";
        endpoint.mode = "bridge";
        endpoint.ip = address("172.20.7.51");
        endpoint.mac = pod_mac;
        endpoint.mtu = 1500;
        std::vector<std::string> problems;
        EXPECT_TRUE(store_.load(problems).has_value());
        EXPECT_TRUE(store_.put(endpoint).has_value());
        return endpoint;
    }
    fs::path directory_;
    EndpointStore store_{fs::temp_directory_path() / fmt::format("podlane-macvlan-records-{}", getpid())};
    MacvlanNetworks networks_{{MacvlanConfig{.name = "lan", .master = "em2", .shim = "podlane-lan"}},
                              fs::temp_directory_path() / "podlane-macvlan-none-adopted.json"};
};

TEST_F(MacvlanPodsTest, NamespaceThatWasThereAndIsNoMore_EndsItsRecord) {
    const auto netns = (directory_ / "netns" / "c1").string();
    std::ofstream(netns) << "";
    const auto endpoint = add(netns);
    EXPECT_FALSE(networks_.has_gone(store_));
    EXPECT_THAT(networks_.drop_gone(store_), IsEmpty());
    fs::remove(netns);
    EXPECT_TRUE(networks_.has_gone(store_));
    EXPECT_THAT(networks_.drop_gone(store_), ElementsAre(endpoint.id()));
    EXPECT_THAT(store_.all(), IsEmpty());
}

// A record of before a reboot.
TEST_F(MacvlanPodsTest, NamespaceThatWasNeverThereInADirectoryThatIs_EndsItsRecord) {
    add((directory_ / "netns" / "c1").string());
    EXPECT_EQ(networks_.drop_gone(store_).size(), 1U);
}

TEST_F(MacvlanPodsTest, PathThatThisAgentCannotSee_IsNoProof) {
    const auto endpoint = add((directory_ / "elsewhere" / "c1").string());
    EXPECT_THAT(networks_.drop_gone(store_), IsEmpty());
    EXPECT_TRUE(store_.erase(endpoint.id()).value());
    add("");
    EXPECT_THAT(networks_.drop_gone(store_), IsEmpty());
    EXPECT_TRUE(store_.erase(endpoint.id()).value());
}

// The number may be another process's by then, or be one in another PID namespace.
TEST_F(MacvlanPodsTest, PathOfAProcess_IsNoProof) {
    add("/proc/4194304/ns/net");
    EXPECT_THAT(networks_.drop_gone(store_), IsEmpty());
}

TEST_F(MacvlanPodsTest, PodNeedsAShimInBridgeModeOnly) {
    using Service = MacvlanNetworks::Service;
    auto endpoint = add("");
    EXPECT_EQ(networks_.service_of(endpoint), Service::not_served);
    endpoint.mode = "private";
    EXPECT_EQ(networks_.service_of(endpoint), Service::none_needed);
    endpoint.mode = "bridge";
    endpoint.master = "em3";
    EXPECT_EQ(networks_.service_of(endpoint), Service::none_needed);
    EXPECT_TRUE(store_.erase(endpoint.id()).value());
}

}  // namespace
}  // namespace podlane
