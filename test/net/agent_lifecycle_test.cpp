// SPDX-License-Identifier: Apache-2.0
// The datapath belongs to the kernel: agents come and go, packets do not notice.
//
//   pod a --- node 1 === VXLAN === node 2 --- pod b          agent 1 is killed, ended, started again
#include <future>

#include "test/net/harness/sandbox.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

class AgentLifecycleTest : public TwoNodes {
protected:
    // Both directions at once, watched for a while before and after `happening`.
    template <typename Happening>
    void expect_no_loss_during(Happening&& happening) {
        UdpStream outward(pod_a().endpoint(), pod_b().endpoint());
        UdpStream inward(pod_b().endpoint(), pod_a().endpoint());
        UdpStream from_host(node(1).endpoint(), pod_b().endpoint());
        ASSERT_TRUE(wait_until([&] { return outward.echoed() > 100 && inward.echoed() > 100; }, 20s));
        std::forward<Happening>(happening)();
        std::this_thread::sleep_for(200ms);
        for (UdpStream* stream : {&outward, &inward, &from_host}) {
            const auto totals = stream->stop();
            EXPECT_GT(totals.sent, 200U);
            EXPECT_EQ(totals.at_server, totals.sent);
            EXPECT_EQ(totals.echoed, totals.sent);
        }
    }
};

TEST_F(AgentLifecycleTest, AgentKilledWhileTrafficFlows_LosesNoPacket) {
    expect_no_loss_during([this] {
        node(1).kill_agent();
        std::this_thread::sleep_for(500ms);
        EXPECT_EQ(node(1).agentctl({"status"}).status, 3);
    });
}

TEST_F(AgentLifecycleTest, RestartAfterAKill_TakesOverWithoutAGap) {
    node(1).kill_agent();
    expect_no_loss_during([this] {
        node(1).start_agent();
        node(1).wait_ready();
    });
    // The new agent is in charge, not just present: a pod and a node that come now are served.
    Pod& late = node(1).add_pod("late");
    expect_ping(late.ns(), pod_b().address());
    expect_ping(pod_a().ns(), late.address());
    const auto pods = node(1).agentctl_json({"pod", "list"});
    EXPECT_EQ(pods.size(), 2U) << pods;
}

TEST_F(AgentLifecycleTest, BulkTransfer_SurvivesSeveralKillsAndRestarts) {
    std::atomic<bool> done{false};
    auto transfer = std::async(std::launch::async, [&] {
        auto outcome = exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), 1'000'000'000);
        done = true;
        return outcome;
    });
    unsigned restarts = 0;
    while (!done && restarts < 3) {
        node(1).kill_agent();
        node(1).start_agent();
        node(1).wait_ready();
        ++restarts;
    }
    EXPECT_EQ(transfer.get().problem, "");
    EXPECT_GE(restarts, 1U);
}

TEST_F(AgentLifecycleTest, Sigterm_EndsTheAgentAndLeavesTheDatapathForwarding) {
    expect_no_loss_during([this] {
        EXPECT_EQ(node(1).stop_agent(), 0);
        EXPECT_EQ(node(2).stop_agent(), 0);
    });
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), 10'000'000).problem, "");
    EXPECT_FALSE(std::filesystem::exists(node(1).run_dir() / "agent.sock"));
}

TEST_F(AgentLifecycleTest, MapDumpWithoutAnAgent_IsComplete) {
    const auto with_agent = node(1).agentctl_json({"map", "dump", "nodes_by_ipv4", "pods_by_ipv4"});
    node(1).kill_agent();
    EXPECT_EQ(node(1).agentctl_json({"map", "dump", "nodes_by_ipv4", "pods_by_ipv4"}), with_agent);

    const auto everything = node(1).agentctl_json({"map", "dump"});
    const std::string text = everything.dump();
    EXPECT_NE(text.find(pod_a().address().to_string()), std::string::npos);
    EXPECT_NE(text.find(mac_of(pod_a().device()).to_string()), std::string::npos);
    EXPECT_NE(text.find("10.244.2.0"), std::string::npos);
    EXPECT_NE(text.find("192.168.0.2"), std::string::npos);
    for (const auto& map : everything) {
        for (const char* key : {"name", "type", "maxEntries", "entries"}) {
            EXPECT_TRUE(map.contains(key)) << map;
        }
    }
}

TEST_F(AgentLifecycleTest, PodDeletedWhileTheAgentIsAway_IsGoneAfterTheRestart) {
    Pod& leaving = node(1).add_pod("leaving");
    const auto address = leaving.address().to_string();
    node(1).kill_agent();
    node(1).remove_pod(leaving);
    node(1).start_agent();
    node(1).wait_ready();
    const auto text = node(1).agentctl_json({"map", "dump", "pods_by_ipv4"}).dump();
    EXPECT_EQ(text.find(address), std::string::npos) << text;
    EXPECT_EQ(node(1).agentctl_json({"pod", "list"}).size(), 1U);
    expect_ping(pod_a().ns(), pod_b().address());
}

TEST_F(AgentLifecycleTest, StateChangedWhileTheAgentIsAway_IsAppliedByTheRestart) {
    node(1).kill_agent();
    cluster_->state().pop_back();
    node(1).write_state(to_node_list(cluster_->state()));
    expect_ping(pod_a().ns(), pod_b().address());  // nobody has told the kernel yet
    node(1).start_agent();
    node(1).wait_ready();
    const auto text = node(1).agentctl_json({"map", "dump", "nodes_by_pod_cidr", "nodes_by_ipv4"}).dump();
    EXPECT_EQ(text.find("192.168.0.2"), std::string::npos) << text;
    EXPECT_EQ(ping(pod_a().ns(), pod_b().address(), 1).answered, 0U);
}

// Everything podlane owns is gone, on this node only.
TEST_F(AgentLifecycleTest, CleanupOfOneNode_LeavesTheOtherUntouched) {
    Pod& neighbour = node(2).add_pod("b2");
    node(1).stop_agent();
    UdpStream on_node_2(pod_b().endpoint(), neighbour.endpoint());
    const auto cleaned = run(node(1).ns(), {(program_dir() / "podlane-agent").string(), "cleanup", "--config",
                                            node(1).config_file().string()});
    EXPECT_TRUE(cleaned.ok()) << cleaned.describe();
    const auto totals = on_node_2.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
    EXPECT_FALSE(run(node(1).ns(), {"ip", "link", "show", overlay_device}).ok());
    EXPECT_EQ(ip(node(1).ns(), "route show proto 80"), "");
    EXPECT_TRUE(!std::filesystem::exists(node(1).bpffs()) || std::filesystem::is_empty(node(1).bpffs()));
    EXPECT_TRUE(run(node(2).ns(), {"ip", "link", "show", overlay_device}).ok());
    EXPECT_EQ(node(2).agentctl({"status"}).status, 0);
}

}  // namespace
}  // namespace podlane::net
