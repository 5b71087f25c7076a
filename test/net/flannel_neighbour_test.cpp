// SPDX-License-Identifier: Apache-2.0
// A podlane node among flannel's. The flannel node is the kernel's own devices as flannel sets them up (stories.md,
// story 2): an oracle that shares no code with podlane.
//
//   pod a --- node 1 (podlane, 192.168.0.1) === VXLAN === node f (flannel, 192.168.0.22) --- cni0 --- pod f
//   10.244.1.x                                                                               10.244.22.8
#include <algorithm>

#include <gmock/gmock.h>

#include "test/net/harness/flannel_node.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

constexpr std::uint64_t hundred_megabytes = 100'000'000;
const std::vector<std::size_t> datagram_sizes = {1, 64, 1400, 1422, 1423, 1472, 4000, 8000};

class FlannelNeighbourTest : public testing::Test {
protected:
    void SetUp() override {
        ClusterOptions options;
        options.nodes = 1;
        options.flannel = FlannelNeighbours::yes;
        options.mode = mode();
        cluster_ = std::make_unique<Cluster>(options);
        flannel_ =
            std::make_unique<FlannelNode>(cluster_->underlay(), "f", Cluster::node_address(22), Cluster::pod_cidr(22));
        flannel_->add_peer({node().address(), node().pod_cidr(), Cluster::flannel_mac(1)});
        cluster_->state().push_back(flannel_->as_node());
        cluster_->publish();
        pod_ = &node().add_pod("a");
        ASSERT_TRUE(wait_until([this] { return ping(pod_->ns(), flannel_->pod().address, 1).answered == 1; }, 3s))
            << node().agentctl({"map", "dump", "nodes_by_pod_cidr"}).out;
    }
    [[nodiscard]] virtual std::string mode() const { return "vxlan"; }
    void set_offload_everywhere(Offload offload) {
        const Namespace& wire = cluster_->underlay().ns();
        for (const auto& device : {pod_->device(), flannel_->pod_device(), node().device(), flannel_->device(),
                                   DeviceRef{wire, "port-n1"}, DeviceRef{wire, "port-f"}}) {
            set_segmentation_offload(device, offload);
        }
    }
    // Packets so far.
    [[nodiscard]] std::uint64_t forwarded(const std::string& path) {
        return node().agentctl_json({"map", "get", "path_counters", path}).at("value").at("packets");
    }
    [[nodiscard]] Node& node() { return cluster_->node(1); }
    [[nodiscard]] Ipv4Address overlay_address() { return node().pod_cidr().address(); }

    std::unique_ptr<Cluster> cluster_;
    std::unique_ptr<FlannelNode> flannel_;
    Pod* pod_ = nullptr;
};

TEST_F(FlannelNeighbourTest, PodsOfBothKinds_PingEachOther) {
    expect_ping(pod_->ns(), flannel_->pod().address, 5);
    expect_ping(*flannel_->pod().ns, pod_->address(), 5);
}

TEST_F(FlannelNeighbourTest, BulkTcpWithTso_ArrivesWholeInBothDirections) {
    set_offload_everywhere(Offload::on);
    const auto outward = exchange_tcp(pod_->endpoint(), flannel_->pod(), hundred_megabytes);
    EXPECT_EQ(outward.problem, "");
    EXPECT_EQ(outward.client_seen_as, pod_->address());
    const auto inward = exchange_tcp(flannel_->pod(), pod_->endpoint(), hundred_megabytes);
    EXPECT_EQ(inward.problem, "");
    EXPECT_EQ(inward.client_seen_as, flannel_->pod().address);
    // flannel's device writes outer checksums; they keep nothing from the fast path.
    EXPECT_GT(forwarded("overlay-to-pod"), at_most_bulk_limit(hundred_megabytes) / 65536);
}

TEST_F(FlannelNeighbourTest, BulkTcpWithoutTso_ArrivesWholeInBothDirections) {
    set_offload_everywhere(Offload::off);
    EXPECT_EQ(exchange_tcp(pod_->endpoint(), flannel_->pod(), hundred_megabytes).problem, "");
}

TEST_F(FlannelNeighbourTest, UdpAndParallelConnections_Work) {
    EXPECT_EQ(echo_udp(pod_->endpoint(), flannel_->pod(), datagram_sizes).problem, "");
    EXPECT_EQ(echo_udp(flannel_->pod(), pod_->endpoint(), datagram_sizes).problem, "");
    EXPECT_EQ(exchange_on_parallel_connections(pod_->endpoint(), flannel_->pod(), 200).problem, "");
}

// The flannel host's own traffic carries <podCIDR>.0; answers to that address are encapsulated to it.
TEST_F(FlannelNeighbourTest, FlannelHostToOurPod_CarriesItsOverlayAddress) {
    const Endpoint host{&flannel_->ns(), Cluster::node_address(22)};
    expect_ping(flannel_->ns(), pod_->address());
    const auto bulk = exchange_tcp(host, pod_->endpoint(), 10'000'000);
    EXPECT_EQ(bulk.problem, "");
    EXPECT_EQ(bulk.client_seen_as, flannel_->overlay_address());
    EXPECT_EQ(echo_udp(host, pod_->endpoint(), datagram_sizes).problem, "");
    expect_ping(pod_->ns(), flannel_->overlay_address());
}

