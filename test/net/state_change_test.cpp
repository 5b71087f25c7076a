// SPDX-License-Identifier: Apache-2.0
// A state file that changes, and one that breaks.
//
//   pod a --- node 1 === VXLAN === node 2 --- pod b          node 3 comes and goes in the file only
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

// The contract's: "in the datapath within 1 s of the file being closed or renamed".
constexpr auto state_deadline = 1000ms;

class StateChangeTest : public TwoNodes {
protected:
    // Whether the datapath of node 1 has an entry that shows `key` and `value`.
    bool has_entry(const std::string& map, const std::string& key, const std::string& value) {
        const auto dump = node(1).agentctl_json({"map", "dump", map});
        for (const auto& entry : dump.at(0).at("entries")) {
            if (entry.at("key").dump().find(key) != std::string::npos &&
                entry.at("value").dump().find(value) != std::string::npos) {
                return true;
            }
        }
        return false;
    }
    void expect_entry_soon(const std::string& map, const std::string& key, const std::string& value) {
        EXPECT_TRUE(wait_until([&] { return has_entry(map, key, value); }, state_deadline))
            << node(1).agentctl({"map", "dump", map}).out;
    }
    void expect_no_entry_soon(const std::string& map, const std::string& key) {
        EXPECT_TRUE(wait_until([&] { return !has_entry(map, key, ""); }, state_deadline))
            << node(1).agentctl({"map", "dump", map}).out;
    }
    static NodeRecord third_node() { return {"n3", Cluster::node_address(3), {Cluster::pod_cidr(3)}, {}}; }
};

TEST_F(StateChangeTest, NodeThatJoins_IsInTheDatapathWithinASecond) {
    cluster_->state().push_back(third_node());
    cluster_->publish();
    expect_entry_soon("nodes_by_pod_cidr", "10.244.3.0", "192.168.0.3");
    expect_entry_soon("nodes_by_ipv4", "192.168.0.3", "192.168.0.3");
    const auto nodes = node(1).agentctl_json({"node", "list"});
    EXPECT_EQ(nodes.size(), 3U) << nodes;
}

TEST_F(StateChangeTest, NodeThatLeaves_IsOutOfTheDatapathWithinASecond) {
    cluster_->state().push_back(third_node());
    cluster_->publish();
    expect_entry_soon("nodes_by_pod_cidr", "10.244.3.0", "192.168.0.3");
    cluster_->state().pop_back();
    cluster_->publish();
    expect_no_entry_soon("nodes_by_pod_cidr", "10.244.3.0");
    expect_no_entry_soon("nodes_by_ipv4", "192.168.0.3");
    EXPECT_EQ(ip(node(1).ns(), "route show 10.244.3.0/24"), "");
    expect_ping(pod_a().ns(), pod_b().address());
}

TEST_F(StateChangeTest, NodeThatChangesItsAddress_IsReachedAtTheNewOne) {
    expect_ping(pod_a().ns(), pod_b().address());
    cluster_->state()[1].internal_ip = Cluster::node_address(22);
    node(1).write_state(to_node_list(cluster_->state()));
    expect_entry_soon("nodes_by_pod_cidr", "10.244.2.0", "192.168.0.22");
    Capture on_wire(wire(), Underlay::port_of("n1"), [](const Frame& frame) { return !frame.outgoing; });
    EXPECT_EQ(ping(pod_a().ns(), pod_b().address(), 1).answered, 0U);
    for (const auto& frame : on_wire.frames()) {
        const auto packet = decode_vxlan_frame(frame.bytes, overlay_port);
        EXPECT_TRUE(!packet || packet->outer.ip.destination == Cluster::node_address(22));
    }
    EXPECT_FALSE(has_entry("nodes_by_ipv4", "192.168.0.2\"", ""));
}

TEST_F(StateChangeTest, NodeThatChangesItsPodCidr_IsReachedThere) {
    cluster_->state()[1].pod_cidrs = {Cluster::pod_cidr(9)};
    node(1).write_state(to_node_list(cluster_->state()));
    expect_entry_soon("nodes_by_pod_cidr", "10.244.9.0", "192.168.0.2");
    expect_no_entry_soon("nodes_by_pod_cidr", "10.244.2.0");
}

struct BrokenState {
    const char* what;
    std::string content;
};

TEST_F(StateChangeTest, BrokenStateFile_KeepsForwardingAndIsReportedUntilRepaired) {
    const std::string good = to_node_list(cluster_->state());
    const std::vector<BrokenState> broken = {
        {"empty", ""},
        {"half written", good.substr(0, good.size() / 2)},
        {"not YAML", "items: [unclosed\n  - {"},
        {"no Kubernetes object", R"({"nodes": ["n1", "n2"]})"},
    };
    UdpStream stream(pod_a().endpoint(), pod_b().endpoint());
    for (const auto& state : broken) {
        SCOPED_TRACE(state.what);
        node(1).write_state(state.content);
        node(1).wait_for_status(5, 2s);
        expect_ping(pod_a().ns(), pod_b().address());
        EXPECT_TRUE(has_entry("nodes_by_pod_cidr", "10.244.2.0", "192.168.0.2"));
        EXPECT_NE(node(1).agentctl({"status"}).out.find("cluster.json"), std::string::npos);
        node(1).write_state(good);
        node(1).wait_for_status(0, 2s);
    }
    const auto totals = stream.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
}

TEST_F(StateChangeTest, NodeThatClaimsAnothersPodCidr_IsLeftOutAndDisturbsNothing) {
    auto thief = third_node();
    thief.name = "a-thief";  // sorts first
    thief.pod_cidrs = {Cluster::pod_cidr(2)};
    cluster_->state().insert(cluster_->state().begin(), thief);
    UdpStream stream(pod_a().endpoint(), pod_b().endpoint());
    cluster_->publish();
    std::this_thread::sleep_for(state_deadline);
    EXPECT_TRUE(has_entry("nodes_by_pod_cidr", "10.244.2.0", "192.168.0.2"));
    EXPECT_NE(node(1).agent().output().find("a-thief"), std::string::npos) << "the log does not name the node";
    const auto totals = stream.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
}

}  // namespace
}  // namespace podlane::net
