// SPDX-License-Identifier: Apache-2.0
// What plan makes of facts. Where the facts come from is in the net suite.
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/migrate/plan.h"
#include "test/unit/migrate_fixture.h"

namespace podlane::migrate {
namespace {

using doctor::Finding;
using doctor::Severity;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const PlannedPod& pod_on(const Plan& plan, const std::string& interface) {
    return *std::ranges::find(plan.pods, interface, &PlannedPod::interface);
}

TEST(MigratePlanTest, NodeInGoodOrder_IsClearAndEveryPodIsAdoptable) {
    const auto plan = make_plan(good_facts());
    EXPECT_THAT(plan.findings, IsEmpty());
    EXPECT_TRUE(plan.is_clear());
    ASSERT_THAT(plan.pods, SizeIs(2));
    const auto& web = pod_on(plan, "veth-web");
    EXPECT_EQ(web.state, PodState::adoptable) << web.reason;
    Endpoint wanted;
    wanted.container_id = "web0123";
    wanted.if_name = "eth0";
    wanted.netns = "/run/netns/web";
    wanted.name_space = "default";
    wanted.name = "web";
    wanted.uid = "uid-web";
    wanted.network = "cbr0";
    wanted.ip = address("10.244.1.2");
    wanted.gateway = address("10.244.1.1");
    wanted.mac = mac(web_mac);
    wanted.host_interface = "veth-web";
    wanted.host_mac = mac("02:00:00:00:00:01");
    wanted.mtu = 1450;
    wanted.mtu_fixed = true;
    EXPECT_EQ(web.endpoint, wanted);
    EXPECT_THAT(plan.steps,
                ElementsAre("apply: write /var/lib/podlane/migration.json", "apply: hand 2 pods on cni0 to the agent",
                            "commit: delete flannel.1, whose MAC 0e:61:06:ff:7a:01 and 2 peers go to podlane0",
                            "commit: remove rule iptables-legacy -t nat -N FLANNEL-POSTRTG",
                            "commit: delete cni0 once no pod is on it (2 now)"));
}

struct ObstacleCase {
    std::string name;
    std::function<void(Facts&)> spoil;
    std::string id;
    std::string evidence;
    Severity severity = Severity::problem;
};

class ObstacleTest : public testing::TestWithParam<ObstacleCase> {};

TEST_P(ObstacleTest, IsTheOnlyFinding) {
    auto facts = good_facts();
    GetParam().spoil(facts);
    const auto plan = make_plan(facts);
    ASSERT_THAT(plan.findings, SizeIs(1));
    const auto& finding = plan.findings.front();
    EXPECT_EQ(finding.id, GetParam().id);
    EXPECT_THAT(finding.evidence, HasSubstr(GetParam().evidence));
    EXPECT_EQ(finding.severity, GetParam().severity);
    EXPECT_EQ(plan.is_clear(), GetParam().severity == Severity::note);
    EXPECT_TRUE(finding.severity == Severity::note || !finding.mend.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Facts, ObstacleTest,
    testing::Values(
        ObstacleCase{"NoDevice", [](Facts& facts) { facts.flannel.reset(); }, "flannel-device", "VNI 1 and port 8472"},
        ObstacleCase{"Vni", [](Facts& facts) { facts.flannel->device.vni = 4096; }, "vxlan-settings",
                     "vni 4096 on flannel.1, 1 in"},
        ObstacleCase{"Port", [](Facts& facts) { facts.flannel->device.port = 4789; }, "vxlan-settings", "port 4789"},
        ObstacleCase{"Mtu", [](Facts& facts) { facts.flannel->device.mtu = 8950; }, "vxlan-settings",
                     "mtu 8950 on flannel.1, 1450 in"},
        ObstacleCase{"ConfiguredMtu", [](Facts& facts) { facts.config.overlay.mtu = 1400; }, "vxlan-settings",
                     "1400 in the configuration"},
        ObstacleCase{"PortShared", [](Facts& facts) { facts.port_sharers = {"other"}; }, "port",
                     "other has port 8472 as well"},
        ObstacleCase{"NotAsFlannel", [](Facts& facts) { facts.config.overlay.flannel = false; }, "configuration",
                     "overlay.flannel: false"},
        ObstacleCase{"Network", [](Facts& facts) { facts.net_conf->network = prefix("10.0.0.0/8"); }, "net-conf",
                     "Network 10.0.0.0/8, clusterCIDRs [10.244.0.0/16]"},
        ObstacleCase{"Backend", [](Facts& facts) { facts.net_conf->backend = "host-gw"; }, "net-conf",
                     "backend host-gw"},
        ObstacleCase{"DirectRouting", [](Facts& facts) { facts.net_conf->direct_routing = true; }, "net-conf",
                     "DirectRouting"},
        ObstacleCase{"Subnet", [](Facts& facts) { facts.subnet_env->subnet = prefix("10.244.9.0/24"); }, "subnet-env",
                     "10.244.9.0/24, podCIDRs of n1 [10.244.1.0/24]"},
        ObstacleCase{"NoMasquerade", [](Facts& facts) { facts.subnet_env->ip_masq = false; }, "masquerade",
                     "FLANNEL_IPMASQ=false"},
        ObstacleCase{"Ipv6", [](Facts& facts) { facts.net_conf->ipv6 = true; }, "net-conf", "EnableIPv6: true"},
        ObstacleCase{"Down", [](Facts& facts) { facts.flannel_is_up = false; }, "flannel-device", "flannel.1 is down"},
        ObstacleCase{"Replaced", [](Facts& facts) { facts = replaced_facts(); }, "flannel-device",
                     "flannel.1 is down, podlane0 is there", Severity::note},
        ObstacleCase{"RecordOfAnotherDevice",
                     [](Facts& facts) {
                         facts.record = good_record();
                         facts.record->network.device.mac = mac("0e:00:00:00:00:99");
                     },
                     "record", "mac \"0e:00:00:00:00:99\" on record, \"0e:61:06:ff:7a:01\" now"},
        ObstacleCase{"Flanneld", [](Facts& facts) { facts.flannelds = {77, 78}; }, "flanneld", "process 77, 78"},
        ObstacleCase{"NotInSync", [](Facts& facts) { facts.agent->not_ready = "not read yet"; }, "agent",
                     "not read yet"},
        ObstacleCase{"Mac", [](Facts& facts) { facts.nodes_by_pod_cidr[cidr_of(1)].mac = mac("0e:00:00:00:00:99"); },
                     "mac", "flannel.1 has 0e:61:06:ff:7a:01, the agent 0e:00:00:00:00:99"},
        ObstacleCase{"CniNetwork", [](Facts& facts) { facts.cni.front().network = "podlane"; }, "cni-network",
                     "\"podlane\", flannel's is \"cbr0\""},
        ObstacleCase{"CniStore", [](Facts& facts) { facts.cni.front().store = "/run/podlane/ipam"; }, "cni-network",
                     "store /run/podlane/ipam, flannel's is /var/lib/cni/networks"},
        ObstacleCase{"NoCniFile", [](Facts& facts) { facts.cni.erase(facts.cni.begin()); }, "cni-network",
                     "1 CNI configurations, none"},
        ObstacleCase{"OthersRecord",
                     [](Facts& facts) {
                         facts.record = good_record();
                         facts.record->node = "n9";
                     },
                     "record", "node n9, this one is n1"},
        ObstacleCase{"RulesTakenAlong", [](Facts& facts) { facts.rules = {}; }, "rules",
                     "FLANNEL_IPMASQ=true, and no rule", Severity::note},
        ObstacleCase{"RoutesTakenAlong", [](Facts& facts) { facts.flannel->routes.clear(); }, "routes",
                     "no route by flannel.1, 3 nodes", Severity::note},
        ObstacleCase{"Gap", [](Facts& facts) { facts.gaps = {"list links: No buffer space"}; }, "looking",
                     "No buffer space"},
        ObstacleCase{"AbsentFile",
                     [](Facts& facts) {
                         facts.net_conf.reset();
                         facts.absent = {"/etc/kube-flannel/net-conf.json"};
                     },
                     "files", "net-conf.json", Severity::note}),
    [](const auto& one) { return one.param.name; });

TEST(MigratePlanTest, SilentAgent_IsAnObstacle) {
    auto facts = good_facts();
    facts.agent.reset();
    facts.agent_problem = "no agent answers on /run/podlane/agent.sock";
    const auto plan = make_plan(facts);
    ASSERT_THAT(plan.findings, SizeIs(1));
    EXPECT_EQ(plan.findings.front().id, "agent");
    EXPECT_EQ(plan.findings.front().evidence, facts.agent_problem);
}

TEST(MigratePlanTest, FlannelsOwnNetworkName_IsTheOneThatCounts) {
    auto facts = good_facts();
    facts.cni.front().network = facts.cni.back().network = "kube-pods";
    EXPECT_THAT(make_plan(facts).findings, IsEmpty());
    facts.cni.pop_back();
    EXPECT_THAT(make_plan(facts).findings, SizeIs(1)) << "it is cbr0 where flannel's file is gone";
}

TEST(MigratePlanTest, DeviceThatIsGoneAndOnRecord_IsNoObstacle) {
    const auto plan = make_plan(switched_facts());
    EXPECT_THAT(plan.findings, IsEmpty());
    EXPECT_THAT(plan.steps, ElementsAre("commit: delete cni0 once no pod is on it (2 now)"));
}

struct PodCase {
    std::string name;
    std::function<void(Facts&)> spoil;
    std::string reason;
};

class UnknownPodTest : public testing::TestWithParam<PodCase> {};

// It must be restarted; the other one, and the node, are taken over all the same.
TEST_P(UnknownPodTest, MustBeRestarted) {
    auto facts = good_facts();
    GetParam().spoil(facts);
    const auto plan = make_plan(facts);
    EXPECT_TRUE(plan.is_clear());
    EXPECT_EQ(pod_on(plan, "veth-web").state, PodState::restart);
    EXPECT_THAT(pod_on(plan, "veth-web").reason, HasSubstr(GetParam().reason));
    EXPECT_EQ(pod_on(plan, "veth-db").state, PodState::adoptable) << pod_on(plan, "veth-db").reason;
}

CniAttachment& web(Facts& facts) {
    return facts.results.attachments.back();
}

INSTANTIATE_TEST_SUITE_P(
    Facts, UnknownPodTest,
    testing::Values(
        PodCase{"NoResult", [](Facts& facts) { facts.results.attachments.pop_back(); },
                "no CNI result of network cbr0"},
        PodCase{"BrokenResult",
                [](Facts& facts) {
                    facts.results.attachments.pop_back();
                    facts.results.problems = {{0, "/var/lib/cni/results/cbr0-web: cut off"}};
                },
                "cbr0-web: cut off"},
        PodCase{"TwoResults", [](Facts& facts) { facts.results.attachments.push_back(web(facts)); }, "several"},
        PodCase{"PortGone", [](Facts& facts) { facts.bridge->ports.pop_back(); }, "veth-web is not on cni0"},
        PodCase{"ForeignAddress", [](Facts& facts) { web(facts).ip = address("10.244.9.2"); },
                "10.244.9.2 is not within this node's podCIDR"},
        PodCase{"OtherMac", [](Facts& facts) { facts.learned["veth-web"] = {mac("02:00:00:00:00:99")}; },
                "sends from 02:00:00:00:00:99, its CNI result has 02:00:00:00:00:0a"},
        PodCase{"SecondMac", [](Facts& facts) { facts.learned["veth-web"] = {mac(web_mac), mac("02:00:00:00:00:98")}; },
                "sends from 02:00:00:00:00:98, its CNI result has 02:00:00:00:00:0a"},
        PodCase{"Ipv6", [](Facts& facts) { web(facts).has_ipv6 = true; }, "it has an IPv6 address"},
        PodCase{"BadContainer", [](Facts& facts) { web(facts).container_id = "../web"; }, "its CNI result"}),
    [](const auto& one) { return one.param.name; });

TEST(MigratePlanTest, PodsWithOneAddress_MustBothBeRestarted) {
    auto facts = good_facts();
    web(facts).ip = facts.results.attachments.front().ip;
    for (const auto& pod : make_plan(facts).pods) {
        EXPECT_EQ(pod.state, PodState::restart);
        EXPECT_THAT(pod.reason, HasSubstr("2 CNI results have its address 10.244.1.3"));
    }
}

TEST(MigratePlanTest, PodsOwnMacThatTheBridgeSaw_IsNoObjection) {
    auto facts = good_facts();
    facts.learned["veth-web"] = {mac(web_mac)};
    EXPECT_EQ(pod_on(make_plan(facts), "veth-web").state, PodState::adoptable);
}

TEST(MigratePlanTest, AddressesThatStayAsTheyAreWithBoth_AreNoObstacle) {
    auto facts = good_facts();
    facts.subnet_env->ip_masq = false;
    facts.config.snat.enabled = false;
    EXPECT_THAT(make_plan(facts).findings, IsEmpty());
}

// Peers come and go while a migration is under way.
TEST(MigratePlanTest, PeersThatChangedSinceTheRecord_AreNoObstacle) {
    auto facts = applied_facts();
    facts.flannel->routes.pop_back();
    EXPECT_THAT(make_plan(facts).findings, IsEmpty());
}

TEST(MigratePlanTest, RulesThatAPodNeeds_AreToGoWhenItHasBeenRestarted) {
    auto facts = applied_facts();
    facts.rules = some_rules();
    EXPECT_THAT(make_plan(facts).steps, Not(Contains(HasSubstr("not before"))));
    facts.bridge->ports.push_back({"veth-odd", 9, 1450});
    EXPECT_THAT(make_plan(facts).steps,
                Contains("commit: remove these rules once 1 pods on cni0 have been restarted, not before"));
}

TEST(MigratePlanTest, PodsOfTheAgent_AreAdoptedOrNotOfTheBridge) {
    auto facts = applied_facts();
    auto fresh = attachment("new", "plnew", "10.244.1.9", "02:00:00:00:00:0c");
    Endpoint endpoint = facts.agent->endpoints.front();
    endpoint.container_id = fresh.container_id;
    endpoint.host_interface = fresh.host_interface;
    facts.results.attachments.push_back(fresh);
    facts.agent->endpoints.push_back(endpoint);
    const auto plan = make_plan(facts);
    ASSERT_THAT(plan.pods, SizeIs(2));
    EXPECT_EQ(plan.pods.front().state, PodState::adopted);
    EXPECT_EQ(plan.pods.back().state, PodState::adopted);
    EXPECT_THAT(plan.steps, SizeIs(2)) << "nothing is left to apply";
}

TEST(MigratePlanTest, Json_IsStable) {
    auto facts = good_facts();
    facts.results.attachments.erase(facts.results.attachments.begin());
    facts.flannelds = {5};
    const auto json = to_json(make_plan(facts));
    EXPECT_EQ(json.at("clear"), false);
    EXPECT_EQ(json.at("findings").at(0).at("id"), "flanneld");
    EXPECT_EQ(json.at("findings").at(0).at("severity"), "problem");
    EXPECT_EQ(json.at("pods").dump(),
              R"([{"namespace":"","name":"","ip":"","interface":"veth-db","container":"","action":"restart",)"
              R"("reason":"no CNI result of network cbr0 names this port"},)"
              R"({"namespace":"default","name":"web","ip":"10.244.1.2","interface":"veth-web","container":"web0123",)"
              R"("action":"adopt","reason":""}])");
    EXPECT_TRUE(json.at("steps").is_array());
}

}  // namespace
}  // namespace podlane::migrate
