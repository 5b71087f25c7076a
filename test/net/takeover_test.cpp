// SPDX-License-Identifier: Apache-2.0
// An agent that starts on a node which flannel has set up: flannel.1 has the overlay's port, and pods hang on cni0. The
// devices are the kernel's own, made as flannel and the bridge plugin make them.
//
//   pod new ---- veth ------------------+
//   pod old ---- veth --- cni0 (.1/24) -+- node t (192.168.0.1) - flannel.1 ==== VXLAN ==== node f (flannel) --- pod f
//   10.244.1.8                              10.244.1.0/24                                   10.244.22.0/24
#include <gmock/gmock.h>

#include "agent/cni/agent.h"
#include "test/net/harness/flannel_node.h"
#include "test/net/harness/hooks.h"
#include "test/net/harness/sandbox.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

const Ipv4Address old_address = Ipv4Address::from_host(0x0af40108);
const MacAddress flannel_mac({0x0e, 0x61, 0x06, 0xff, 0x7a, 0x01});

class TakeoverTest : public testing::Test {
protected:
    void SetUp() override {
        node_ = std::make_unique<Node>(underlay_, NodeOptions{.name = "t",
                                                              .internal_ip = Cluster::node_address(1),
                                                              .pod_cidr = Cluster::pod_cidr(1),
                                                              .flannel = true,
                                                              .extra_config = "serviceCIDRs: [10.96.0.0/12]\n"});
        flannel_ = std::make_unique<FlannelNode>(underlay_, "f", Cluster::node_address(22), Cluster::pod_cidr(22));
        flannel_->add_peer({node_->address(), node_->pod_cidr(), flannel_mac});
        make_flannel_overlay();
        make_old_pod();
        node_->write_state(to_node_list(
            {{"t", node_->address(), {node_->pod_cidr()}, flannel_annotations(node_->address(), flannel_mac)},
             flannel_->as_node()}));
    }

    void make_flannel_overlay() {
        const auto& ns = node_->ns();
        const auto peer = flannel_->as_peer();
        set_sysctl(ns, "net/ipv4/ip_forward", "1");
        ip(ns, fmt::format("link add flannel.1 address {} mtu 1450 type vxlan id 1 local {} dev {} dstport {} "
                           "nolearning",
                           flannel_mac, node_->address(), Underlay::node_device, overlay_port));
        ip(ns, "address add 10.244.1.0/32 dev flannel.1");
        ip(ns, "link set flannel.1 up");
        ip(ns, fmt::format("neighbour add 10.244.22.0 lladdr {} dev flannel.1 nud permanent", peer.vtep_mac));
        must_run(ns, {"bridge", "fdb", "add", peer.vtep_mac.to_string(), "dev", "flannel.1", "dst",
                      peer.public_ip.to_string(), "self", "permanent"});
        ip(ns, "route add 10.244.22.0/24 via 10.244.22.0 dev flannel.1 onlink");
    }

    void make_old_pod() {
        const auto& ns = node_->ns();
        ip(ns, "link add cni0 mtu 1450 type bridge");
        ip(ns, "address add 10.244.1.1/24 dev cni0");
        ip(ns, "link set cni0 up");
        connect_by_veth({old_, "eth0"}, {ns, "veth0"}, 1450);
        ip(ns, "link set veth0 master cni0");
        ip(old_, "address add 10.244.1.8/24 dev eth0");
        ip(old_, "route add default via 10.244.1.1");
    }

    // In sync, and all is well but for the overlay device, which is borrowed.
    void start() {
        node_->start_agent();
        node_->wait_for_status(5);
        ASSERT_TRUE(wait_until([this] { return subsystem("pods").at("state") == "ok"; }, 10s));
        EXPECT_THAT(subsystem("overlay").at("reason").get<std::string>(), HasSubstr("flannel.1 is borrowed"));
    }

    [[nodiscard]] nlohmann::json subsystem(const std::string& name) {
        const auto status = nlohmann::json::parse(node_->agentctl({"-o", "json", "status"}).out);
        for (const auto& one : status.at("subsystems")) {
            if (one.at("name") == name) {
                return one;
            }
        }
        return {};
    }

    // As `agentctl migrate apply` tells the agent of it.
    void adopt_old_pod() {
        podlane::Endpoint record;
        record.container_id = "old-container";
        record.if_name = "eth0";
        record.netns = old_.path().string();
        record.name_space = "default";
        record.name = "old";
        record.network = "cbr0";
        record.ip = old_address;
        record.gateway = Ipv4Address::from_host(0x0af40101);
        record.mac = mac_of({old_, "eth0"});
        record.host_interface = "veth0";
        record.host_mac = mac_of({node_->ns(), "cni0"});
        record.mtu = 1450;
        record.mtu_fixed = true;
        ASSERT_TRUE(cni::SocketAgent(node_->run_dir()).add_endpoint(record));
    }
    void withdraw_old_pod() { ASSERT_TRUE(cni::SocketAgent(node_->run_dir()).remove_endpoint("old-container-eth0")); }

