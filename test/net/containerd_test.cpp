// SPDX-License-Identifier: Apache-2.0
// Containers of a real containerd and runc, attached by `ctr run --cni`.
//
//   container c1 eth0 --- node 1 (192.168.0.1) === VXLAN on the wire === node 2 (192.168.0.2) --- eth0 container c2
//   10.244.1.x            containerd, agent                             containerd, agent         10.244.2.x
#include "test/net/harness/containerd.h"

#include "test/net/cni_runtime.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

constexpr const char* port = "7000";
constexpr std::uint64_t ten_megabytes = 10'000'000;

const std::vector<std::string> sleeping = {"/bin/sleep", "1000"};
// Tells whoever connects the container's connections: among them the asker's, with its address as it is seen here.
const std::vector<std::string> telling = {"/bin/nc", "-ll", "-p", port, "-e", "/bin/netstat", "-tn"};

std::vector<std::string> asking(Ipv4Address server, const char* at = port) {
    return {"/bin/nc", "-w", "5", fmt::format("{}", server), at};
}

class ContainerdTest : public CniNode {
protected:
    void SetUp() override {
        if (const auto why = Containerd::why_not(); !why.empty()) {
            GTEST_SKIP() << why;
        }
        CniNode::SetUp();
    }
    [[nodiscard]] unsigned node_count() const override { return 2; }

    static bool is_of(Node& node, Ipv4Address address) { return node.pod_cidr().contains(address); }
    [[nodiscard]] std::vector<std::string> records() {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(node().run_dir() / "endpoints")) {
            names.push_back(entry.path().filename().string());
        }
        return names;
    }
    [[nodiscard]] std::size_t pods_in_map() {
        return node().agentctl_json({"map", "dump", "pods_by_ipv4"}).at(0).at("entries").size();
    }
    // Of one container of node 1: everything that ADD leaves on the node, each once.
    void expect_traces_of_one() {
        EXPECT_EQ(names_of_veths(node().ns()).size(), 1U);
        EXPECT_EQ(reservations().size(), 1U);
        EXPECT_EQ(records().size(), 1U);
        EXPECT_EQ(pods_in_map(), 1U);
    }
    void expect_no_traces() {
        expect_nothing_left();
        EXPECT_EQ(records(), std::vector<std::string>());
        EXPECT_EQ(pods_in_map(), 0U);
    }
};

TEST_F(ContainerdTest, ContainersOfTwoNodes_ReachEachOtherAndSeeEachOthersOwnAddress) {
    Containerd runtime1(node(1));
    Containerd runtime2(node(2));
    const auto c1 = runtime1.run("c1", telling);
    const auto c2 = runtime2.run("c2", telling);
    EXPECT_TRUE(is_of(node(1), c1.address())) << fmt::format("{}", c1.address());
    EXPECT_TRUE(is_of(node(2), c2.address())) << fmt::format("{}", c2.address());

    // Processes of the containers.
    for (const auto& [runtime, from, to] : {std::tuple(&runtime1, &c1, &c2), std::tuple(&runtime2, &c2, &c1)}) {
        const auto pinged = runtime->exec(*from, {"/bin/ping", "-c", "1", "-W", "2", fmt::format("{}", to->address())});
        EXPECT_TRUE(pinged.ok()) << pinged.describe();
        const auto told = runtime->exec(*from, asking(to->address()));
        EXPECT_NE(told.out.find(fmt::format("{}:{}", to->address(), port)), std::string::npos) << told.describe();
        EXPECT_NE(told.out.find(fmt::format("{}:", from->address())), std::string::npos) << told.describe();
    }
    // A container whose only purpose it is.
    const auto told = runtime1.run_to_end("job", asking(c2.address()));
    EXPECT_TRUE(told.ok()) << told.describe();
    EXPECT_NE(told.out.find("10.244.1."), std::string::npos) << told.describe();
    expect_traces_of_one();  // c1
    // Bulk, compared byte by byte.
    const auto there = exchange_tcp(c1.endpoint(), c2.endpoint(), ten_megabytes);
    EXPECT_EQ(there.problem, "");
    EXPECT_EQ(there.client_seen_as, c1.address());
}

// Where one node is enough.
class ContainerdOfOneNodeTest : public ContainerdTest {
protected:
    [[nodiscard]] unsigned node_count() const override { return 1; }
};

TEST_F(ContainerdOfOneNodeTest, EndOfAContainer_TakesLinkAddressMapEntryAndRecordAway) {
    Containerd runtime(node());
    auto c1 = runtime.run("c1", sleeping);
    expect_traces_of_one();
    EXPECT_EQ(node().agentctl_json({"pod", "list"}).at(0).value("ip", ""), fmt::format("{}", c1.address()));
    // c1 holds the namespace: the kernel does not take the link away, DEL does.
    EXPECT_EQ(runtime.end(c1), "");
    EXPECT_FALSE(has_link(c1.ns(), "eth0"));
    expect_no_traces();
}

