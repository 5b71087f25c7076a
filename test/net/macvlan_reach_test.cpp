// SPDX-License-Identifier: Apache-2.0
// Who reaches a macvlan pod and whom it reaches, and the source that the receiver sees:
//
//   veth a (10.244.1.x) --- node 1 --- em2 .100 ---+ LAN +--- em2 .101 --- node 2 --- veth b (10.244.2.x)
//                             | eth0               |     |                   | eth0
//   mac m1 .51, m2 .52 -------|-------- em2 -------+     +------- em2 -------|------- mac m3 .61
//                             +------------ wire: VXLAN or direct -----------+
//
// with the LAN on a NIC of its own or on the nodes' wire. Whatever the test: the LAN sees one MAC for node 1's address.
#include "test/net/harness/kube_proxy.h"
#include "test/net/macvlan_scene.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

class MacvlanReach : public MacvlanScene {
protected:
    void SetUp() override {
        MacvlanScene::SetUp();
        configure();
        add_macvlan_pods();
    }
};

INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanReach, testing::ValuesIn(every_layout), name_of_layout);

TEST_P(MacvlanReach, EveryCellIsReachedWithTheSourceOfTheContract) {
    expect_all_cells();
    EXPECT_EQ(census().macs(), std::set<std::string>{mac_of({node(1).ns(), lan().device()}).to_string()});
}

TEST_P(MacvlanReach, BulkTransfersAndLargeDatagrams_ArriveWhole) {
    constexpr std::uint64_t bytes = 5'000'000;
    const Endpoint host{&node(1).ns(), lan().host_address(1), {}};
    for (const auto& [client, server] :
         {std::pair{m1().endpoint(), host}, {m1().endpoint(), a().endpoint()}, {m1().endpoint(), b().endpoint()}}) {
        const auto sent = exchange_tcp(client, server, bytes);
        EXPECT_EQ(sent.problem, "") << server.address.to_string();
        auto echoed = echo_udp(client, server, {1, 1400, 8000});
        EXPECT_EQ(echoed.problem, "") << server.address.to_string();
        // One that fits the pod's link and not the overlay is lost, and the pod is told by ICMP.
        static_cast<void>(echo_udp(client, server, {1472}));
        echoed = echo_udp(client, server, {1472});
        EXPECT_EQ(echoed.problem, "") << server.address.to_string();
    }
}

// A second one, or one that fails over between hosts, such as the API server's.
TEST_P(MacvlanReach, EveryAddressOfTheHostOnTheLan_IsReachedByItsPods) {
    for (const unsigned last_byte : {102U, 253U}) {
        ip(node(1).ns(), fmt::format("address add {}/{} dev {}", lan().address(last_byte), last_byte == 253 ? 32 : 24,
                                     lan().device()));
        expect_ping(m1().ns(), lan().address(last_byte), 1);
        expect_ping(lan().neighbour(), lan().address(last_byte), 1);
    }
}

TEST_P(MacvlanReach, PortThatAPodBehindThePeerRefuses_IsTold) {
    const auto outcome = probe_udp(m1().ns(), b().address(), 64);
    EXPECT_EQ(outcome.kind, ProbeOutcome::Kind::reached);
    EXPECT_EQ(outcome.from, b().address());
}

// Its frames pass the master's egress, like the stack's, with a source of the pod's choice.
TEST_P(MacvlanReach, FrameWithAVethPodsAddress_DoesNotEnterTheOverlay) {
    constexpr std::uint16_t forged_port = 4321;
    Capture arrived(b().ns(), "eth0", udp_frames_to(forged_port));
    const RawSender sender(m1().ns(), "eth0");
    const auto forge = [&](Ipv4Address source) {
        sender.send(
            ethernet_frame({.destination = mac_of({lan().neighbour(), "eth0"}), .source = mac_of({m1().ns(), "eth0"})},
                           udp_packet({.source = source, .destination = b().address()},
                                      {.source = 1, .destination = forged_port}, {})));
    };
    EXPECT_ANY_THROW(forge(a().address())) << "the sender is told of the drop (ENOBUFS)";
    forge(m2().address());
    expect_ping(m1().ns(), b().address(), 1);
    EXPECT_EQ(arrived.frames().size(), 0U);
    EXPECT_EQ(node(1).drops("spoofed-source"), 1U);
}

