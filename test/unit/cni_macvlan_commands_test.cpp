// SPDX-License-Identifier: Apache-2.0
// ADD and CHECK of a macvlan, our own or another plugin's, seen from outside like those of a veth.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/cni_commands_fixture.h"

namespace podlane::cni {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CniMacvlanCommandsTest : public CniCommandsTest {
protected:
    CniMacvlanCommandsTest() {
        config_.link = LinkKind::macvlan;
        config_.macvlan.master = "em2";
        config_.ipam = json{{"type", "host-local"}};
        ipam_.next = {*Ipv4Address::parse("172.20.7.51"), *Ipv4Address::parse("172.20.7.254"), {Route()}, {}, 24};
        agent_.macvlans = {{"lan", "em2", "bridge", *Ipv4Address::parse("172.20.7.100"), lan_routes_}};
    }
    [[nodiscard]] static json gateways(const json& result) {
        json found;
        for (const auto& route : result["routes"]) {
            found[route["dst"].get<std::string>()] = route.value("gw", "");
        }
        return found;
    }

    std::vector<Ipv4Prefix> lan_routes_{*Ipv4Prefix::parse("10.244.0.0/16"), *Ipv4Prefix::parse("10.32.0.0/24")};
};

TEST_F(CniMacvlanCommandsTest, Add_LooksAtTheMasterBeforeItAsksForAnAddress) {
    const auto result = run_add();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_THAT(script_.journal, ElementsAre("link exists", "agent network", "link master em2", "link prepare",
                                             "ipam add c1", "link create", "agent add c1-eth0"));
    EXPECT_EQ((*result)["ips"][0]["address"], "172.20.7.51/24");
    EXPECT_EQ(gateways(*result),
              json({{"0.0.0.0/0", ""}, {"10.244.0.0/16", "172.20.7.100"}, {"10.32.0.0/24", "172.20.7.100"}}));
}

TEST_F(CniMacvlanCommandsTest, Add_FillsTheWholeRecord) {
    ASSERT_TRUE(run_add());
    EXPECT_EQ(links_.created.endpoint.to_json(), json({{"containerID", "c1"},
                                                       {"ifName", "eth0"},
                                                       {"netns", "/run/netns/a"},
                                                       {"namespace", "default"},
                                                       {"name", "web"},
                                                       {"uid", "u1"},
                                                       {"network", "podlane"},
                                                       {"link", "macvlan"},
                                                       {"master", "em2"},
                                                       {"mode", "bridge"},
                                                       {"ip", "172.20.7.51"},
                                                       {"gateway", "172.20.7.254"},
                                                       {"mac", derived_pod_mac("c1", "eth0").to_string()},
                                                       {"mtu", 1500},
                                                       {"mtuFixed", false}}));
}

TEST_F(CniMacvlanCommandsTest, DeviceIsWhole_BeforeAnIpamPluginAsksThroughIt) {
    config_.macvlan.broadcast_queue = 2000;
    ASSERT_TRUE(run_add());
    EXPECT_EQ(links_.prepared.broadcast_queue, 2000U);
    auto endpoint = links_.created.endpoint;
    endpoint.ip = endpoint.gateway = Ipv4Address();
    EXPECT_EQ(links_.prepared.endpoint, endpoint);
}

TEST_F(CniMacvlanCommandsTest, EachFailure_IsUndoneInReverseOrder) {
    const std::vector<std::string> steps{"link prepare", "ipam add", "link create", "agent add"};
    const std::vector<std::string> undone{"agent remove c1-eth0", "ipam remove c1", "link remove c1-eth0"};
    const std::map<std::string, std::ptrdiff_t> first_undone{
        {"link prepare", 3}, {"ipam add", 1}, {"link create", 1}, {"agent add", 0}};
    for (const auto& step : steps) {
        script_.failing = {{step, EIO}};
        script_.journal.clear();
        EXPECT_FALSE(run_add()) << step;
        const auto at = std::ranges::find_if(script_.journal, [&](const auto& call) { return call.starts_with(step); });
        ASSERT_NE(at, script_.journal.end());
        EXPECT_EQ(std::vector<std::string>(at + 1, script_.journal.end()),
                  std::vector<std::string>(undone.begin() + first_undone.at(step), undone.end()))
            << step;
    }
}

TEST_F(CniMacvlanCommandsTest, Del_GivesTheAddressBackThroughTheDevice) {
    EXPECT_TRUE(remove(invocation_, config_, ports_));
    EXPECT_THAT(script_.journal, ElementsAre("agent remove c1-eth0", "ipam remove c1", "link remove c1-eth0"));
}

TEST_F(CniMacvlanCommandsTest, UnsuitableMaster_LeavesNothingToUndo) {
    script_.failing["link master"] = ENODEV;
    EXPECT_FALSE(run_add());
    EXPECT_EQ(script_.journal.back(), "link master em2");
}

TEST_F(CniMacvlanCommandsTest, MtuAboveTheMasters_IsAConfigurationError) {
    config_.mtu = 1501;
    const auto result = run_add();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, 7U);
    EXPECT_EQ(result.error().message, "mtu: 1501 is more than the 1500 of its master em2");
    EXPECT_EQ(script_.journal.back(), "link master em2");
    config_.mtu = 1500;
    EXPECT_TRUE(run_add());
}

