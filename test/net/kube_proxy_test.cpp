// SPDX-License-Identifier: Apache-2.0
// kube-proxy's rules on three nodes, as they were recorded; every cell of who reaches a Service from where.
//
//   outside (192.168.0.200) ---------+
//   client 1 --- node 1 -------------+ wire ====== routers ====== node 3 (192.168.9.3) --- echo-2, client 3
//   echo-1, client 2 --- node 2 -----+
//
// So from node 1 echo-1 is adjacent and echo-2 behind routers; from node 2 echo-1 is on the same node; from node 3
// echo-2.
#include <gmock/gmock.h>

#include "test/net/cni_runtime.h"
#include "test/net/harness/kube_proxy.h"
#include "test/net/harness/kube_proxy_ipvs.h"
#include "test/net/harness/sandbox.h"
#include "test/net/harness/service.h"
#include "test/net/harness/three_nodes.h"

namespace podlane::net {
namespace {

using namespace service;
using testing::HasSubstr;

// Each of two backends is met 300 times at the least, but in one of 10^11 runs.
constexpr unsigned enough_for_two = 800;
constexpr unsigned enough_for_one = 300;
constexpr unsigned least = 300;

// One for all tests of a form: rules do not change, and neither do nodes.
class KubeProxyNetwork : public ThreeNodeNetwork {
public:
    explicit KubeProxyNetwork(RuleForm form) : outside("outside") {
        build({"auto", "auto", "auto"});
        underlay().join(outside, "outside", outside_address);
        clients_ = {&pod(1), &node(2).add_pod("client2"), &node(3).add_pod("client3")};
        for (const auto& [pod, name] : {std::pair{&pod(2), "echo-1"}, {&pod(3), "echo-2"}}) {
            add_backend(pod->ns(), {pod->address(), backend_port}, Transport::tcp, name);
            add_backend(pod->ns(), {pod->address(), dns_backend_port}, Transport::udp, name);
        }
        for (unsigned number = 1; number <= 3; ++number) {
            constexpr std::array local = {LocalBackend::none, LocalBackend::echo_1, LocalBackend::echo_2};
            load_kube_proxy_rules(node(number), form, {pod(2).address(), pod(3).address()}, local.at(number - 1));
            drop_by_policy(node(number).ns(), form);
        }
        expect_rules_for_pods(form);
    }
    void add_backend(const Namespace& ns, const SocketAddress& at, Transport transport, const std::string& name) {
        backends_.push_back(std::make_unique<Backend>(ns, at, transport, name));
    }
    [[nodiscard]] Pod& client(unsigned number) { return *clients_.at(number - 1); }

    static inline const auto outside_address = Ipv4Address::from_host(0xc0a800c8);
    Namespace outside;

private:
    // As on a host with Docker.
    void expect_rules_for_pods(RuleForm form) {
        for (unsigned number = 1; number <= 3; ++number) {
            const auto& ns = node(number).ns();
            ASSERT_TRUE(wait_until([&] { return forward_rules(ns, form).contains("podlane: pod traffic"); }, 8s, 100ms))
                << node(number).name() << ": " << forward_rules(ns, form);
        }
    }
    std::vector<Pod*> clients_;
    std::vector<std::unique_ptr<Backend>> backends_;
};

class KubeProxyTest : public testing::TestWithParam<RuleForm> {
protected:
    static void TearDownTestSuite() { shared_network.reset(); }
    void SetUp() override {
        if (const auto why = GetParam() == RuleForm::ipvs ? why_no_ipvs(Namespace("ipvs")) : ""; !why.empty()) {
            GTEST_SKIP() << why;
        }
        if (!shared_network) {
            shared_network = std::make_unique<KubeProxyNetwork>(GetParam());
        }
    }
    // KUBE-FORWARD drops what conntrack calls INVALID, which is what connections become that it sees half of.
    void TearDown() override {
        for (unsigned number = 1; number <= 3 && shared_network; ++number) {
            EXPECT_EQ(invalid_drops(net().node(number).ns(), GetParam()), 0U) << "on node " << number;
        }
    }
    static KubeProxyNetwork& net() { return *shared_network; }