TEST_F(ContainerdTest, ProcessKilledBehindTheRuntimesBack_IsDetachedAndHarmsNoOtherContainer) {
    Containerd runtime1(node(1));
    Containerd runtime2(node(2));
    auto victim = runtime1.run("victim", sleeping);
    const auto c1 = runtime1.run("c1", sleeping);
    const auto c2 = runtime2.run("c2", sleeping);
    UdpStream stream(c1.endpoint(), c2.endpoint());
    runtime1.kill_process_of(victim);
    EXPECT_EQ(victim.wait_for_end(), "");
    const auto totals = stream.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
    EXPECT_FALSE(has_link(victim.ns(), "eth0"));
    expect_traces_of_one();  // c1
}

TEST_F(ContainerdTest, ContainerdKilledAndStartedAgain_TrafficFlowsOnAndFurtherContainersJoin) {
    Containerd runtime1(node(1));
    Containerd runtime2(node(2));
    const auto c1 = runtime1.run_detached("c1", sleeping);
    const auto c2 = runtime2.run("c2", sleeping);
    UdpStream stream(c1.endpoint(), c2.endpoint());
    runtime1.kill();
    EXPECT_TRUE(wait_until([&, before = stream.echoed()] { return stream.echoed() > before + 50; }, 10s));
    runtime1.start();
    EXPECT_EQ(runtime1.status_of("c1"), "RUNNING");
    auto further = runtime1.run("further", sleeping);
    EXPECT_NE(further.address(), c1.address());
    expect_ping(further.ns(), c2.address(), 1);
    EXPECT_EQ(runtime1.end(further), "");
    const auto totals = stream.stop();
    EXPECT_GT(totals.sent, 100U);
    EXPECT_EQ(totals.echoed, totals.sent);
    expect_traces_of_one();  // c1
}

TEST_F(ContainerdOfOneNodeTest, AgentAway_RunFailsInWordsAndWorksOnceItIsBack) {
    Containerd runtime(node());
    EXPECT_EQ(node().stop_agent(), 0);
    const auto refused = runtime.run_to_end("early", sleeping);
    EXPECT_FALSE(refused.ok());
    EXPECT_NE(refused.err.find("podlane-agent does not answer"), std::string::npos) << refused.describe();
    node().start_agent();
    node().wait_ready();
    expect_no_traces();
    auto c1 = runtime.run("c1", sleeping);
    expect_ping(c1.ns(), node().address(), 1);
    EXPECT_EQ(runtime.end(c1), "");
    expect_no_traces();
}

TEST_F(ContainerdTest, PortmapAfterPodlane_OpensTheNodesPortForTheOtherNode) {
    Containerd runtime(node());
    // What a runtime with the capability would put in; ctr has no switch for it.
    const Json portmap = {
        {"type", "portmap"},
        {"runtimeConfig", {{"portMappings", {{{"hostPort", 8080}, {"containerPort", 7000}, {"protocol", "tcp"}}}}}}};
    runtime.set_network("podlane", Json::array({Containerd::plugin_of(node()), portmap}));
    auto c1 = runtime.run("c1", telling);
    const auto ask = [&] {
        return run(node(2).ns(), {"busybox", "nc", "-w", "5", fmt::format("{}", node(1).address()), "8080"});
    };
    const auto told = ask();
    EXPECT_NE(told.out.find(fmt::format("{}:{}", c1.address(), port)), std::string::npos) << told.describe();
    EXPECT_NE(told.out.find(fmt::format("{}:", node(2).address())), std::string::npos) << told.describe();
    EXPECT_EQ(runtime.end(c1), "");
    EXPECT_FALSE(ask().ok());
    expect_no_traces();
}

// The wire is the LAN; its bridge, 192.168.0.254, is a neighbour there.
TEST_F(ContainerdOfOneNodeTest, MacvlanNetwork_PutsTheContainerOnTheNodesLan) {
    Containerd runtime(node());
    auto plugin = Containerd::plugin_of(node());
    plugin.update(Json::parse(R"({"link": "macvlan", "master": "eth0", "mode": "bridge",
                                  "ipam": {"type": "static", "addresses": [{"address": "192.168.0.77/24"}]}})"));
    runtime.set_network("lan", Json::array({plugin}));
    auto c1 = runtime.run("c1", telling);
    EXPECT_EQ(fmt::format("{}", c1.address()), "192.168.0.77");
    const auto pinged = runtime.exec(c1, {"/bin/ping", "-c", "1", "-W", "2", "192.168.0.254"});
    EXPECT_TRUE(pinged.ok()) << pinged.describe();
    // ctr names no namespace at DEL: the device goes with the namespace, which c1 holds here.
    EXPECT_EQ(runtime.end(c1), "");
    EXPECT_EQ(records(), std::vector<std::string>());
    EXPECT_EQ(node().agentctl_json({"pod", "list"}), Json::array());
}

}  // namespace
}  // namespace podlane::net