TEST_F(FlannelNeighbourTest, OurHostToAFlannelPod_CarriesOurOverlayAddress) {
    expect_ping(node().ns(), flannel_->pod().address);
    const auto bulk = exchange_tcp(node().endpoint(), flannel_->pod(), 10'000'000);
    EXPECT_EQ(bulk.problem, "");
    EXPECT_EQ(bulk.client_seen_as, overlay_address());
    EXPECT_EQ(echo_udp(node().endpoint(), flannel_->pod(), datagram_sizes).problem, "");
    expect_ping(*flannel_->pod().ns, overlay_address());
}

TEST_F(FlannelNeighbourTest, HostToHost_OverTheirOverlayAddresses) {
    expect_ping(node().ns(), flannel_->overlay_address());
    expect_ping(flannel_->ns(), overlay_address());
}

TEST_F(FlannelNeighbourTest, MacOfOurAnnotation_IsTheOverlayDevicesAndStaysOverARestart) {
    const DeviceRef overlay{node().ns(), overlay_device};
    EXPECT_EQ(mac_of(overlay), Cluster::flannel_mac(1));
    node().kill_agent();
    node().start_agent();
    node().wait_ready();
    EXPECT_EQ(mac_of(overlay), Cluster::flannel_mac(1));
    expect_ping(*flannel_->pod().ns, pod_->address());
}

TEST_F(FlannelNeighbourTest, PeerThatComesBackWithAnotherMac_IsReachedWithinASecond) {
    const MacAddress fresh({0x0e, 1, 2, 3, 4, 5});
    set_mac({flannel_->ns(), "flannel.1"}, fresh);
    // With the MAC the kernel forgets the device's neighbours, permanent ones too: flannel's restart enters them.
    flannel_->add_peer({node().address(), node().pod_cidr(), Cluster::flannel_mac(1)});
    // The kernel forgot its neighbours with the old MAC; flannel's restart would write this one again.
    ip(flannel_->ns(), fmt::format("neighbour replace {} lladdr {} dev flannel.1 nud permanent", overlay_address(),
                                   Cluster::flannel_mac(1)));
    EXPECT_EQ(ping(pod_->ns(), flannel_->pod().address, 1).answered, 0U);
    cluster_->state().back() = flannel_->as_node();
    cluster_->publish();
    // Half a second of pings: the first ones may still go to the old MAC.
    EXPECT_GT(ping(pod_->ns(), flannel_->pod().address, 25).answered, 0U);
}

class FlannelNeighbourInAutoModeTest : public FlannelNeighbourTest {
protected:
    [[nodiscard]] std::string mode() const override { return "auto"; }
};

// It is adjacent and would answer probes; its reverse path filter expects pods behind flannel.1.
TEST_F(FlannelNeighbourInAutoModeTest, FlannelNode_IsSpokenToInVxlan) {
    set_sysctl(flannel_->ns(), "net/ipv4/conf/all/rp_filter", "1");
    const auto nodes = node().agentctl_json({"node", "list"});
    const auto listed = std::ranges::find(nodes, "f", [](const auto& one) { return one.at("name"); });
    ASSERT_NE(listed, nodes.end());
    EXPECT_EQ(listed->at("path"), "vxlan");
    EXPECT_EQ(listed->at("reason"), "published as a node of flannel's VXLAN");
    EXPECT_EQ(exchange_tcp(pod_->endpoint(), flannel_->pod(), 5'000'000).problem, "");
    EXPECT_EQ(exchange_tcp(flannel_->pod(), pod_->endpoint(), 5'000'000).problem, "");
    EXPECT_EQ(exchange_tcp(node().endpoint(), flannel_->pod(), 1'000'000).client_seen_as, overlay_address());
}

// Hops as between two flannel nodes: each node is a router.
TEST_F(FlannelNeighbourTest, TtlAndEcn_AreWhatAFlannelPeerExpects) {
    const auto inward = send_one_datagram(flannel_->pod(), pod_->endpoint(), {.ttl = 64, .tos = 2});
    EXPECT_EQ(inward.ttl, 62);
    EXPECT_EQ(inward.tos, 2);
    const auto outward = send_one_datagram(pod_->endpoint(), flannel_->pod(), {.ttl = 64, .tos = 2});
    EXPECT_EQ(outward.ttl, 62);
    EXPECT_EQ(outward.tos, 2);
}

// VNI 7 is what this cluster has.
TEST(FlannelVniTest, PeerOfTheConfiguredVni_IsNoReasonToWarn) {
    Underlay underlay(1500, Ipv4Address::parse("192.168.0.254").value());
    Node node(underlay, {.name = "n1",
                         .internal_ip = Cluster::node_address(1),
                         .pod_cidr = Cluster::pod_cidr(1),
                         .flannel = true,
                         .extra_config = "",
                         .mode = "vxlan, vni: 7"});
    auto peer = flannel_annotations(Cluster::node_address(2), Cluster::flannel_mac(2));
    peer.at("flannel.alpha.coreos.com/backend-data") = R"({"VNI":7,"VtepMAC":"0e:61:06:ff:7a:02"})";
    node.write_state(to_node_list({{"n1", Cluster::node_address(1), {Cluster::pod_cidr(1)}, {}},
                                   {"n2", Cluster::node_address(2), {Cluster::pod_cidr(2)}, peer}}));
    node.start_agent();
    node.wait_ready();
    EXPECT_THAT(node.agentctl({"status"}).out, testing::Not(testing::HasSubstr("VNI")));
}

}  // namespace
}  // namespace podlane::net