TEST_P(MacvlanReach, WithoutItsAgent_EverythingGoesOn) {
    node(1).kill_agent();
    node(2).kill_agent();
    expect_all_cells();
}

// kube-proxy's rules with --cluster-cidr: what comes from outside clusterCIDRs is masqueraded.
TEST_P(MacvlanReach, ClusterIp_IsReachedWithBackendsAnywhere) {
    constexpr unsigned enough = 40;
    load_kube_proxy_rules(node(1), RuleForm::iptables_nft, {a().address(), b().address()}, LocalBackend::none);
    const auto served = ask_service(m1().ns(), service::echo, enough);
    EXPECT_EQ(served.problem, "");
    // From the first address of the device that it leaves by: a's side has none of its own.
    EXPECT_EQ(served.by.size(), 2U) << testing::PrintToString(served.by);
    EXPECT_EQ(served.total(), enough);
    EXPECT_GT(served.by.count(fmt::format("b {}", node(1).address())), 0U) << testing::PrintToString(served.by);
    expect_all_cells();
}

TEST_P(MacvlanReach, ServiceWithMacvlanBackends_IsReachedFromPodsHostAndByNodePort) {
    load_kube_proxy_rules(node(1), RuleForm::iptables_nft, {m1().address(), m2().address()}, LocalBackend::none);
    constexpr unsigned enough = 40;
    const SocketAddress node_port{lan().host_address(1), service::echo_node_port};
    for (const auto& [from, at] : {std::pair{&m1().ns(), service::echo},
                                   {&a().ns(), service::echo},
                                   {&node(1).ns(), service::echo},
                                   {&lan().neighbour(), node_port},
                                   {&b().ns(), {node(1).address(), service::echo_node_port}}}) {
        const auto served = ask_service(*from, at, enough);
        EXPECT_EQ(served.problem, "");
        EXPECT_EQ(served.by.size(), 2U) << testing::PrintToString(served.by);
        EXPECT_EQ(served.total(), enough);
    }
}

// Somebody translates the destination and masquerades nothing: the reply must come back through his conntrack.
TEST_P(MacvlanReach, DestinationTranslatedByTheHost_IsReachedWithTheNodesAddress) {
    const auto service = Ipv4Address::from_host(0x0a20004d);
    const auto of_node = Ipv4Address::from_host(0x0a20004e);
    if (node(2).address() != lan().host_address(2)) {
        backend(node(2).ns(), node(2).address(), "host-2");
    }
    for (const auto& [from, to] : {std::pair{service, b().address()}, {of_node, node(2).address()}}) {
        must_run(node(1).ns(), {"iptables-nft", "-w", "-t", "nat", "-A", "PREROUTING", "-d", from.to_string(), "-j",
                                "DNAT", "--to-destination", to.to_string()});
    }
    for (const auto transport : {Transport::tcp, Transport::udp}) {
        const auto by_pod = ask_service(m1().ns(), {service, port}, 3, transport);
        EXPECT_EQ(by_pod.problem, "");
        EXPECT_EQ(by_pod.by, (std::map<std::string, unsigned>{{fmt::format("b {}", node(1).address()), 3U}}));
        const auto by_node = ask_service(m1().ns(), {of_node, port}, 3, transport);
        EXPECT_EQ(by_node.problem, "");
        EXPECT_EQ(by_node.by, (std::map<std::string, unsigned>{{fmt::format("host-2 {}", node(1).address()), 3U}}));
    }
    expect_ping(m1().ns(), service, 1);
}