    void commit() {
        ip(node_->ns(), "link del flannel.1");
        node_->wait_ready();
    }

    [[nodiscard]] Endpoint old_pod() const { return {&old_, old_address}; }
    [[nodiscard]] std::uint64_t packets(const std::string& path) {
        return node_->agentctl_json({"map", "get", "path_counters", path}).at("value").at("packets");
    }

    Underlay underlay_;
    std::unique_ptr<Node> node_;
    std::unique_ptr<FlannelNode> flannel_;
    Namespace old_{"t-old"};
};

TEST_F(TakeoverTest, AgentOnAFlannelNode_LeavesItsDeviceAndDisturbsNobody) {
    UdpStream stream(old_pod(), flannel_->pod());
    const auto links_before = must_run(node_->ns(), {"ip", "-4", "-d", "address", "show", "flannel.1"});
    const auto routes_before = must_run(node_->ns(), {"ip", "route", "show", "dev", "flannel.1"});
    start();
    EXPECT_EQ(must_run(node_->ns(), {"ip", "-4", "-d", "address", "show", "flannel.1"}), links_before);
    EXPECT_EQ(must_run(node_->ns(), {"ip", "route", "show", "dev", "flannel.1"}), routes_before);
    EXPECT_FALSE(run(node_->ns(), {"ip", "link", "show", overlay_device}).ok());
    EXPECT_EQ(count_hooks({node_->ns(), "cni0"}), HookCount{});
    expect_ping(node_->ns(), flannel_->pod().address);
    expect_ping(*flannel_->pod().ns, old_address);
    const auto totals = stream.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
}

TEST_F(TakeoverTest, PodOfTheAgent_ReachesPeersPodsByTheFastPathWhileTheDeviceIsBorrowed) {
    start();
    const auto& fresh = node_->add_pod("new");
    expect_ping(fresh.ns(), flannel_->pod().address);
    EXPECT_EQ(exchange_tcp(fresh.endpoint(), flannel_->pod(), 10'000'000).problem, "");
    const auto inward = exchange_tcp(flannel_->pod(), fresh.endpoint(), 10'000'000);
    EXPECT_EQ(inward.problem, "");
    EXPECT_EQ(inward.client_seen_as, flannel_->pod().address);
    EXPECT_GT(packets("pod-to-overlay"), 100U);
    EXPECT_GT(packets("overlay-to-pod"), 100U);
    // What the stack sends itself, and what is in fragments, goes by flannel.1.
    expect_ping(node_->ns(), flannel_->pod().address);
    EXPECT_EQ(echo_udp(fresh.endpoint(), flannel_->pod(), {4000, 8000}).problem, "");
    EXPECT_EQ(echo_udp(fresh.endpoint(), {&flannel_->ns(), Cluster::node_address(22)}, {100, 4000}).problem, "");
}

TEST_F(TakeoverTest, PodOnTheBridge_KeepsItsConnectionAndTakesTheFastPathOnceAdopted) {
    TcpStream connection(old_pod(), flannel_->pod());
    start();
    adopt_old_pod();
    EXPECT_NE(count_hooks({node_->ns(), "veth0"}), HookCount{});
    const auto before = connection.received();
    ASSERT_TRUE(wait_until([&] { return connection.received() > before + 1'000'000; }, 5s));
    const auto outward = packets("pod-to-overlay");
    EXPECT_EQ(exchange_tcp(old_pod(), flannel_->pod(), 1'000'000).problem, "");
    EXPECT_EQ(exchange_tcp(flannel_->pod(), old_pod(), 1'000'000).problem, "");
    EXPECT_GT(packets("pod-to-overlay"), outward);
    EXPECT_EQ(connection.stop(), "");
    expect_ping(node_->ns(), old_address);
    expect_ping(old_, Ipv4Address::from_host(0x0af40101));  // cni0
}

TEST_F(TakeoverTest, PodsOnTheBridgeAndBesideIt_ReachEachOtherAtOnce) {
    start();
    adopt_old_pod();
    const auto& fresh = node_->add_pod("new");
    // The pod on the bridge takes the other for one on its own link, and asks for it by ARP.
    const auto outcome = ping(old_, fresh.address(), 1);
    EXPECT_EQ(outcome.answered, 1U) << outcome.output;
    EXPECT_EQ(exchange_tcp(old_pod(), fresh.endpoint(), 1'000'000).problem, "");
    EXPECT_EQ(exchange_tcp(fresh.endpoint(), old_pod(), 1'000'000).problem, "");
    EXPECT_EQ(echo_udp(fresh.endpoint(), old_pod(), {64, 4000}).problem, "");
}

