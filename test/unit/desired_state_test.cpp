// SPDX-License-Identifier: Apache-2.0
#include "agent/state/desired_state.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace podlane {
namespace {

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

Node make_node(const std::string& name, std::string_view ip, std::vector<Ipv4Prefix> pod_cidrs) {
    Node node;
    node.name = name;
    node.internal_ip = node.vtep = address(ip);
    node.pod_cidrs = std::move(pod_cidrs);
    return node;
}

// Node n1 is this one; n2 lies on the link, n3 behind a gateway, n4 cannot be reached.
class DesiredStateTest : public testing::Test {
protected:
    DesiredStateTest() {
        add(make_node("n1", "192.168.0.1", {prefix("10.244.1.0/24")}));
        cluster_.nodes.at("n1").self = true;
        add(make_node("n2", "192.168.0.2", {prefix("10.244.2.0/24"), prefix("10.244.200.0/26")}));
        add(make_node("n3", "192.168.9.3", {prefix("10.244.3.0/24")}));
        add(make_node("n4", "192.168.9.4", {prefix("10.244.4.0/24")}));
        paths_["n2"] = path(NODE_PATH_VXLAN, "192.168.0.2", 1500);
        paths_["n3"] = path(NODE_PATH_VXLAN, "192.168.0.254", 1400);
        paths_["n4"] = {.path = NODE_PATH_UNREACHABLE, .reason = "Network is unreachable"};
    }
    static PeerPath path(node_path kind, std::string_view next_hop, std::uint32_t mtu) {
        return {.path = kind, .ifindex = 2, .device = "eth0", .next_hop = address(next_hop), .mtu = mtu};
    }
    // The host's route to a podCIDR.
    [[nodiscard]] WantedRoute kernel_route(std::string_view pod_cidr) const {
        for (const auto& one : desired_host_network(settings_, inputs()).routes) {
            if (one.destination == prefix(pod_cidr)) {
                return one;
            }
        }
        return {};
    }
    void add(const Node& node) { cluster_.nodes[node.name] = node; }
    [[nodiscard]] DesiredInputs inputs() const {
        return {.cluster = &cluster_,
                .paths = &paths_,
                .pods = &pods_,
                .underlay_mtu = 1500,
                .all_rp_filter = 0,
                .uplinks = {}};
    }
    [[nodiscard]] WantedMaps maps() const { return desired_maps(settings_, inputs()); }
    [[nodiscard]] node_route route(std::string_view pod_cidr) const {
        const auto key = prefix(pod_cidr);
        return maps().nodes_by_pod_cidr.at({.address = key.address().wire(), .prefix_length = key.length()});
    }
    [[nodiscard]] bool has_kernel_route(std::string_view pod_cidr) const {
        const auto wanted = desired_host_network(settings_, inputs());
        return std::ranges::any_of(wanted.routes,
                                   [&](const WantedRoute& one) { return one.destination == prefix(pod_cidr); });
    }