// The agent says 1450.
TEST_F(CniMacvlanCommandsTest, RoutesThroughTheHost_HaveTheOverlaysMtuWhereTheInterfacesIsLarger) {
    for (const auto& [interface_mtu, expected] :
         {std::pair{0U, json(1450)}, {1451U, json(1450)}, {1450U, json()}, {1400U, json()}}) {
        config_.mtu = interface_mtu;  // 0: the master's 1500
        const auto result = run_add();
        ASSERT_TRUE(result) << result.error().message;
        for (const auto& route : (*result)["routes"]) {
            const bool default_route = route["dst"] == "0.0.0.0/0";
            EXPECT_EQ(route.value("mtu", json()), default_route ? json() : expected) << interface_mtu << route;
        }
        EXPECT_EQ((*result)["routes"].size(), 3U);
    }
}

TEST_F(CniMacvlanCommandsTest, RouteThatTheConfigurationHas_StaysTheOnlyOneOfItsDestination) {
    Route services;
    services.destination = *Ipv4Prefix::parse("10.32.0.0/24");
    services.gateway = *Ipv4Address::parse("172.20.7.253");
    ipam_.next.routes = {services};
    const auto result = run_add();
    ASSERT_TRUE(result);
    EXPECT_EQ((*result)["routes"].size(), 2U) << *result;
    EXPECT_EQ(gateways(*result), json({{"10.32.0.0/24", "172.20.7.253"}, {"10.244.0.0/16", "172.20.7.100"}}));
}

TEST_F(CniMacvlanCommandsTest, OtherModesAndOtherMasters_GetNoRoutesThroughTheHost) {
    for (const char* const mode : {"private", "vepa", "passthru"}) {
        config_.macvlan.mode = mode;
        const auto result = run_add();
        ASSERT_TRUE(result) << mode;
        EXPECT_EQ(gateways(*result), json({{"0.0.0.0/0", ""}})) << mode;
    }
    config_.macvlan.mode = "bridge";
    agent_.macvlans[0].master = "em3";
    EXPECT_EQ(gateways(*run_add()), json({{"0.0.0.0/0", ""}}));
}

// A second interface: what comes in by the first is answered by it.
TEST_F(CniMacvlanCommandsTest, WhereAnotherInterfaceLeads_NoRouteThroughTheHostIsAdded) {
    links_.others = {*Ipv4Prefix::parse("10.244.0.0/16")};
    EXPECT_EQ(gateways(*run_add()), json({{"0.0.0.0/0", ""}, {"10.32.0.0/24", "172.20.7.100"}}));
    links_.others = {Ipv4Prefix()};
    EXPECT_EQ(gateways(*run_add()), json({{"0.0.0.0/0", ""}}));
}

TEST_F(CniMacvlanCommandsTest, UnknownHostAddress_IsTriedAgainLater) {
    agent_.macvlans[0].host_address = Ipv4Address();
    const auto result = run_add();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, 11U);
    EXPECT_THAT(result.error().message, HasSubstr("no address on em2"));
    EXPECT_EQ(script_.journal.back(), "link remove c1-eth0");
}

TEST_F(CniMacvlanCommandsTest, Mac_IsTheLastOnesWhoAsksExceptInPassthru) {
    const auto mac = [&] {
        const auto result = run_add();
        return result ? (*result)["interfaces"][0]["mac"].get<std::string>() : result.error().message;
    };
    config_.macvlan.mac = *MacAddress::parse("02:00:00:00:00:11");
    EXPECT_EQ(mac(), "02:00:00:00:00:11");
    invocation_.args["MAC"] = "02:00:00:00:00:12";
    EXPECT_EQ(mac(), "02:00:00:00:00:12");
    config_.macvlan.runtime_mac = *MacAddress::parse("02:00:00:00:00:13");
    EXPECT_EQ(mac(), "02:00:00:00:00:13");
    config_.macvlan.mode = "passthru";
    EXPECT_EQ(mac(), "02:00:00:00:00:e2") << "the master's";
    invocation_.args["MAC"] = "x";
    EXPECT_THAT(mac(), HasSubstr("CNI_ARGS: MAC"));
}

TEST_F(CniMacvlanCommandsTest, WithoutAGateway_TheResultHasNone) {
    ipam_.next.gateway.reset();
    const auto result = run_add();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_FALSE((*result)["ips"][0].contains("gateway"));
}