TEST_F(TakeoverTest, PodThatWasNotAdopted_ReachesThePodsBesideItsBridgeAndThePeers) {
    start();
    const auto& fresh = node_->add_pod("new");
    const auto exchange = [&](const std::string& when) {
        SCOPED_TRACE(when);
        EXPECT_EQ(exchange_tcp(old_pod(), fresh.endpoint(), 100'000).problem, "");
        EXPECT_EQ(exchange_tcp(fresh.endpoint(), old_pod(), 100'000).problem, "");
        EXPECT_EQ(exchange_tcp(old_pod(), flannel_->pod(), 100'000).problem, "");
        EXPECT_EQ(exchange_tcp(flannel_->pod(), old_pod(), 100'000).problem, "");
    };
    exchange("borrowed");
    commit();
    exchange("the overlay is podlane's");
}

TEST_F(TakeoverTest, Cleanup_PutsTheBridgesSettingsBack) {
    const auto delay = get_sysctl(node_->ns(), "net/ipv4/neigh/cni0/proxy_delay");
    start();
    EXPECT_EQ(get_sysctl(node_->ns(), "net/ipv4/conf/cni0/proxy_arp"), "1");
    EXPECT_EQ(node_->stop_agent(), 0);
    std::vector<std::string> cleanup = {(program_dir() / "podlane-agent").string(), "cleanup"};
    std::ranges::copy(node_->agent_arguments(), std::back_inserter(cleanup));
    must_run(node_->ns(), cleanup);
    EXPECT_EQ(get_sysctl(node_->ns(), "net/ipv4/conf/cni0/proxy_arp"), "0");
    EXPECT_EQ(get_sysctl(node_->ns(), "net/ipv4/neigh/cni0/proxy_delay"), delay);
    expect_ping(old_, flannel_->pod().address);
}

TEST_F(TakeoverTest, FlannelsDeviceGone_OursTakesItsPlaceWithItsMacAndNumber) {
    start();
    adopt_old_pod();
    const auto links = [this] { return must_run(node_->ns(), {"ip", "-o", "link"}); };
    const auto number = links().substr(0, links().find(": flannel.1"));
    UdpStream of_pod(old_pod(), flannel_->pod());
    UdpStream of_host({&node_->ns(), Cluster::node_address(1)}, flannel_->pod());
    TcpStream connection(flannel_->pod(), old_pod());
    ASSERT_TRUE(wait_until([&] { return of_pod.echoed() > 200 && of_host.echoed() > 200; }, 5s));
    commit();
    EXPECT_EQ(mac_of({node_->ns(), overlay_device}), flannel_mac);
    EXPECT_THAT(links(), HasSubstr(fmt::format("{}: {}", number.substr(number.rfind('\n') + 1), overlay_device)));
    const auto pods_echoes = of_pod.echoed();
    ASSERT_TRUE(wait_until([&] { return of_pod.echoed() > pods_echoes + 200; }, 5s));
    const auto pod_totals = of_pod.stop();
    const auto host_totals = of_host.stop();
    EXPECT_EQ(pod_totals.echoed, pod_totals.sent);
    // A datagram each millisecond: what the host itself sends waits for the new device.
    EXPECT_GT(host_totals.echoed + 1000, host_totals.sent);
    RecordProperty("lost_of_the_host", static_cast<int>(host_totals.sent - host_totals.echoed));
    std::cout << "lost of the host's own: " << host_totals.sent - host_totals.echoed << " of " << host_totals.sent
              << "\n";
    EXPECT_EQ(connection.stop(), "");
}

TEST_F(TakeoverTest, EndpointWithdrawn_LeavesThePodToItsBridgeAsItWas) {
    start();
    adopt_old_pod();
    withdraw_old_pod();
    EXPECT_EQ(count_hooks({node_->ns(), "veth0"}), HookCount{});
    expect_ping(*flannel_->pod().ns, old_address);
    expect_ping(old_, flannel_->pod().address);
}

TEST_F(TakeoverTest, PodOnTheBridge_GoesWithItsDevice) {
    start();
    adopt_old_pod();
    ip(node_->ns(), "link del veth0");
    EXPECT_TRUE(wait_until([this] { return node_->agentctl_json({"pod", "list"}).empty(); }, 3s));
}

TEST_F(TakeoverTest, RestartWhileTheDeviceIsBorrowed_KeepsAllAsItWas) {
    start();
    adopt_old_pod();
    UdpStream stream(old_pod(), flannel_->pod());
    node_->kill_agent();
    start();
    EXPECT_EQ(node_->agentctl_json({"pod", "list"}).size(), 1U);
    const auto totals = stream.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
}

}  // namespace
}  // namespace podlane::net
