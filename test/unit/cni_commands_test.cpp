// SPDX-License-Identifier: Apache-2.0
// The order of what ADD, DEL, CHECK and GC do, seen from outside: every call on the kernel, the IPAM plugin and the
// agent goes into one journal, and any of them can be made to fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/cni_commands_fixture.h"

namespace podlane::cni {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(CniCommandsTest, Add_AsksTheAgentBeforeAnythingIsMade) {
    const auto result = run_add();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_THAT(script_.journal,
                ElementsAre("link exists", "agent network", "ipam add c1", "link create", "agent add c1-eth0"));
    EXPECT_EQ((*result)["ips"][0]["address"], "10.244.1.2/32");
}

TEST_F(CniCommandsTest, Add_FillsTheWholeRecord) {
    ASSERT_TRUE(run_add());
    const auto& endpoint = links_.created.endpoint;
    EXPECT_EQ(endpoint.to_json(), json({{"containerID", "c1"},
                                        {"ifName", "eth0"},
                                        {"netns", "/run/netns/a"},
                                        {"namespace", "default"},
                                        {"name", "web"},
                                        {"uid", "u1"},
                                        {"network", "podlane"},
                                        {"link", "veth"},
                                        {"ip", "10.244.1.2"},
                                        {"gateway", "10.244.1.1"},
                                        {"mac", derived_pod_mac("c1", "eth0").to_string()},
                                        {"hostInterface", host_interface_name("c1", "eth0")},
                                        {"hostMac", derived_host_mac("c1", "eth0").to_string()},
                                        {"mtu", 1450},
                                        {"mtuFixed", false}}));
}

TEST_F(CniCommandsTest, MtuAndDnsOfTheConfiguration_ComeBeforeTheOthers) {
    config_.mtu = 1400;
    config_.dns = {{"domain", "lan"}};
    ipam_.next.dns = {{"domain", "wan"}};
    const auto result = run_add();
    ASSERT_TRUE(result);
    EXPECT_EQ(links_.created.endpoint.mtu, 1400U);
    EXPECT_TRUE(links_.created.endpoint.mtu_fixed);
    EXPECT_EQ((*result)["dns"]["domain"], "lan");
}

TEST_F(CniCommandsTest, IpamRoutesWithoutADefault_GetOne) {
    Route services;
    services.destination = *Ipv4Prefix::parse("10.96.0.0/12");
    ipam_.next.routes = {services};
    ASSERT_TRUE(run_add());
    ASSERT_EQ(links_.created.routes.size(), 2U);
    EXPECT_EQ(links_.created.routes[1].destination, Ipv4Prefix());
}

TEST_F(CniCommandsTest, IpamRoutesWithADefault_StayAsTheyAre) {
    Route own;
    own.gateway = *Ipv4Address::parse("10.244.1.9");
    ipam_.next.routes = {own};
    ASSERT_TRUE(run_add());
    EXPECT_EQ(links_.created.routes, std::vector{own});
}

TEST_F(CniCommandsTest, IpamWithoutGateway_GetsTheFirstAddressOfThePodCidr) {
    ipam_.next.gateway.reset();
    ASSERT_TRUE(run_add());
    EXPECT_EQ(links_.created.endpoint.gateway.to_string(), "10.244.1.1");
}

TEST_F(CniCommandsTest, IpamWithoutGatewayOutsideThePodCidr_IsAConfigurationError) {
    ipam_.next = {*Ipv4Address::parse("192.168.9.5"), std::nullopt, {}, {}};
    EXPECT_EQ(run_add().error().code, 7U);
    EXPECT_EQ(script_.journal.back(), "ipam remove c1");
}

TEST_F(CniCommandsTest, EndpointRefused_IsUndoneInReverseOrder) {
    script_.failing["agent add"] = ETIMEDOUT;
    const auto result = run_add();
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("agent add"));
    EXPECT_THAT(script_.journal,
                ElementsAre("link exists", "agent network", "ipam add c1", "link create", "agent add c1-eth0",
                            "agent remove c1-eth0", "link remove c1-eth0", "ipam remove c1"));
}

TEST_F(CniCommandsTest, LinkRefused_GivesTheAddressBack) {
    script_.failing["link create"] = EPERM;
    const auto result = run_add();
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("link create"));
    EXPECT_THAT(script_.journal,
                ElementsAre("link exists", "agent network", "ipam add c1", "link create", "ipam remove c1"));
}

TEST_F(CniCommandsTest, AddressRefused_IsFollowedByIpamDel) {
    script_.failing["ipam add"] = ENOSPC;
    EXPECT_FALSE(run_add());
    EXPECT_THAT(script_.journal, ElementsAre("link exists", "agent network", "ipam add c1", "ipam remove c1"));
}

TEST_F(CniCommandsTest, FailureWhileUndoing_DoesNotStopTheRestNorHideTheCause) {
    script_.failing = {{"agent add", EIO}, {"agent remove", EIO}, {"link remove", EIO}, {"ipam remove", EIO}};
    const auto result = run_add();
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("agent add"));
    EXPECT_EQ(script_.journal.back(), "ipam remove c1");
}

TEST_F(CniCommandsTest, AgentAway_LeavesNothingToUndo) {
    script_.failing["agent network"] = ECONNREFUSED;
    EXPECT_EQ(run_add().error().code, 11U);
    EXPECT_THAT(script_.journal, ElementsAre("link exists", "agent network"));
}

TEST_F(CniCommandsTest, SandboxThatCannotBeUsed_HasACodeOfItsOwn) {
    const std::pair<int, unsigned> cases[] = {{ENOENT, 3U}, {EINVAL, 4U}, {EACCES, 100U}};
    for (const auto& [error, code] : cases) {
        script_.failing["link exists"] = error;
        EXPECT_EQ(run_add().error().code, code);
    }
}