    OverlaySettings settings_{.mode = PathMode::automatic,
                              .device = "podlane0",
                              .port = 8472,
                              .mtu = 0,
                              .flannel = false,
                              .cluster_cidrs = {prefix("10.244.0.0/16")},
                              .snat = {}};
    Cluster cluster_;
    std::map<std::string, PeerPath> paths_;
    std::vector<AttachedPod> pods_;
};

TEST_F(DesiredStateTest, OwnPodCidr_IsLocal) {
    EXPECT_EQ(route("10.244.1.0/24").path, NODE_PATH_LOCAL);
    EXPECT_FALSE(has_kernel_route("10.244.1.0/24"));
}

TEST_F(DesiredStateTest, PeerOnTheLink_IsEncapsulatedToItself) {
    const auto found = route("10.244.2.0/24");
    EXPECT_EQ(found.path, NODE_PATH_VXLAN);
    EXPECT_EQ(found.vtep, address("192.168.0.2").wire());
    EXPECT_EQ(found.next_hop, address("192.168.0.2").wire());
    EXPECT_EQ(found.ifindex, 2U);
    EXPECT_EQ(found.mtu, 1450U);
    EXPECT_TRUE(has_kernel_route("10.244.2.0/24"));
}

TEST_F(DesiredStateTest, PeerBehindAGateway_TakesItsMacAndTheSmallerMtu) {
    const auto found = route("10.244.3.0/24");
    EXPECT_EQ(found.vtep, address("192.168.9.3").wire());
    EXPECT_EQ(found.next_hop, address("192.168.0.254").wire());
    EXPECT_EQ(found.mtu, 1350U);
}

TEST_F(DesiredStateTest, PeerWithoutAWay_IsUnreachableAndHasNoKernelRoute) {
    EXPECT_EQ(route("10.244.4.0/24").path, NODE_PATH_UNREACHABLE);
    EXPECT_EQ(route("10.244.4.0/24").ifindex, 0U);
    EXPECT_FALSE(has_kernel_route("10.244.4.0/24"));
}

TEST_F(DesiredStateTest, DirectPeer_IsItsOwnNextHopAndHasTheLinksMtu) {
    paths_["n2"] = path(NODE_PATH_DIRECT, "192.168.0.2", 1500);
    const auto found = route("10.244.2.0/24");
    EXPECT_EQ(found.path, NODE_PATH_DIRECT);
    EXPECT_EQ(found.next_hop, address("192.168.0.2").wire());
    EXPECT_EQ(found.ifindex, 2U);
    EXPECT_EQ(found.mtu, 1500U);
    // The peer may go on encapsulating, and so may the stack in the moment of the switch.
    EXPECT_EQ(found.vtep, address("192.168.0.2").wire());
    EXPECT_TRUE(std::ranges::equal(found.vtep_mac, vtep_mac(address("192.168.0.2")).bytes()));
    EXPECT_EQ(maps().nodes_by_ipv4.at(address("192.168.0.2").wire()).path, NODE_PATH_DIRECT);
    EXPECT_EQ(route("10.244.3.0/24").mtu, 1350U) << "a VXLAN peer keeps its own";
}

TEST_F(DesiredStateTest, DirectPeersKernelRoute_LeadsToThePeerWithTheNodesAddress) {
    paths_["n2"] = path(NODE_PATH_DIRECT, "192.168.0.2", 1500);
    for (const auto* pod_cidr : {"10.244.2.0/24", "10.244.200.0/26"}) {
        EXPECT_EQ(kernel_route(pod_cidr), (WantedRoute{.destination = prefix(pod_cidr),
                                                       .device = "eth0",
                                                       .gateway = address("192.168.0.2"),
                                                       .source = address("192.168.0.1"),
                                                       .mtu = 1450}));
    }
    EXPECT_EQ(kernel_route("10.244.3.0/24").device, "podlane0");
}

TEST_F(DesiredStateTest, BesideFlannel_DirectRoutesCarryTheNodesAddressAsFlannelsDo) {
    settings_.flannel = true;
    paths_["n2"] = path(NODE_PATH_DIRECT, "192.168.0.2", 1500);
    EXPECT_EQ(kernel_route("10.244.2.0/24").source, address("192.168.0.1"));
    EXPECT_EQ(kernel_route("10.244.3.0/24").source, address("10.244.1.0"));
}

TEST_F(DesiredStateTest, SwitchOfThePath_ReplacesTheRouteOfTheSameKey) {
    const auto before = kernel_route("10.244.2.0/24");
    paths_["n2"] = path(NODE_PATH_DIRECT, "192.168.0.2", 1500);
    const auto after = kernel_route("10.244.2.0/24");
    EXPECT_NE(before, after);
    EXPECT_EQ(before.destination, after.destination);
    EXPECT_EQ(before.metric, after.metric);
}

TEST_F(DesiredStateTest, InHostGwMode_PodsHaveTheUnderlaysMtu) {
    EXPECT_EQ(pod_mtu(settings_, 1500), 1450U);
    settings_.mode = PathMode::vxlan;
    EXPECT_EQ(pod_mtu(settings_, 1500), 1450U);
    settings_.mode = PathMode::host_gw;
    EXPECT_EQ(pod_mtu(settings_, 1500), 1500U);
    EXPECT_EQ(overlay_mtu(settings_, 1500), 1450U);
    paths_["n2"] = path(NODE_PATH_DIRECT, "192.168.0.2", 1500);
    EXPECT_EQ(kernel_route("10.244.2.0/24").mtu, 0U) << "the device's is right";
    settings_.mtu = 1400;
    EXPECT_EQ(pod_mtu(settings_, 1500), 1400U);
    EXPECT_EQ(kernel_route("10.244.2.0/24").mtu, 1400U);
}

TEST_F(DesiredStateTest, PeerThatMayNotBeReached_IsLeftToTheUnreachableRoute) {
    settings_.mode = PathMode::host_gw;
    paths_["n3"] = path(NODE_PATH_UNREACHABLE, "192.168.0.254", 1400);
    EXPECT_EQ(route("10.244.3.0/24").path, NODE_PATH_UNREACHABLE);
    EXPECT_EQ(route("10.244.3.0/24").ifindex, 0U);
    EXPECT_FALSE(has_kernel_route("10.244.3.0/24"));
    EXPECT_EQ(kernel_route("10.244.0.0/16").kind, RouteKind::unreachable);
}

TEST_F(DesiredStateTest, PrefixLengths_AreListedOnceLongestFirst) {
    const auto lengths = maps().pod_cidr_lengths.at(0);
    ASSERT_EQ(lengths.count, 2U);
    EXPECT_EQ(lengths.length[0], 26);
    EXPECT_EQ(lengths.length[1], 24);
}

TEST_F(DesiredStateTest, EveryInternalIp_IsANodesAddress) {
    cluster_.nodes.at("n2").other_ips = {address("172.16.0.2")};
    const auto wanted = maps();
    EXPECT_EQ(wanted.nodes_by_ipv4.size(), 5U);
    EXPECT_EQ(wanted.nodes_by_ipv4.at(address("172.16.0.2").wire()).vtep, address("192.168.0.2").wire());
    EXPECT_EQ(wanted.nodes_by_ipv4.at(address("192.168.0.1").wire()).path, NODE_PATH_LOCAL);
}

TEST_F(DesiredStateTest, BesideFlannel_DotZeroAddressesAndPublishedMacsAreUsed) {
    settings_.flannel = true;
    const MacAddress published({0x0e, 0x61, 0x06, 0xff, 0x7a, 0x73});
    cluster_.nodes.at("n2").flannel_mac = published;
    EXPECT_TRUE(std::ranges::equal(route("10.244.2.0/24").vtep_mac, published.bytes()));
    EXPECT_TRUE(maps().nodes_by_ipv4.contains(address("10.244.3.0").wire()));
    EXPECT_EQ(overlay_address(settings_, cluster_.nodes.at("n1")), address("10.244.1.0"));
}

TEST_F(DesiredStateTest, WithoutFlannel_PublishedMacsAreIgnored) {
    cluster_.nodes.at("n2").flannel_mac = MacAddress({0x0e, 1, 2, 3, 4, 5});
    EXPECT_TRUE(std::ranges::equal(route("10.244.2.0/24").vtep_mac, vtep_mac(address("192.168.0.2")).bytes()));
    EXPECT_EQ(overlay_address(settings_, cluster_.nodes.at("n1")), address("192.168.0.1"));
}

TEST_F(DesiredStateTest, StatedMac_GoesBeforeTheDerivedOneAndBehindFlannels) {
    const MacAddress stated({0x0e, 9, 9, 9, 9, 9});
    const MacAddress of_flannel({0x0e, 1, 2, 3, 4, 5});
    for (const auto* name : {"n1", "n2"}) {
        cluster_.nodes.at(name).stated_mac = stated;
    }
    EXPECT_TRUE(std::ranges::equal(route("10.244.2.0/24").vtep_mac, stated.bytes()));
    EXPECT_EQ(desired_host_network(settings_, inputs()).overlay->mac, stated);
    settings_.flannel = true;
    EXPECT_TRUE(std::ranges::equal(route("10.244.2.0/24").vtep_mac, stated.bytes()));
    cluster_.nodes.at("n2").flannel_mac = of_flannel;
    EXPECT_TRUE(std::ranges::equal(route("10.244.2.0/24").vtep_mac, of_flannel.bytes()));
}

TEST_F(DesiredStateTest, LocalPod_IsFoundByItsAddressAndRoutedByTheHost) {
    pods_.push_back({.ip = address("10.244.1.5"),
                     .gateway = address("10.244.1.1"),
                     .mac = MacAddress({2, 0, 0, 0, 0, 5}),
                     .host_mac = MacAddress({2, 0, 0, 0, 0, 1}),
                     .host_interface = "plabc",
                     .ifindex = 7,
                     .mtu = 1450});
    const auto endpoint = maps().pods_by_ipv4.at(address("10.244.1.5").wire());
    EXPECT_EQ(endpoint.ifindex, 7U);
    EXPECT_EQ(endpoint.gateway, address("10.244.1.1").wire());
    EXPECT_EQ(endpoint.mac[5], 5);
    EXPECT_TRUE(has_kernel_route("10.244.1.5/32"));
    EXPECT_EQ(desired_host_network(settings_, inputs()).neighbours.size(), 1U);
}

TEST_F(DesiredStateTest, ConfiguredMtu_WinsOverTheUnderlays) {
    settings_.mtu = 1300;
    EXPECT_EQ(overlay_mtu(settings_, 1500), 1300U);
    EXPECT_EQ(route("10.244.2.0/24").mtu, 1300U);
}

TEST_F(DesiredStateTest, Translation_NamesNetworksAndAddressesByDevice) {
    settings_.snat = {.enabled = true,
                      .non_masquerade_cidrs = {prefix("10.0.0.0/8"), prefix("10.244.7.0/24"), prefix("10.244.0.0/16")},
                      .service_cidrs = {prefix("10.96.0.0/12")},
                      .port_low = 20000,
                      .port_high = 29999};
    auto wanted = inputs();
    wanted.uplinks = {{4, {.address = address("192.168.0.1").wire(), .flags = NAT_DEVICE_OWN, .mtu = 1500}}};
    const auto content = desired_maps(settings_, wanted);
    const auto network = [&](std::string_view text) {
        const auto of = prefix(text);
        const auto found =
            content.networks_by_prefix.find({.prefix_length = of.length(), .address = of.address().wire()});
        return found == content.networks_by_prefix.end() ? 0U : found->second.network_class;
    };
    EXPECT_EQ(network("10.0.0.0/8"), NETWORK_UNTRANSLATED);
    EXPECT_EQ(network("10.96.0.0/12"), NETWORK_SERVICE);
    EXPECT_EQ(network("10.244.0.0/16"), NETWORK_CLUSTER) << "the pod network is that, whatever else is said of it";
    EXPECT_EQ(network("10.244.7.0/24"), 0U);
    ASSERT_EQ(content.nat_address_by_device.size(), 1U);
    EXPECT_EQ(content.nat_address_by_device.at(4).address, address("192.168.0.1").wire());
    EXPECT_EQ(content.nat_address_by_device.at(4).flags, static_cast<unsigned>(NAT_DEVICE_OWN));
}

TEST_F(DesiredStateTest, TranslationTurnedOff_LeavesNothingOfIt) {
    settings_.snat = {.enabled = false,
                      .non_masquerade_cidrs = {prefix("10.0.0.0/8")},
                      .service_cidrs = {prefix("10.96.0.0/12")},
                      .port_low = 20000,
                      .port_high = 29999};
    auto wanted = inputs();
    wanted.uplinks = {{4, {.address = address("192.168.0.1").wire(), .flags = NAT_DEVICE_OWN, .mtu = 1500}}};
    EXPECT_EQ(desired_maps(settings_, wanted).networks_by_prefix.size(), settings_.cluster_cidrs.size());
    EXPECT_TRUE(desired_maps(settings_, wanted).nat_address_by_device.empty());
    EXPECT_EQ(desired_nat(settings_.snat).enabled, 0U);
}

TEST(DesiredNatTest, BlocksHoldEveryPortOfAnyRange) {
    for (unsigned count = 1; count <= 65535; ++count) {
        const auto low = static_cast<std::uint16_t>(65536 - count);
        const auto config = desired_nat(
            {.enabled = true, .non_masquerade_cidrs = {}, .service_cidrs = {}, .port_low = low, .port_high = 65535});
        ASSERT_EQ(config.port_count, count);
        ASSERT_LE(config.block_size, NAT_BLOCK_SIZE_MAX);
        ASSERT_LE(config.block_count, NAT_BLOCKS_MAX);
        ASSERT_GE(config.block_size * config.block_count, config.port_count);
        ASSERT_LT(config.block_size * (config.block_count - 1), config.port_count) << "the last one is not empty";
    }
}

TEST(DesiredNatTest, FirstPacketIsTranslatedAtOnceWhereTheServicesAreKnown) {
    SnatSettings settings{
        .enabled = true, .non_masquerade_cidrs = {}, .service_cidrs = {}, .port_low = 20000, .port_high = 20063};
    EXPECT_EQ(desired_nat(settings).at_once, 0U);
    settings.service_cidrs = {prefix("10.96.0.0/12")};
    EXPECT_EQ(desired_nat(settings).at_once, 1U);
}

// --- who is translated to what ---

TEST_F(DesiredStateTest, PodsWishes_AreInItsEntry) {
    const auto egress = address("192.0.2.7");
    const auto attach = [&](std::string_view ip, const PodSnat& snat) {
        AttachedPod pod;
        pod.ip = address(ip);
        pod.snat = snat;
        pods_.push_back(pod);
    };
    attach("10.244.1.5", {});
    attach("10.244.1.6", {.kind = PodSnat::Kind::off});
    attach("10.244.1.7", {.kind = PodSnat::Kind::address, .address = egress});
    const auto found = maps().pods_by_ipv4;
    const auto& plain = found.at(address("10.244.1.5").wire());
    EXPECT_EQ(plain.flags, 0);
    EXPECT_EQ(plain.egress_address, 0U);
    EXPECT_EQ(found.at(address("10.244.1.6").wire()).flags, POD_FLAG_NO_SNAT);
    EXPECT_EQ(found.at(address("10.244.1.7").wire()).flags, 0);
    EXPECT_EQ(found.at(address("10.244.1.7").wire()).egress_address, egress.wire());
}

TEST_F(DesiredStateTest, PodWithoutProgramsYet_IsMarkedSo) {
    AttachedPod pod;
    pod.ip = address("10.244.1.5");
    pod.snat = {.kind = PodSnat::Kind::off};
    pod.hooked = false;
    pods_.push_back(pod);
    EXPECT_EQ(maps().pods_by_ipv4.at(pod.ip.wire()).flags, POD_FLAG_NO_SNAT | POD_FLAG_UNHOOKED);
}

// The class that networks_by_prefix has for the very network; 0: it is not in it.
class NetworksTest : public DesiredStateTest {
protected:
    NetworksTest() { settings_.snat.enabled = true; }
    [[nodiscard]] unsigned network(std::string_view text) const {
        auto with_file = inputs();
        with_file.ip_masq_agent = &file_;
        const auto networks = desired_maps(settings_, with_file).networks_by_prefix;
        const auto key = prefix(text);
        const auto found = networks.find({.prefix_length = key.length(), .address = key.address().wire()});
        return found == networks.end() ? 0 : found->second.network_class;
    }
    static constexpr std::string_view link_local = "169.254.0.0/16";
    IpMasqAgentConfig file_;
};

TEST_F(NetworksTest, OfTheConfigurationAndOfTheFile_AreUnited) {
    settings_.snat.non_masquerade_cidrs = {prefix("10.0.0.0/8"), prefix("10.1.0.0/16")};
    file_.non_masquerade_cidrs = {prefix("10.0.0.0/8"), prefix("192.0.2.0/24"), prefix("10.244.0.0/16"),
                                  prefix("10.244.9.0/24")};
    EXPECT_EQ(network("10.0.0.0/8"), NETWORK_UNTRANSLATED);
    EXPECT_EQ(network("10.1.0.0/16"), NETWORK_UNTRANSLATED);
    EXPECT_EQ(network("192.0.2.0/24"), NETWORK_UNTRANSLATED);
    EXPECT_EQ(network("10.244.0.0/16"), NETWORK_CLUSTER);
    EXPECT_EQ(network("10.244.9.0/24"), 0U);
    settings_.snat.enabled = false;
    EXPECT_EQ(network("10.0.0.0/8"), 0U);
}

TEST_F(NetworksTest, LinkLocal_IsTranslatedWhenTheFileSaysSo) {
    EXPECT_EQ(network(link_local), 0U);
    file_.masq_link_local = true;
    EXPECT_EQ(network(link_local), NETWORK_TRANSLATED);
    settings_.snat.non_masquerade_cidrs = {prefix("169.254.169.0/24")};
    EXPECT_EQ(network(link_local), NETWORK_TRANSLATED);
    EXPECT_EQ(network("169.254.169.0/24"), NETWORK_UNTRANSLATED);
}

// As ip-masq-agent's rules, which are asked one after the other, have it.
TEST_F(NetworksTest, LinkLocalWithinAnUntranslatedNetwork_IsNotTranslated) {
    file_.masq_link_local = true;
    file_.non_masquerade_cidrs = {prefix("169.0.0.0/8")};
    EXPECT_EQ(network(link_local), 0U);
    file_.non_masquerade_cidrs = {prefix(link_local)};
    EXPECT_EQ(network(link_local), NETWORK_UNTRANSLATED);
}

}  // namespace
}  // namespace podlane
