// SPDX-License-Identifier: Apache-2.0
// Nodes that join, leave, move and quarrel, while two others talk and must not notice.
//
//   pod 1 --- node 1 (192.168.0.1) --+-- wire --+-- node 2 (192.168.0.2) --- pod 2      a stream runs between these
//                                    |
//                                    +-- node 3 (192.168.0.3) --- pod 3                 this one's life is changed
#include <filesystem>

#include "test/net/harness/sandbox.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

using Milliseconds = std::chrono::milliseconds;

class NodeLifeTest : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        cluster_ = std::make_unique<Cluster>(ClusterOptions{.nodes = 3, .extra_config = {}, .mode = GetParam()});
        for (const unsigned number : {1U, 2U, 3U}) {
            pods_.push_back(&node(number).add_pod(fmt::format("p{}", number)));
        }
        // Probes first: a path that becomes direct is no part of what is tested here.
        const auto settled = [&] {
            for (const auto& one : node(1).agentctl_json({"node", "list"})) {
                if (one.at("path") != "local" && std::string(GetParam()) == "auto" && one.at("path") != "direct") {
                    return false;
                }
            }
            return reaches(pod(3).address());
        };
        ASSERT_TRUE(wait_until(settled, 10s));
        stream_ = std::make_unique<UdpStream>(pod(1).endpoint(), pod(2).endpoint());
    }
    void TearDown() override {
        if (stream_) {
            std::this_thread::sleep_for(300ms);  // what comes late counts too
            const auto totals = stream_->stop();
            EXPECT_EQ(totals.echoed, totals.sent) << "between nodes that nothing happened to";
            EXPECT_GT(totals.sent, 100U);
        }
    }

    [[nodiscard]] Node& node(unsigned number) { return cluster_->node(number); }
    [[nodiscard]] Pod& pod(unsigned number) { return *pods_.at(number - 1); }
    [[nodiscard]] NodeRecord& record(unsigned number) { return cluster_->state().at(number - 1); }
    [[nodiscard]] bool reaches(Ipv4Address to) { return ping(pod(1).ns(), to, 1).answered == 1; }

    // Publishes the state and waits until `holds` does. How long that took is recorded: one second is what is promised,
    // a loaded machine is given more.
    template <typename Predicate>
    void expect_soon_after_publishing(Predicate holds) {
        const auto start = std::chrono::steady_clock::now();
        cluster_->publish();
        EXPECT_TRUE(wait_until(holds, 5s, 2ms));
        const auto took = std::chrono::steady_clock::now() - start;
        RecordProperty("converged_ms", static_cast<int>(std::chrono::duration_cast<Milliseconds>(took).count()));
    }
    // What node `number` holds for the owner of a podCIDR: its VTEP, as text; empty: nothing.
    [[nodiscard]] std::string owner_of(unsigned number, const Ipv4Prefix& prefix) {
        const auto dump = node(number).agentctl_json({"map", "dump", "nodes_by_pod_cidr"});
        for (const auto& entry : dump.at(0).at("entries")) {
            if (entry.at("key").dump().find(prefix.address().to_string()) != std::string::npos) {
                return entry.at("value").at("vtep");
            }
        }
        return {};
    }
    [[nodiscard]] NodeRecord thief() const {
        return {"a-thief", Cluster::node_address(77), {Cluster::pod_cidr(3)}, {}};
    }

    std::unique_ptr<Cluster> cluster_;
    std::unique_ptr<UdpStream> stream_;

private:
    std::vector<Pod*> pods_;
};

TEST_P(NodeLifeTest, NodeThatLeavesAndJoinsAgain_IsUnreachableAndReached) {
    const auto gone = record(3);
    cluster_->state().pop_back();
    cluster_->publish();
    EXPECT_TRUE(wait_until([&] { return owner_of(1, Cluster::pod_cidr(3)).empty(); }, 5s));
    EXPECT_TRUE(wait_until([&] { return !reaches(pod(3).address()); }, 5s));
    EXPECT_EQ(probe_udp(pod(1).ns(), pod(3).address(), 64).kind, ProbeOutcome::Kind::unreachable);
    cluster_->state().push_back(gone);
    const UdpStream to_returned(pod(1).endpoint(), pod(3).endpoint());
    std::this_thread::sleep_for(100ms);
    EXPECT_EQ(to_returned.echoed(), 0U);
    expect_soon_after_publishing([&] { return to_returned.echoed() > 0; });
}

TEST_P(NodeLifeTest, NodeThatChangesItsInternalIp_IsReachedAtTheNewOne) {
    const auto moved = Cluster::node_address(33);
    ip(node(3).ns(), fmt::format("address delete {}/24 dev eth0", record(3).internal_ip));
    ip(node(3).ns(), fmt::format("address add {}/24 dev eth0", moved));
    ip(node(3).ns(), "route replace default via 192.168.0.254");
    record(3).internal_ip = moved;
    expect_soon_after_publishing([&] { return owner_of(1, Cluster::pod_cidr(3)) == moved.to_string(); });
    EXPECT_TRUE(wait_until([&] { return reaches(pod(3).address()); }, 5s));
    EXPECT_TRUE(wait_until([&] { return ping(pod(3).ns(), pod(1).address(), 1).answered == 1; }, 5s));
    EXPECT_EQ(exchange_tcp(pod(3).endpoint(), pod(1).endpoint(), 5'000'000).client_seen_as, pod(3).address());
    // Its pods do not wait for its own agent, but what it sends itself has the old address until that has seen the
    // change.
    EXPECT_TRUE(wait_until(
        [&] {
            const auto route = must_run(node(3).ns(), {"ip", "route", "get", pod(1).address().to_string()});
            return route.contains(fmt::format("src {} ", moved));
        },
        5s));
    const auto from_host = exchange_tcp({&node(3).ns(), moved}, pod(1).endpoint(), 1'000'000);
    EXPECT_EQ(from_host.problem, "");
    EXPECT_EQ(from_host.client_seen_as, moved);
}

