// SPDX-License-Identifier: Apache-2.0
// The order of what ADD, DEL, CHECK and GC do, seen from outside: every call on the kernel, the IPAM plugin and the
// agent goes into one journal, and any of them can be made to fail.
#include "agent/cni/commands.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane::cni {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// What the three ports share: the journal, and which call fails.
struct Script {
    std::vector<std::string> journal;
    std::map<std::string, int> failing;  // "link create" -> errno

    Result<void> step(const std::string& call, const std::string& argument = {}) {
        journal.push_back(argument.empty() ? call : call + " " + argument);
        const auto found = failing.find(call);
        return found == failing.end() ? Result<void>() : fail_errno(found->second, "{}", call);
    }
    Outcome<void> outcome(const std::string& call, const std::string& argument = {}) {
        const auto done = step(call, argument);
        return done ? Outcome<void>() : refuse_because(Code::try_again_later, done.error());
    }
};

class ScriptedLinks final : public Links {
public:
    explicit ScriptedLinks(Script& script) : script_(script) {}
    Result<bool> exists(const std::string&, const std::string&) override {
        const auto done = script_.step("link exists");
        return done ? Result<bool>(present) : std::unexpected(done.error());
    }
    Result<void> create(const Attachment& attachment) override {
        created = attachment;
        return script_.step("link create");
    }
    Result<void> remove(const Endpoint& endpoint) override { return script_.step("link remove", endpoint.id()); }
    Result<std::vector<std::string>> differences(const Attachment&) override { return found_differences; }

    bool present = false;
    Attachment created;
    std::vector<std::string> found_differences;

private:
    Script& script_;
};

class ScriptedIpam final : public Ipam {
public:
    explicit ScriptedIpam(Script& script) : script_(script) {}
    Outcome<IpamResult> add(const AttachmentKey& who, std::span<const Ipv4Prefix>) override {
        auto result = next;
        next.ip = Ipv4Address::from_host(next.ip.host() + 1);
        const auto done = script_.outcome("ipam add", who.container_id);
        return done ? Outcome<IpamResult>(result) : std::unexpected(done.error());
    }
    Outcome<void> reserve(const AttachmentKey& who, std::span<const Ipv4Prefix>, Ipv4Address ip) override {
        return script_.outcome("ipam reserve", fmt::format("{} {}", who.container_id, ip));
    }
    Outcome<void> remove(const AttachmentKey& who) override { return script_.outcome("ipam remove", who.container_id); }
    Outcome<void> check(const AttachmentKey& who) override { return script_.outcome("ipam check", who.container_id); }
    std::vector<AttachmentKey> holders() override { return listed; }
    Outcome<void> status() override { return answer.code == 0 ? Outcome<void>() : std::unexpected(answer); }
    Outcome<void> collect_garbage() override { return script_.outcome("ipam gc"); }

    IpamResult next{*Ipv4Address::parse("10.244.1.2"), Ipv4Address::parse("10.244.1.1").value(), {}, {}};
    std::vector<AttachmentKey> listed;
    Failure answer;

private:
    Script& script_;
};

class ScriptedAgent final : public Agent {
public:
    explicit ScriptedAgent(Script& script) : script_(script) {}
    Outcome<NodeNetwork> network() override {
        const auto done = script_.outcome("agent network");
        return done ? Outcome<NodeNetwork>(NodeNetwork{{*Ipv4Prefix::parse("10.244.1.0/24")}, 1450})
                    : std::unexpected(done.error());
    }
    Outcome<std::optional<Endpoint>> endpoint(const std::string&) override {
        const auto done = script_.outcome("agent endpoint");
        return done ? Outcome<std::optional<Endpoint>>(known) : std::unexpected(done.error());
    }
    Outcome<std::vector<Endpoint>> endpoints() override { return recorded; }
    Outcome<void> add_endpoint(const Endpoint& endpoint) override {
        return script_.outcome("agent add", endpoint.id());
    }
    Outcome<void> remove_endpoint(const std::string& id) override { return script_.outcome("agent remove", id); }

    std::vector<Endpoint> recorded;
    std::optional<Endpoint> known;

private:
    Script& script_;
};

class CniCommandsTest : public testing::Test {
protected:
    CniCommandsTest() {
        invocation_.container_id = "c1";
        invocation_.if_name = "eth0";
        invocation_.netns = "/run/netns/a";
        invocation_.args = {{"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", "web"}, {"K8S_POD_UID", "u1"}};
        config_.version = version_1_1_0;
        config_.name = "podlane";
    }
    Outcome<json> run_add() { return add(invocation_, config_, ports_); }

    static Endpoint endpoint_of(const char* container_id, const char* network, const char* ip) {
        Endpoint endpoint;
        endpoint.container_id = container_id;
        endpoint.if_name = "eth0";
        endpoint.network = network;
        endpoint.ip = *Ipv4Address::parse(ip);
        return endpoint;
    }

    Script script_;
    ScriptedLinks links_{script_};
    ScriptedIpam ipam_{script_};
    ScriptedAgent agent_{script_};
    Ports ports_{links_, ipam_, agent_};
    Invocation invocation_;
    NetworkConfig config_;
};

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

TEST_F(CniCommandsTest, PrevResultWithOurInterface_IsNotAdoptedYet) {
    config_.prev_result = json::parse(R"({"interfaces": [{"name": "eth0", "sandbox": "/run/netns/a"}]})");
    EXPECT_EQ(run_add().error().code, 7U);
    EXPECT_TRUE(script_.journal.empty());
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