TEST_F(CniMacvlanCommandsTest, WithoutAnAddress_NothingIsRecorded) {
    ipam_.next = {};
    config_.ipam.reset();
    config_.ipam_type.clear();
    const auto result = run_add();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ((*result)["ips"], json::array());
    EXPECT_EQ(script_.journal.back(), "link create");
    config_.prev_result = *result;
    EXPECT_TRUE(check(invocation_, config_, ports_));
}

TEST_F(CniMacvlanCommandsTest, Check_ExpectsWhatTheConfigurationAndTheRecordSay) {
    config_.prev_result = convert_result(*run_add(), version_1_0_0);  // without an mtu
    agent_.known = links_.created.endpoint;
    config_.macvlan.master.clear();
    const auto checked = check(invocation_, config_, ports_);
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_EQ(links_.compared.endpoint.link, "macvlan");
    EXPECT_EQ(links_.compared.endpoint.master, "em2");
    EXPECT_EQ(links_.compared.endpoint.mode, "bridge");
    EXPECT_EQ(links_.compared.endpoint.mtu, 1500U);
    EXPECT_EQ(links_.compared.prefix_length, 24U);
    EXPECT_EQ(links_.compared.routes.size(), 3U);
}

// The reference macvlan plugin before us, and nothing but the type in our configuration.
class CniAdoptTest : public CniMacvlanCommandsTest {
protected:
    CniAdoptTest() {
        config_.link = LinkKind::veth;
        config_.macvlan = {};
        config_.ipam.reset();
        config_.prev_result = json::parse(R"({
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:77", "sandbox": "/run/netns/a"}],
            "ips": [{"address": "172.20.7.51/24", "gateway": "172.20.7.254", "interface": 0}],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.32.0.0/24", "gw": "172.20.7.100"}], "dns": {}})");
    }
};

TEST_F(CniAdoptTest, Add_AddsTheMissingRoutesAndTheRecord) {
    const auto result = run_add();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_THAT(script_.journal,
                ElementsAre("agent network", "link adoptable", "link add routes", "agent add c1-eth0"));
    auto expected = *config_.prev_result;
    expected["cniVersion"] = "1.1.0";
    expected["routes"].push_back({{"dst", "10.244.0.0/16"}, {"gw", "172.20.7.100"}, {"mtu", 1450}});
    EXPECT_EQ(*result, expected);
    const auto& endpoint = links_.created.endpoint;
    EXPECT_EQ(endpoint.mac.to_string(), "02:00:00:00:00:77");
    EXPECT_EQ(endpoint.ip.to_string(), "172.20.7.51");
    EXPECT_EQ(endpoint.name, "web");
    EXPECT_EQ(endpoint.link + " " + endpoint.master + " " + endpoint.mode, "macvlan em2 bridge");
    EXPECT_EQ(links_.created.routes.size(), 1U);
}

TEST_F(CniAdoptTest, EndpointRefused_TakesTheRoutesBack) {
    script_.failing["agent add"] = EIO;
    EXPECT_FALSE(run_add());
    EXPECT_THAT(script_.journal, ElementsAre("agent network", "link adoptable", "link add routes", "agent add c1-eth0",
                                             "agent remove c1-eth0", "link remove routes"));
}

TEST_F(CniAdoptTest, WhatCannotBeAdopted_IsRefusedBeforeAnythingIsDone) {
    script_.failing["link adoptable"] = EINVAL;
    EXPECT_FALSE(run_add());
    EXPECT_EQ(script_.journal.back(), "link adoptable");
    script_.failing.clear();
    auto without_address = *config_.prev_result;
    without_address.erase("ips");
    std::swap(*config_.prev_result, without_address);
    EXPECT_EQ(run_add().error().message, "prevResult has no IPv4 address of interface eth0");
    std::swap(*config_.prev_result, without_address);
    config_.ipam = json{{"type", "host-local"}};
    EXPECT_EQ(run_add().error().code, 7U);
}

TEST_F(CniAdoptTest, Check_ComparesWithTheRecord) {
    config_.prev_result = *run_add();
    agent_.known = links_.created.endpoint;
    const auto checked = check(invocation_, config_, ports_);
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_EQ(links_.compared.endpoint.master, "em2");
    EXPECT_EQ(links_.compared.endpoint.mode, "bridge");
}

TEST_F(CniAdoptTest, AdoptedInterface_IsToldFromOurOwn) {
    EXPECT_TRUE(is_adopted(invocation_, config_));
    config_.prev_result.reset();
    EXPECT_FALSE(is_adopted(invocation_, config_));
    config_.prev_result = *run_add();  // a veth of our own
    EXPECT_FALSE(is_adopted(invocation_, config_));
}

}  // namespace
}  // namespace podlane::cni