TEST_F(CniCommandsTest, InterfaceThatExists_IsRefusedBeforeAnythingIsMade) {
    links_.present = true;
    const auto result = run_add();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message, "interface eth0 exists in /run/netns/a already");
    EXPECT_THAT(script_.journal, ElementsAre("link exists"));
}

// The store of addresses was lost, the pods were not.
TEST_F(CniCommandsTest, AddressThatARunningPodHas_GoesBackToThatPod) {
    agent_.recorded = {endpoint_of("old", "podlane", "10.244.1.2"), endpoint_of("c1", "podlane", "10.244.1.3")};
    const auto result = run_add();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_THAT(script_.journal,
                ElementsAre("link exists", "agent network", "ipam add c1", "ipam remove c1",
                            "ipam reserve old 10.244.1.2", "ipam add c1", "link create", "agent add c1-eth0"));
    EXPECT_EQ(links_.created.endpoint.ip.to_string(), "10.244.1.3");
}

TEST_F(CniCommandsTest, Del_NeedsNoPrevResultAndGoesOnAfterFailures) {
    script_.failing = {{"agent remove", EIO}, {"link remove", EPERM}};
    invocation_.netns = "";
    const auto removed = remove(invocation_, config_, ports_);
    ASSERT_FALSE(removed);
    EXPECT_THAT(removed.error().message, HasSubstr("agent remove"));
    EXPECT_THAT(script_.journal, ElementsAre("agent remove c1-eth0", "link remove c1-eth0", "ipam remove c1"));
}

TEST_F(CniCommandsTest, Check_AcceptsWhatAddReported) {
    config_.prev_result = *run_add();
    agent_.known = links_.created.endpoint;
    script_.journal.clear();
    const auto checked = check(invocation_, config_, ports_);
    EXPECT_TRUE(checked) << checked.error().message;
    EXPECT_THAT(script_.journal, ElementsAre("agent endpoint", "ipam check c1"));
}

TEST_F(CniCommandsTest, Check_NamesEveryDifference) {
    config_.prev_result = *run_add();
    agent_.known = links_.created.endpoint;
    agent_.known->ip = *Ipv4Address::parse("10.244.1.99");
    links_.found_differences = {"interface eth0 is down"};
    const auto checked = check(invocation_, config_, ports_);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, 101U);
    EXPECT_EQ(checked.error().message,
              "interface eth0 is down; podlane-agent has address 10.244.1.99 for it, not 10.244.1.2");
}

TEST_F(CniCommandsTest, Check_NoticesThatTheAgentDoesNotKnowTheEndpoint) {
    config_.prev_result = *run_add();
    EXPECT_EQ(check(invocation_, config_, ports_).error().message, "podlane-agent does not know endpoint c1-eth0");
}

TEST_F(CniCommandsTest, CheckWithTheAgentAway_IsCode11UnlessSomethingIsWrong) {
    config_.prev_result = *run_add();
    script_.failing["agent endpoint"] = ECONNREFUSED;
    EXPECT_EQ(check(invocation_, config_, ports_).error().code, 11U);
    links_.found_differences = {"interface eth0 is down"};
    const auto checked = check(invocation_, config_, ports_);
    EXPECT_EQ(checked.error().code, 101U);
    EXPECT_EQ(checked.error().message, "interface eth0 is down; agent endpoint: Connection refused");
}

TEST_F(CniCommandsTest, CheckWithoutPrevResult_IsAConfigurationError) {
    EXPECT_EQ(check(invocation_, config_, ports_).error().code, 7U);
}

TEST_F(CniCommandsTest, Gc_RemovesWhatIsNotListedOfThisNetworkOnly) {
    config_.valid_attachments = {{"alive", "eth0", ""}};
    agent_.recorded = {endpoint_of("alive", "podlane", "10.244.1.2"), endpoint_of("stale", "podlane", "10.244.1.3"),
                       endpoint_of("other", "lan", "10.244.1.4")};
    ipam_.listed = {{"alive", "eth0", ""}, {"stale", "eth0", ""}, {"half", "eth0", ""}};
    EXPECT_TRUE(collect_garbage(config_, ports_));
    EXPECT_THAT(script_.journal,
                ElementsAre("agent remove stale-eth0", "link remove stale-eth0", "ipam remove stale",
                            "agent remove half-eth0", "link remove half-eth0", "ipam remove half", "ipam gc"));
}

TEST_F(CniCommandsTest, Gc_GoesOnAfterAFailureAndReportsIt) {
    agent_.recorded = {endpoint_of("s1", "podlane", "10.244.1.2"), endpoint_of("s2", "podlane", "10.244.1.3")};
    script_.failing["link remove"] = EPERM;
    const auto collected = collect_garbage(config_, ports_);
    ASSERT_FALSE(collected);
    EXPECT_THAT(collected.error().message, HasSubstr("link remove"));
    EXPECT_THAT(script_.journal, testing::Contains("ipam remove s2"));
}

TEST_F(CniCommandsTest, Status_Is50WhenTheAgentOrTheIpamPluginCannotServe) {
    EXPECT_TRUE(status(ports_));
    ipam_.answer = {7, "not on CNI_PATH", ""};
    EXPECT_EQ(status(ports_).error().code, 50U);
    ipam_.answer = {51, "limited", ""};
    EXPECT_EQ(status(ports_).error().code, 51U);
    script_.failing["agent network"] = ECONNREFUSED;
    EXPECT_EQ(status(ports_).error().code, 50U);
}

}  // namespace
}  // namespace podlane::cni
