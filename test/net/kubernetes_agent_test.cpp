// SPDX-License-Identifier: Apache-2.0
// Whole agents that have the cluster's state from an API server: recordings, over TLS, on each node's own loopback.
//
//   API --- n1 (192.168.56.11) === VXLAN === n2 (192.168.56.12) --- API
//              |                                |
//            pod a (10.244.0.x)               pod b (10.244.1.x)          n3, n4, n5 are in the API only
#include <signal.h>

#include <algorithm>
#include <regex>

#include "test/net/api_node.h"
#include "test/net/harness/scrape.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

class KubernetesAgentTest : public testing::Test {
protected:
    void start() {
        for (ApiNode* each : {&n1_, &n2_}) {
            each->script().add("list nodes", "a-nodes-list");
            each->serve();
            each->node().start_agent();
        }
        n1_.node().wait_ready();
        n2_.node().wait_ready();
    }
    Underlay underlay_{1500, Ipv4Address::parse("192.168.56.254").value()};
    ApiNode n1_{underlay_, "n1", "192.168.56.11", "10.244.0.0/24"};
    ApiNode n2_{underlay_, "n2", "192.168.56.12", "10.244.1.0/24"};
};

TEST_F(KubernetesAgentTest, PodsOfTwoNodes_ReachEachOtherWhateverBecomesOfTheApi) {
    start();
    Pod& a = n1_.node().add_pod("a");
    Pod& b = n2_.node().add_pod("b");
    expect_ping(a.ns(), b.address());

    UdpStream stream(a.endpoint(), b.endpoint());
    ASSERT_TRUE(wait_until([&] { return stream.echoed() > 100; }, 20s));
    n1_.stop_serving();
    n2_.stop_serving();
    n1_.node().wait_for_status(5);
    n2_.node().wait_for_status(5);
    EXPECT_THAT(n1_.node().agentctl({"status"}).out, testing::HasSubstr("Connection refused"));
    const auto totals = stream.stop();
    EXPECT_GT(totals.sent, 200U);
    EXPECT_EQ(totals.echoed, totals.sent);

    // A cold start: what the kernel holds tells of the nodes, but a new pod needs the state.
    n1_.node().kill_agent();
    n1_.node().start_agent();
    EXPECT_TRUE(
        wait_until([&] { return n1_.node().agentctl({"status"}).out.contains("begun with the state of"); }, 20s));
    Pod& late = n1_.node().add_pod("late");
    expect_ping(late.ns(), b.address());
    EXPECT_EQ(n1_.node().agentctl_json({"node", "list"}).size(), 3U);
}

// The configuration itself is good; an agent that starts anew with it would end.
TEST_F(KubernetesAgentTest, ReloadWithAKubeconfigThatIsNoGood_ChangesNothing) {
    start();
    n1_.write_kubeconfig("users: [{name: u, user: {exec: {command: aws}}}]\n");
    ASSERT_EQ(::kill(n1_.node().agent().pid(), SIGHUP), 0);
    EXPECT_TRUE(wait_until(
        [&] {
            const auto status = n1_.node().agentctl({"status"}).out;
            return std::regex_search(status, std::regex("config +degraded .*kubeconfig"));
        },
        10s));
    EXPECT_EQ(n1_.node().agentctl_json({"node", "list"}).size(), 3U);
}

TEST_F(KubernetesAgentTest, NodeThatIsReady_IsToldToTheClusterAndMeasured) {
    n1_.script().add("list condition", ApiScript::json(R"({"items":[{"status":{"conditions":[]}}]})"));
    n1_.script().add("watch nodes", "g-watch-nodes-timeout");  // over at once: another one follows
    start();
    EXPECT_TRUE(wait_until(
        [&] { return std::ranges::count(n1_.requests(), std::string("PATCH /api/v1/nodes/n1/status HTTP/1.1")) == 1; },
        10s));
    const auto restarts = [&] {
        return scrape(n1_.node()).value(R"(podlane_source_watch_restarts_total{resource="nodes"})").value_or(-1);
    };
    EXPECT_TRUE(wait_until([&] { return restarts() == 1; }, 10s));
    const auto now = scrape(n1_.node());
    EXPECT_EQ(now.value(R"(podlane_source_lists_total{resource="nodes"})"), 1);
    EXPECT_EQ(now.value(R"(podlane_source_watch_restarts_total{resource="pods"})"), 0);
    EXPECT_EQ(now.value(R"(podlane_source_failures_total{resource="nodes"})"), 0);
    EXPECT_EQ(now.value("podlane_source_up"), 1);
}

TEST_F(KubernetesAgentTest, ChangesOfTheApi_AreInTheDatapath) {
    n1_.script().add("watch nodes", "c-watch-nodes");
    start();
    // n2 moves to .22, n4 comes, goes, and comes back with another podCIDR; n5 comes and goes.
    EXPECT_TRUE(wait_until(
        [&] {
            const auto map = n1_.node().agentctl({"map", "dump", "nodes_by_pod_cidr"}).out;
            return map.find("10.244.4.0") != std::string::npos && map.find("192.168.56.22") != std::string::npos &&
                   map.find("192.168.56.24") != std::string::npos && map.find("10.244.3.0") == std::string::npos &&
                   map.find("10.244.5.0") == std::string::npos && map.find("192.168.56.12") == std::string::npos;
        },
        5s))
        << n1_.node().agentctl({"map", "dump", "nodes_by_pod_cidr"}).out;
    EXPECT_EQ(n1_.node().agentctl_json({"node", "list"}).size(), 4U);
}

}  // namespace
}  // namespace podlane::net