    // Both backends answer, each often enough, and see this client.
    static void expect_both(const Served& served, Ipv4Address seen_by_1, Ipv4Address seen_by_2) {
        EXPECT_EQ(served.problem, "");
        const auto count = [&](const char* name, Ipv4Address client) {
            const auto found = served.by.find(fmt::format("{} {}", name, client));
            return found == served.by.end() ? 0U : found->second;
        };
        EXPECT_GE(count("echo-1", seen_by_1), least) << testing::PrintToString(served.by);
        EXPECT_GE(count("echo-2", seen_by_2), least) << testing::PrintToString(served.by);
        EXPECT_EQ(served.by.size(), 2U) << testing::PrintToString(served.by);
    }
    // An address of its own for each backend: the kernel remembers where datagrams of a port went.
    static Ipv4Address service_of(unsigned number) { return Ipv4Address::from_host(0x0a200100 + number); }
    static void expect_both(const Served& served, Ipv4Address seen) { expect_both(served, seen, seen); }
    static void expect_one(const Served& served, const std::string& backend, Ipv4Address seen) {
        EXPECT_EQ(served.problem, "");
        EXPECT_EQ(served.by, (std::map<std::string, unsigned>{{fmt::format("{} {}", backend, seen), enough_for_one}}));
    }

private:
    static inline std::unique_ptr<KubeProxyNetwork> shared_network;
};

TEST_P(KubeProxyTest, PodToClusterIp_ReachesBackendsOnItsOwnAdjacentAndRoutedNodes) {
    for (const unsigned number : {1U, 2U, 3U}) {
        SCOPED_TRACE(fmt::format("client {}", number));
        const auto& client = net().client(number);
        expect_both(ask_service(client.ns(), echo, enough_for_two), client.address());
    }
}

// What comes back to the pod itself is masqueraded, or it would answer itself past kube-proxy.
TEST_P(KubeProxyTest, BackendToItsOwnService_ReachesItselfAndTheOther) {
    const auto& one = net().pod(2);
    expect_both(ask_service(one.ns(), echo, enough_for_two), net().node(2).address(), one.address());
    const auto& other = net().pod(3);
    expect_both(ask_service(other.ns(), echo, enough_for_two), other.address(), net().node(3).address());
}

TEST_P(KubeProxyTest, HostToClusterIp_ReachesBackendsAnywhereWithTheNodesAddress) {
    for (const unsigned number : {1U, 2U, 3U}) {
        SCOPED_TRACE(fmt::format("node {}", number));
        auto& node = net().node(number);
        expect_both(ask_service(node.ns(), echo, enough_for_two), node.address());
    }
}

TEST_P(KubeProxyTest, OutsideToNodePort_ReachesBackendsAnywhereByEveryNode) {
    for (const unsigned number : {1U, 2U, 3U}) {
        SCOPED_TRACE(fmt::format("by node {}", number));
        const auto by = net().node(number).address();
        expect_both(ask_service(net().outside, {by, echo_node_port}, enough_for_two), by);
    }
}

TEST_P(KubeProxyTest, PodToNodePort_ReachesBackendsAnywhereByEveryNode) {
    for (const unsigned number : {1U, 2U, 3U}) {
        SCOPED_TRACE(fmt::format("by node {}", number));
        const auto by = net().node(number).address();
        expect_both(ask_service(net().client(1).ns(), {by, echo_node_port}, enough_for_two), by);
    }
}

TEST_P(KubeProxyTest, LongConnections_LastWhileOthersComeAndGoAndTheAgentRestarts) {
    std::vector<std::unique_ptr<LongConnection>> connections;
    std::vector<std::string> answers;
    const auto open = [&](const Namespace& from, const SocketAddress& to) {
        for (int count = 0; count < 8; ++count) {
            connections.push_back(std::make_unique<LongConnection>(from, to));
            answers.push_back(connections.back()->ask());
        }
    };
    for (const unsigned number : {1U, 2U, 3U}) {
        open(net().client(number).ns(), echo);
        open(net().node(number).ns(), echo);
        open(net().outside, {net().node(number).address(), echo_node_port});
    }
    open(net().pod(2).ns(), echo);
    const auto expect_all_alive = [&] {
        for (std::size_t index = 0; index < connections.size(); ++index) {
            EXPECT_NE(answers[index], "") << index;
            EXPECT_EQ(connections[index]->ask(), answers[index]) << index;
        }
    };
    for (int round = 0; round < 5; ++round) {
        EXPECT_EQ(ask_service(net().client(1).ns(), echo, 50).problem, "");
        expect_all_alive();
    }
    for (const unsigned number : {1U, 2U}) {
        net().node(number).kill_agent();
        expect_all_alive();
        net().node(number).start_agent();
        net().node(number).wait_ready();
        expect_all_alive();
    }
}

TEST_P(KubeProxyTest, PodToANodesAddress_KeepsThePodsAddress) {
    constexpr std::uint16_t port = 9000;
    for (const unsigned number : {1U, 2U, 3U}) {
        SCOPED_TRACE(fmt::format("to node {}", number));
        auto& node = net().node(number);
        const Backend tcp(node.ns(), {node.address(), port}, Transport::tcp, node.name());
        const Backend udp(node.ns(), {node.address(), port}, Transport::udp, node.name());
        const auto& client = net().client(1);
        for (const auto transport : {Transport::tcp, Transport::udp}) {
            expect_one(ask_service(client.ns(), {node.address(), port}, enough_for_one, transport), node.name(),
                       client.address());
        }
    }
}

// A Service of every port, by which streams and datagrams of every size go to one backend.
TEST_P(KubeProxyTest, BulkAndLargeDatagrams_PassWholeByTheServicesAddress) {
    const std::vector<std::size_t> sizes = {1, 1400, 1422, 1423, 1472, 1473, 4000, 8000};
    for (const unsigned to : {2U, 3U}) {
        auto& backend = net().pod(to);
        const auto translated = service_of(10 + to);
        for (const unsigned number : {1U, 2U, 3U}) {
            const auto& node = net().node(number);
            translate_all(node.ns(), GetParam(), translated, backend.address());
            if (number == 1) {
                ip(net().outside, fmt::format("route replace {} via {}", translated, node.address()));
            }
        }
        const Endpoint server{&backend.ns(), backend.address(), translated};
        const auto expect_whole = [&](const Endpoint& client, Ipv4Address seen) {
            SCOPED_TRACE(fmt::format("from {} to {}", client.address, backend.address()));
            const auto stream = exchange_tcp(client, server, 20'000'000);
            EXPECT_EQ(stream.problem, "");
            EXPECT_EQ(stream.client_seen_as, seen);
            const auto datagrams = echo_udp(client, server, sizes);
            EXPECT_EQ(datagrams.problem, "");
            EXPECT_EQ(datagrams.client_seen_as, seen);
        };
        for (const unsigned number : {1U, 2U, 3U}) {
            expect_whole(net().client(number).endpoint(), net().client(number).address());
            expect_whole(net().node(number).endpoint(), net().node(number).address());
        }
        expect_whole(backend.endpoint(), net().node(to).address());
        // Whose packets may be larger than pods': told so by an ICMP error about the Service's address, it makes
        // fragments.
        const Endpoint outside{&net().outside, KubeProxyNetwork::outside_address};
        EXPECT_NE(echo_udp(outside, server, {1423}).problem, "");
        EXPECT_THAT(ip(net().outside, fmt::format("route get {}", translated)), HasSubstr("mtu 1450"));
        expect_whole(outside, net().node(1).address());
    }
}

// The maps with what they knew of flows are gone, the connections are not.
TEST_P(KubeProxyTest, PodsConnections_OutliveTheLossOfEveryMap) {
    std::vector<std::unique_ptr<LongConnection>> connections;
    std::vector<std::string> answers;
    for (int count = 0; count < 8; ++count) {
        connections.push_back(std::make_unique<LongConnection>(net().client(1).ns(), echo));
        answers.push_back(connections.back()->ask());
        EXPECT_NE(answers.back(), "");
    }
    for (const unsigned number : {1U, 2U, 3U}) {
        auto& node = net().node(number);
        node.stop_agent();
        must_run(node.ns(),
                 {(program_dir() / "podlane-agent").string(), "cleanup", "--config", node.config_file().string()});
        node.start_agent();
        node.wait_for_status(0);
        for (std::size_t index = 0; index < connections.size(); ++index) {
            EXPECT_EQ(connections[index]->ask(), answers[index]) << index << " after node " << number;
        }
    }
}

// The packets of one socket to a Service and to the pod behind it differ in nothing once they are translated.
TEST_P(KubeProxyTest, OneSocketToTheServiceAndItsBackendInTurn_HearsEachFromWhereItAsked) {
    for (const unsigned to : {2U, 3U}) {
        const auto& backend = net().pod(to);
        const auto translated = service_of(20 + to);
        for (const unsigned number : {1U, 2U, 3U}) {
            SCOPED_TRACE(fmt::format("client {}, backend {}", number, to));
            translate_all(net().node(number).ns(), GetParam(), translated, backend.address());
            const SocketAddress direct{backend.address(), dns_backend_port};
            const SocketAddress by_service{translated, dns_backend_port};
            const auto& client = net().client(number);
            for (const auto& order :
                 {std::vector{direct, by_service}, {by_service, direct}, {direct, direct, by_service}}) {
                const auto served = ask_in_turn(client.ns(), order, 20);
                EXPECT_EQ(served.problem, "");
                EXPECT_EQ(served.by.size(), 1U) << testing::PrintToString(served.by);
            }
        }
    }
}

// As the API server's Service has them.
TEST_P(KubeProxyTest, ServiceWithANodeBehindIt_IsReachedFromEverywhere) {
    constexpr std::uint16_t port = 9001;
    for (const unsigned to : {1U, 2U, 3U}) {
        const auto& behind = net().node(to);
        const auto translated = service_of(30 + to);
        const Backend tcp(behind.ns(), {behind.address(), port}, Transport::tcp, behind.name());
        const Backend udp(behind.ns(), {behind.address(), port}, Transport::udp, behind.name());
        for (const unsigned number : {1U, 2U, 3U}) {
            SCOPED_TRACE(fmt::format("from node {} to node {}", number, to));
            const auto& node = net().node(number);
            translate_all(node.ns(), GetParam(), translated, behind.address());
            for (const auto transport : {Transport::tcp, Transport::udp}) {
                expect_one(ask_service(net().client(number).ns(), {translated, port}, enough_for_one, transport),
                           behind.name(), net().client(number).address());
                expect_one(ask_service(node.ns(), {translated, port}, enough_for_one, transport), behind.name(),
                           node.address());
            }
        }
    }
}

// Past the rules: connections between pods are nobody's business but ours.
TEST_P(KubeProxyTest, PodToPod_IsUntouchedByTheRules) {
    for (const unsigned number : {1U, 2U, 3U}) {
        const auto& client = net().client(number);
        expect_one(ask_service(client.ns(), {net().pod(2).address(), backend_port}, enough_for_one), "echo-1",
                   client.address());
        expect_one(ask_service(client.ns(), {net().pod(3).address(), backend_port}, enough_for_one), "echo-2",
                   client.address());
    }
}

// What was not recorded as nft's ruleset.
class KubeProxyServicesTest : public KubeProxyTest {};

TEST_P(KubeProxyServicesTest, UdpService_IsAnsweredFromItsOwnAddressByBackendsAnywhere) {
    for (const unsigned number : {1U, 2U, 3U}) {
        SCOPED_TRACE(fmt::format("client {}", number));
        const auto& client = net().client(number);
        expect_both(ask_service(client.ns(), dns, enough_for_two, Transport::udp), client.address());
        auto& node = net().node(number);
        expect_both(ask_service(node.ns(), dns, enough_for_two, Transport::udp), node.address());
    }
}

TEST_P(KubeProxyServicesTest, ServiceWithAffinity_LeadsToOneBackend) {
    for (const unsigned number : {1U, 2U, 3U}) {
        const auto served = ask_service(net().client(number).ns(), sticky, enough_for_one);
        EXPECT_EQ(served.problem, "");
        EXPECT_EQ(served.by.size(), 1U) << testing::PrintToString(served.by);
    }
}

// Not at once: the ICMP error comes while connect() holds the socket, and counts for the second SYN.
TEST_P(KubeProxyServicesTest, ServiceWithoutEndpoints_IsRefused) {
    EXPECT_THAT(ask_service(net().client(1).ns(), no_endpoints, 1).problem, HasSubstr("Connection refused"));
    EXPECT_THAT(ask_service(net().node(1).ns(), no_endpoints, 1).problem, HasSubstr("Connection refused"));
}

TEST_P(KubeProxyServicesTest, OutsideToNodePortWithPolicyLocal_KeepsTheClientsAddress) {
    const auto by_node = [](unsigned number) { return SocketAddress{net().node(number).address(), local_node_port}; };
    expect_one(ask_service(net().outside, by_node(2), enough_for_one), "echo-1", KubeProxyNetwork::outside_address);
    expect_one(ask_service(net().outside, by_node(3), enough_for_one), "echo-2", KubeProxyNetwork::outside_address);
    EXPECT_THAT(ask_service(net().outside, by_node(1), 1).problem, HasSubstr("Connection refused"));
}

TEST_P(KubeProxyServicesTest, ExternalIp_ReachesBackendsAnywhereByEveryNode) {
    for (const unsigned number : {1U, 2U}) {
        SCOPED_TRACE(fmt::format("by node {}", number));
        const auto by = net().node(number).address();
        ip(net().outside, fmt::format("route replace {} via {}", external_ip.address, by));
        expect_both(ask_service(net().outside, external_ip, enough_for_two), by);
    }
    for (const unsigned number : {1U, 2U, 3U}) {
        SCOPED_TRACE(fmt::format("client {}", number));
        expect_both(ask_service(net().client(number).ns(), external_ip, enough_for_two), net().node(number).address());
    }
}

TEST_P(KubeProxyServicesTest, HostPortByPortmapAfterPodlane_KeepsTheClientsAddress) {
    constexpr std::uint16_t host_port = 8081;
    const Container container("ported");
    const CniRuntime plugin(net().node(2), "1.0.0");
    const auto result = plugin.add(container);
    const auto text = result["ips"][0]["address"].get<std::string>();
    const auto address = Ipv4Address::parse(text.substr(0, text.find('/'))).value();
    auto portmap = plugin;
    portmap.plugin = "/usr/lib/cni/portmap";
    portmap.config["type"] = "portmap";
    portmap.config["runtimeConfig"]["portMappings"] = {
        {{"hostPort", host_port}, {"containerPort", backend_port}, {"protocol", "tcp"}}};
    static_cast<void>(portmap.add(container, {{"prevResult", result}}));
    {
        const Backend backend(container.ns, {address, backend_port}, Transport::tcp, "ported");
        const SocketAddress target{net().node(2).address(), host_port};
        const auto ask = [&](const Namespace& from) { return ask_service(from, target, enough_for_one); };
        expect_one(ask(net().outside), "ported", KubeProxyNetwork::outside_address);
        for (const unsigned number : {1U, 3U}) {
            SCOPED_TRACE(fmt::format("node {}", number));
            expect_one(ask(net().client(number).ns()), "ported", net().client(number).address());
            expect_one(ask(net().node(number).ns()), "ported", net().node(number).address());
        }
        expect_one(ask(net().client(2).ns()), "ported", net().client(2).address());
        expect_one(ask(net().node(2).ns()), "ported", net().node(2).address());
        expect_one(ask(container.ns), "ported", net().node(2).address());
    }
    EXPECT_TRUE(portmap.call("DEL", container, {{"prevResult", result}}).ok());
    EXPECT_TRUE(plugin.call("DEL", container, {{"prevResult", result}}).ok());
}

// A suite for each form, so that its tests follow one another on one network.
INSTANTIATE_TEST_SUITE_P(IptablesNft, KubeProxyTest, testing::Values(RuleForm::iptables_nft),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(IptablesLegacy, KubeProxyTest, testing::Values(RuleForm::iptables_legacy),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Nft, KubeProxyTest, testing::Values(RuleForm::nft), testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(IptablesNft, KubeProxyServicesTest, testing::Values(RuleForm::iptables_nft),
                         testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(IptablesLegacy, KubeProxyServicesTest, testing::Values(RuleForm::iptables_legacy),
                         testing::PrintToStringParamName());

INSTANTIATE_TEST_SUITE_P(Ipvs, KubeProxyTest, testing::Values(RuleForm::ipvs), testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(Ipvs, KubeProxyServicesTest, testing::Values(RuleForm::ipvs),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace podlane::net