class MacvlanWithoutSnat : public MacvlanReach {};
INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanWithoutSnat,
                         testing::Values(Layout{"Vxlan", "vxlan", Layout::Wire::own, "snat: {enabled: false}\n"},
                                         Layout{"Direct", "auto", Layout::Wire::underlay, "snat: {enabled: false}\n"}),
                         name_of_layout);

TEST_P(MacvlanWithoutSnat, PeersSeeThisNodesAddressAllTheSame) {
    expect_reach(m1().ns(), b().address(), "b", node(1).address());
    expect_reach(m3().ns(), a().address(), "a", node(2).address());
    expect_cells_of_lan();
}

class MacvlanApi : public MacvlanReach {};
INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanApi, testing::Values(every_layout.front()), name_of_layout);

TEST_P(MacvlanApi, PluginLearnsTheNetworkAndOperatorsSeeThePods) {
    const AgentClient client(node(1).run_dir(), 5s);
    const auto reply = client.call({.path = "/v1/cni/network"});
    ASSERT_TRUE(reply && reply->status == 200);
    EXPECT_EQ(nlohmann::json::parse(reply->body).at("macvlan"), nlohmann::json::parse(R"([
        {"name": "lan", "master": "em2", "mode": "bridge", "shim": "podlane-lan", "hostAddress": "172.20.7.100",
         "routes": ["10.244.0.0/16", "10.32.0.0/24", "192.168.0.1/32"]}])"));
    const auto pods = node(1).agentctl_json({"pod", "list"});
    const auto found =
        std::ranges::find(pods, "m1", [](const auto& pod) { return pod.at("name").template get<std::string>(); });
    ASSERT_NE(found, pods.end()) << pods.dump();
    EXPECT_EQ(found->at("link"), "macvlan");
    EXPECT_EQ(found->at("interface"), "em2");
    EXPECT_EQ(found->at("ip"), "172.20.7.51");
    const auto entry = node(1).agentctl_json({"map", "get", "macvlan_pods_by_ipv4", "172.20.7.51"});
    EXPECT_EQ(entry.at("value").at("hostIP"), "172.20.7.100");
    const auto status = node(1).agentctl({"status"});
    EXPECT_THAT(status.out, HasSubstr("lan: podlane-lan 172.20.7.100 on em2, 2 pods"));
}

// The pod's link takes 1500 bytes, the overlay 1450. A pod that did not know would lose its first long datagram.
TEST_P(MacvlanApi, PodOfThePlugin_SendsToTheOverlayWhatFitsFromTheFirstDatagramOn) {
    const Container container("c1");
    const auto plugin = lan_plugin();
    static_cast<void>(plugin.add(container));
    const Endpoint pod{&container.ns, lan().address(71), {}};
    for (const char* const destination : {"10.244.0.0/16", "10.32.0.0/24"}) {
        EXPECT_THAT(ip(container.ns, fmt::format("route show {}", destination)), HasSubstr("mtu 1450"));
    }
    const auto echoed = echo_udp(pod, b().endpoint(), {1472});
    EXPECT_EQ(echoed.problem, "");
    EXPECT_THAT(ip(container.ns, fmt::format("route get {}", b().address())), Not(HasSubstr("expires")));
    const auto in_lan = echo_udp(pod, {&lan().neighbour(), lan().neighbour_address(), {}}, {1472});
    EXPECT_EQ(in_lan.problem, "");
    EXPECT_TRUE(plugin.call("DEL", container).ok());
}

TEST_P(MacvlanApi, PodThatIsDeleted_LosesItsRouteAndMayNoLongerPass) {
    EXPECT_EQ(m1().remove().status, 200);
    EXPECT_EQ(ip(node(1).ns(), "route show 172.20.7.51"), "");
    EXPECT_EQ(faults(), "");
    EXPECT_EQ(ping(m1().ns(), lan().host_address(1), 1).answered, 0U);
    EXPECT_GT(node(1).drops("shim-foreign-sender"), 0U);
    EXPECT_EQ(m1().remove().status, 404);
    expect_reach(m2().ns(), lan().host_address(1), "host-1", m2().address());
}

}  // namespace
}  // namespace podlane::net