TEST_P(NodeLifeTest, NodeThatChangesItsPodCidr_HasItsNewPodsReached) {
    record(3).pod_cidrs = {Cluster::pod_cidr(9)};
    expect_soon_after_publishing([&] {
        return owner_of(1, Cluster::pod_cidr(9)) == "192.168.0.3" && owner_of(3, Cluster::pod_cidr(9)) == "192.168.0.3";
    });
    Pod& later = node(3).add_pod("later");
    ASSERT_TRUE(Cluster::pod_cidr(9).contains(later.address())) << later.address().to_string();
    EXPECT_TRUE(wait_until([&] { return reaches(later.address()); }, 5s));
    EXPECT_TRUE(owner_of(1, Cluster::pod_cidr(3)).empty());
    EXPECT_EQ(exchange_tcp(pod(1).endpoint(), later.endpoint(), 5'000'000).problem, "");
}

TEST_P(NodeLifeTest, NodeWithSeveralPodCidrs_HasPodsInEachReached) {
    // Of different lengths; the first has room for one pod beside the gateway.
    record(3).pod_cidrs = {Cluster::pod_cidr(3), Ipv4Prefix::parse("10.244.90.0/30").value(),
                           Ipv4Prefix::parse("10.244.91.0/26").value()};
    cluster_->publish();
    ASSERT_TRUE(wait_until([&] { return owner_of(3, record(3).pod_cidrs[2]) == "192.168.0.3"; }, 5s));
    record(3).pod_cidrs.erase(record(3).pod_cidrs.begin());
    cluster_->publish();
    ASSERT_TRUE(wait_until([&] { return owner_of(3, Cluster::pod_cidr(3)).empty(); }, 5s));
    for (const auto* name : {"first", "second"}) {
        Pod& later = node(3).add_pod(name);
        SCOPED_TRACE(later.address().to_string());
        EXPECT_TRUE(wait_until([&] { return reaches(later.address()); }, 5s));
        EXPECT_EQ(exchange_tcp(pod(1).endpoint(), later.endpoint(), 5'000'000).problem, "");
        EXPECT_EQ(exchange_tcp(later.endpoint(), node(1).endpoint(), 5'000'000).client_seen_as, later.address());
        EXPECT_TRUE(record(3).pod_cidrs[name == std::string("first") ? 0 : 1].contains(later.address()));
    }
}

TEST_P(NodeLifeTest, NodeThatClaimsAnothersPodCidr_DisturbsNothingEvenWhenAgentsRestart) {
    UdpStream to_owner(pod(1).endpoint(), pod(3).endpoint());
    cluster_->state().insert(cluster_->state().begin(), thief());
    cluster_->publish();
    ASSERT_TRUE(
        wait_until([&] { return node(1).agent().output().find("a-thief: spec.podCIDRs") != std::string::npos; }, 5s))
        << node(1).agent().output();
    EXPECT_EQ(owner_of(1, Cluster::pod_cidr(3)), "192.168.0.3");
    EXPECT_NE(node(1).agentctl({"status"}).out.find("a-thief"), std::string::npos);
    // Who was established stands in the maps, which outlive the agent.
    for (const unsigned number : {1U, 3U}) {
        node(number).kill_agent();
        node(number).start_agent();
        node(number).wait_ready();
    }
    for (const unsigned number : {1U, 2U, 3U}) {
        EXPECT_EQ(owner_of(number, Cluster::pod_cidr(3)), "192.168.0.3") << "on node " << number;
    }
    const auto totals = to_owner.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
    // The owner gives it up: the claim holds.
    cluster_->state().pop_back();
    cluster_->publish();
    EXPECT_TRUE(wait_until([&] { return owner_of(1, Cluster::pod_cidr(3)) == "192.168.0.77"; }, 5s));
}

INSTANTIATE_TEST_SUITE_P(Mode, NodeLifeTest, testing::Values("vxlan", "auto"),
                         [](const auto& test) { return std::string(test.param); });

// Nobody is established: every node must come to the same answer by itself.
TEST(ColdStartTest, OfTwoNodesThatClaimOnePodCidr_EveryNodePicksTheFirstByName) {
    Cluster cluster({.nodes = 3, .extra_config = {}});
    const NodeRecord rival{"a-rival", Cluster::node_address(77), {Cluster::pod_cidr(3)}, {}};
    cluster.state().push_back(rival);
    for (const unsigned number : {1U, 2U}) {
        Node& node = cluster.node(number);
        node.stop_agent();
        auto cleanup = node.agent_arguments();
        cleanup.insert(cleanup.begin(), {(program_dir() / "podlane-agent").string(), "cleanup"});
        must_run(node.ns(), cleanup);
        node.write_state(to_node_list(cluster.state()));
        node.start_agent();
    }
    for (const unsigned number : {1U, 2U}) {
        Node& node = cluster.node(number);
        node.wait_ready();
        const auto dump = node.agentctl({"map", "dump", "nodes_by_pod_cidr", "-o", "json"}).out;
        EXPECT_NE(dump.find("192.168.0.77"), std::string::npos) << dump;
        EXPECT_EQ(dump.find("192.168.0.3\""), std::string::npos) << dump;
        EXPECT_NE(node.agent().output().find("n3: spec.podCIDRs"), std::string::npos) << node.agent().output();
    }
}

}  // namespace
}  // namespace podlane::net
