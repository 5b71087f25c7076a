// SPDX-License-Identifier: Apache-2.0
#include "agent/state/cluster.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/source/object_reader.h"
#include "test/support/kube_api_fixture.h"

namespace podlane {
namespace {

using testing::ElementsAre;
using testing::Eq;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;
using testing::SizeIs;

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

MacAddress mac(std::string_view text) {
    return MacAddress::parse(text).value();
}

ClusterRules rules() {
    return {.node_name = "n1", .cluster_cidrs = {prefix("10.244.0.0/16")}};
}

ClusterRules flannel_rules() {
    auto result = rules();
    result.flannel = true;
    return result;
}

NodeObject node_object(std::string name, std::string internal_ip, std::vector<std::string> pod_cidrs) {
    NodeObject object;
    object.name = std::move(name);
    object.internal_ips = {std::move(internal_ip)};
    object.pod_cidrs = std::move(pod_cidrs);
    return object;
}

ClusterObjects objects_of(const std::vector<NodeObject>& nodes) {
    ClusterObjects objects;
    for (const auto& node : nodes) {
        objects.nodes.emplace(node.name, node);
    }
    return objects;
}

Cluster decide(const std::vector<NodeObject>& nodes, const Cluster& previous = {}) {
    return decide_cluster(objects_of(nodes), previous, rules());
}

std::vector<std::string> names(const Cluster& cluster) {
    std::vector<std::string> result;
    result.reserve(cluster.nodes.size());
    for (const auto& [name, node] : cluster.nodes) {
        result.push_back(name);
    }
    return result;
}

std::vector<std::string> lines(const Cluster& cluster) {
    std::vector<std::string> result;
    result.reserve(cluster.warnings.size());
    for (const auto& warning : cluster.warnings) {
        result.push_back(warning.to_string());
    }
    return result;
}

// ---- the recorded cluster of odd nodes

class OddNodesTest : public testing::Test {
protected:
    static ClusterObjects read(const std::string& file) {
        const auto read = read_objects(test::kube_api_text(file), {.name = "", .node_name = "n1"});
        return objects_of(read.value().nodes);
    }

    // What is said about one node, without where it was read.
    static std::vector<std::string> said_about(const Cluster& cluster, const std::string& name) {
        std::vector<std::string> result;
        for (const auto& warning : cluster.warnings) {
            if (warning.object == "node " + name) {
                result.push_back(warning.field + ": " + warning.message);
            }
        }
        return result;
    }

    const ClusterObjects objects_ = read("k-nodes-odd.json");
    const Cluster cluster_ = decide_cluster(objects_, {}, flannel_rules());
};

struct OddNode {
    std::string_view name;
    std::string_view internal_ip;             // empty: left out
    std::vector<std::string_view> pod_cidrs;  // that are kept
    std::vector<std::string_view> warnings;
};

class EachOddNodeTest : public OddNodesTest, public testing::WithParamInterface<OddNode> {};

TEST_P(EachOddNodeTest, IsDecidedAsTheContractSays) {
    const OddNode& wanted = GetParam();
    const std::string name(wanted.name);
    ASSERT_TRUE(objects_.nodes.contains(name));
    EXPECT_THAT(said_about(cluster_, name), testing::ElementsAreArray(wanted.warnings));
    ASSERT_EQ(cluster_.nodes.contains(name), !wanted.internal_ip.empty());
    if (!wanted.internal_ip.empty()) {
        const Node& node = cluster_.nodes.at(name);
        EXPECT_EQ(node.internal_ip, address(wanted.internal_ip));
        std::vector<Ipv4Prefix> pod_cidrs;
        std::ranges::transform(wanted.pod_cidrs, std::back_inserter(pod_cidrs), prefix);
        EXPECT_EQ(node.pod_cidrs, pod_cidrs);
    }
}

const auto odd_nodes = std::to_array<OddNode>({
    {"n1", "192.168.56.11", {"10.244.0.0/24"}, {}},
    {"n2", "192.168.56.22", {"10.244.1.0/24"}, {}},
    {"n3", "192.168.56.13", {"10.244.2.0/24"}, {}},
    {"n4", "192.168.56.24", {"10.244.4.0/24"}, {}},
    {"odd-no-podcidr",
     "192.168.57.1",
     {},
     {"spec.podCIDRs: the node has no IPv4 podCIDR yet: its pods cannot be reached"}},
    {"odd-overlap-n1", "192.168.57.2", {}, {"spec.podCIDRs: 10.244.0.0/24 overlaps 10.244.0.0/24 of node n1"}},
    {"odd-overlap-inside", "192.168.57.3", {}, {"spec.podCIDRs: 10.244.1.128/25 overlaps 10.244.1.0/24 of node n2"}},
    {"odd-outside-clustercidr",
     "192.168.57.4",
     {},
     {"spec.podCIDRs: 172.31.0.0/24 lies outside clusterCIDRs (10.244.0.0/16)"}},
    {"odd-host-bits",
     "192.168.57.5",
     {},
     {"spec.podCIDRs: \"10.244.9.7/24\" has host bits set; the prefix is 10.244.9.0/24"}},
    {"odd-ip-not-an-address",
     "",
     {},
     {"status.addresses[InternalIP]: \"not-an-address\" is not an IPv4 unicast address",
      "status.addresses[InternalIP]: the node has no IPv4 InternalIP: it is left out"}},
    {"odd-ip-with-port",
     "",
     {},
     {"status.addresses[InternalIP]: \"192.168.57.7:10250\" is not an IPv4 unicast address",
      "status.addresses[InternalIP]: the node has no IPv4 InternalIP: it is left out"}},
    {"odd-no-internalip", "", {}, {"status.addresses[InternalIP]: the node has no IPv4 InternalIP: it is left out"}},
    {"odd-two-internalips", "192.168.57.9", {"10.244.13.0/24"}, {}},
    {"odd-v6-first", "192.168.57.10", {"10.244.14.0/24"}, {}},
    {"odd-same-ip-as-n3", "", {}, {"status.addresses[InternalIP]: 192.168.56.13 is node n3's: the node is left out"}},
    {"odd-dual-podcidrs", "192.168.57.12", {"10.244.16.0/24"}, {}},
    {"odd-two-v4-podcidrs", "192.168.57.13", {"10.244.17.0/24"}, {}},
    {"odd-podcidr-slash32", "192.168.57.15", {"10.244.19.0/32"}, {}},
    {"odd-podcidr-slash0", "192.168.57.16", {}, {"spec.podCIDRs: 0.0.0.0/0 lies outside clusterCIDRs (10.244.0.0/16)"}},
    {"odd-terminating", "192.168.57.17", {"10.244.20.0/24"}, {}},
    {"odd-flannel-bad-json",
     "192.168.57.18",
     {"10.244.21.0/24"},
     {"metadata.annotations[flannel.alpha.coreos.com/backend-data]: \"{not json\" is not a JSON object"}},
    {"odd-flannel-bad-mac",
     "192.168.57.19",
     {"10.244.22.0/24"},
     {"metadata.annotations[flannel.alpha.coreos.com/backend-data]: \"zz:61:06:ff:7b:13\" is not a MAC "
      "address"}},
    {"odd-flannel-hostgw",
     "192.168.57.20",
     {"10.244.23.0/24"},
     {"metadata.annotations[flannel.alpha.coreos.com/backend-type]: \"host-gw\" is not vxlan: the node "
      "takes no VXLAN"}},
    {"odd-flannel-overwrite", "192.168.57.21", {"10.244.24.0/24"}, {}},
});

INSTANTIATE_TEST_SUITE_P(CaseK, EachOddNodeTest, testing::ValuesIn(odd_nodes), [](const auto& param_info) {
    std::string name(param_info.param.name);
    std::ranges::replace(name, '-', '_');
    return name;
});

TEST_F(OddNodesTest, NoNodeIsForgotten) {
    EXPECT_THAT(objects_.nodes, SizeIs(24));
    EXPECT_THAT(cluster_.nodes, SizeIs(20));
}

TEST_F(OddNodesTest, FlannelMacsAndAddresses_AreRead) {
    EXPECT_THAT(cluster_.nodes.at("n2").flannel_mac, Optional(mac("0e:61:06:ff:7a:02")));
    EXPECT_THAT(cluster_.nodes.at("n3").flannel_mac, Eq(std::nullopt)) << "flannel ignores it: no kube-subnet-manager";
    EXPECT_THAT(cluster_.nodes.at("n4").flannel_mac, Eq(std::nullopt));
    EXPECT_THAT(cluster_.nodes.at("odd-flannel-bad-mac").flannel_mac, Eq(std::nullopt));
    EXPECT_THAT(cluster_.nodes.at("odd-flannel-hostgw").flannel_mac, Eq(std::nullopt));
    const Node& overwritten = cluster_.nodes.at("odd-flannel-overwrite");
    EXPECT_EQ(overwritten.vtep, address("198.51.100.21"));
    EXPECT_EQ(overwritten.internal_ip, address("192.168.57.21"));
}

TEST_F(OddNodesTest, WithoutFlannel_ItsAnnotationsMeanNothing) {
    const auto cluster = decide_cluster(objects_, {}, rules());
    for (const auto& [name, node] : cluster.nodes) {
        EXPECT_EQ(node.vtep, node.internal_ip) << name;
        EXPECT_THAT(node.flannel_mac, Eq(std::nullopt)) << name;
    }
    EXPECT_THAT(said_about(cluster, "odd-flannel-bad-json"), IsEmpty());
}

TEST_F(OddNodesTest, TwoInternalIps_TheSecondIsTheNodesButNoVtep) {
    const Node& node = cluster_.nodes.at("odd-two-internalips");
    EXPECT_EQ(node.vtep, address("192.168.57.9"));
    EXPECT_THAT(node.other_ips, ElementsAre(address("192.168.58.9")));
}

TEST_F(OddNodesTest, DecidedAgain_NothingChanges) {
    const auto again = decide_cluster(objects_, cluster_, flannel_rules());
    EXPECT_EQ(again.nodes, cluster_.nodes);
    EXPECT_EQ(again.warnings, cluster_.warnings);
}

TEST_F(OddNodesTest, DualStack_Ipv6IsPassedOver) {
    const auto cluster = decide_cluster(read("k-dual-stack-nodes.json"), {}, rules());
    for (const auto* name : {"dual-1", "dual-2"}) {
        ASSERT_TRUE(cluster.nodes.contains(name));
        EXPECT_THAT(cluster.nodes.at(name).pod_cidrs, SizeIs(1)) << name;
        EXPECT_THAT(said_about(cluster, name), IsEmpty());
    }
}

// ---- who keeps what

TEST(ClusterTest, SecondClaimOfAPodCidr_IsLeftOut) {
    const auto cluster =
        decide({node_object("a", "10.0.0.1", {"10.244.1.0/24"}), node_object("b", "10.0.0.2", {"10.244.1.0/24"})});
    EXPECT_THAT(cluster.nodes.at("a").pod_cidrs, ElementsAre(prefix("10.244.1.0/24")));
    EXPECT_THAT(cluster.nodes.at("b").pod_cidrs, IsEmpty());
    EXPECT_THAT(lines(cluster), ElementsAre("node b: spec.podCIDRs: 10.244.1.0/24 overlaps 10.244.1.0/24 of node a"));
}

TEST(ClusterTest, EstablishedPodCidr_IsKeptFromANodeThatComesFirstByName) {
    const auto b = node_object("b", "10.0.0.2", {"10.244.1.0/24"});
    const auto before = decide({b});
    const auto cluster = decide({node_object("a", "10.0.0.1", {"10.244.0.0/20"}), b}, before);
    EXPECT_THAT(cluster.nodes.at("b").pod_cidrs, ElementsAre(prefix("10.244.1.0/24")));
    EXPECT_THAT(cluster.nodes.at("a").pod_cidrs, IsEmpty());
}

TEST(ClusterTest, PodCidrThatItsOwnerGaveUp_GoesToTheOther) {
    const auto before = decide({node_object("b", "10.0.0.2", {"10.244.1.0/24"})});
    const auto cluster = decide(
        {node_object("a", "10.0.0.1", {"10.244.1.0/24"}), node_object("b", "10.0.0.2", {"10.244.2.0/24"})}, before);
    EXPECT_THAT(cluster.nodes.at("a").pod_cidrs, ElementsAre(prefix("10.244.1.0/24")));
    EXPECT_THAT(cluster.warnings, IsEmpty());
}

TEST(ClusterTest, LoserOfAClaim_GetsItWhenTheOtherIsGone) {
    const auto a = node_object("a", "10.0.0.1", {"10.244.1.0/24"});
    const auto b = node_object("b", "10.0.0.2", {"10.244.1.0/24"});
    const auto both = decide({a, b});
    const auto alone = decide({b}, both);
    EXPECT_THAT(alone.nodes.at("b").pod_cidrs, ElementsAre(prefix("10.244.1.0/24")));
}

TEST(ClusterTest, OneBadPodCidr_LeavesTheNodesOthers) {
    const auto cluster =
        decide({node_object("a", "10.0.0.1", {"10.244.1.0/24", "nonsense", "fd00::/64", "10.244.9.0/24"})});
    EXPECT_THAT(cluster.nodes.at("a").pod_cidrs, ElementsAre(prefix("10.244.1.0/24"), prefix("10.244.9.0/24")));
    EXPECT_THAT(lines(cluster),
                ElementsAre("node a: spec.podCIDRs: \"nonsense\" is not an IPv4 prefix (ADDRESS/LENGTH)"));
}

TEST(ClusterTest, PodCidrThatIsNeitherIpv4NorIpv6_IsWarnedOf) {
    for (const auto* text : {"fd00::/129", "fd00::", "::1/x", "/", "1.2.3.4"}) {
        EXPECT_THAT(decide({node_object("a", "10.0.0.1", {text})}).warnings, SizeIs(1)) << text;
    }
}

TEST(ClusterTest, OwnPodCidrs_MayNotOverlapEither) {
    const auto cluster = decide({node_object("a", "10.0.0.1", {"10.244.1.0/24", "10.244.1.0/24", "10.244.1.128/25"})});
    EXPECT_THAT(cluster.nodes.at("a").pod_cidrs, ElementsAre(prefix("10.244.1.0/24")));
    EXPECT_THAT(cluster.warnings, SizeIs(1));
}

TEST(ClusterTest, WidePodCidrOverManySmallOnes_IsFoundWherever) {
    const auto cluster =
        decide({node_object("a", "10.0.0.1", {"10.244.8.0/24"}), node_object("b", "10.0.0.2", {"10.244.8.0/21"}),
                node_object("c", "10.0.0.3", {"10.244.15.0/24"}), node_object("d", "10.0.0.4", {"10.244.16.0/24"}),
                node_object("e", "10.0.0.5", {"10.244.0.0/17"})});
    EXPECT_THAT(cluster.nodes.at("b").pod_cidrs, IsEmpty());
    EXPECT_THAT(cluster.nodes.at("c").pod_cidrs, SizeIs(1));
    EXPECT_THAT(cluster.nodes.at("d").pod_cidrs, SizeIs(1));
    EXPECT_THAT(cluster.nodes.at("e").pod_cidrs, IsEmpty());
}

TEST(ClusterTest, EstablishedInternalIp_IsKept) {
    const auto b = node_object("b", "10.0.0.2", {"10.244.2.0/24"});
    const auto cluster = decide({node_object("a", "10.0.0.2", {"10.244.1.0/24"}), b}, decide({b}));
    EXPECT_THAT(names(cluster), ElementsAre("b"));
    EXPECT_THAT(lines(cluster),
                ElementsAre("node a: status.addresses[InternalIP]: 10.0.0.2 is node b's: the node is left out"));
}

TEST(ClusterTest, NodeThatIsLeftOut_ClaimsNoPodCidr) {
    const auto cluster =
        decide({node_object("a", "nonsense", {"10.244.1.0/24"}), node_object("b", "10.0.0.2", {"10.244.1.0/24"})});
    EXPECT_THAT(names(cluster), ElementsAre("b"));
    EXPECT_THAT(cluster.nodes.at("b").pod_cidrs, SizeIs(1));
}

TEST(ClusterTest, NewInternalIpInAnEstablishedPodCidr_LeavesTheNodeOut) {
    const auto b = node_object("b", "10.0.0.2", {"10.244.2.0/24"});
    const auto cluster = decide({node_object("a", "10.244.2.9", {"10.244.1.0/24"}), b}, decide({b}));
    EXPECT_THAT(names(cluster), ElementsAre("b"));
    EXPECT_THAT(cluster.nodes.at("b").pod_cidrs, SizeIs(1));
    EXPECT_THAT(lines(cluster), ElementsAre(HasSubstr("10.244.2.9 lies in podCIDR 10.244.2.0/24 of node b")));
}

TEST(ClusterTest, NewPodCidrOverANodesAddress_IsLeftOut) {
    const auto cluster =
        decide({node_object("a", "10.244.2.9", {"10.244.1.0/24"}), node_object("b", "10.0.0.2", {"10.244.2.0/24"})});
    EXPECT_THAT(names(cluster), ElementsAre("a", "b"));
    EXPECT_THAT(cluster.nodes.at("b").pod_cidrs, IsEmpty());
    EXPECT_THAT(lines(cluster),
                ElementsAre("node b: spec.podCIDRs: 10.244.2.0/24 holds 10.244.2.9, the address of node a"));
}

TEST(ClusterTest, SecondAddressThatIsAnothersFirst_IsDropped) {
    auto a = node_object("a", "10.0.0.1", {"10.244.1.0/24"});
    a.internal_ips = {"fe80::1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"};
    const auto cluster = decide({a, node_object("b", "10.0.0.2", {"10.244.2.0/24"})});
    EXPECT_THAT(cluster.nodes.at("a").other_ips, ElementsAre(address("10.0.0.3")));
    EXPECT_THAT(names(cluster), ElementsAre("a", "b"));
    EXPECT_THAT(lines(cluster), ElementsAre(HasSubstr("10.0.0.2 is node b's: the address is left out")));
}

TEST(ClusterTest, EstablishedSecondAddress_IsKeptFromANewNode) {
    auto b = node_object("b", "10.0.0.1", {"10.244.1.0/24"});
    b.internal_ips.emplace_back("10.0.0.2");
    const auto cluster = decide({node_object("a", "10.0.0.2", {}), b}, decide({b}));
    EXPECT_THAT(names(cluster), ElementsAre("b"));
    EXPECT_THAT(cluster.nodes.at("b").other_ips, ElementsAre(address("10.0.0.2")));
}

TEST(ClusterTest, AddressThatNoHostCanHave_IsBad) {
    for (const auto* text : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "", "10.0.0.1 ", "010.0.0.1"}) {
        EXPECT_THAT(decide({node_object("a", text, {"10.244.1.0/24"})}).nodes, IsEmpty()) << text;
    }
}

TEST(ClusterTest, Self_IsTheNodeOfTheRules) {
    const auto n1 = node_object("n1", "10.0.0.1", {"10.244.1.0/24"});
    ASSERT_NE(decide({n1}).self(), nullptr);
    EXPECT_EQ(decide({n1}).self()->name, "n1");
    EXPECT_EQ(decide({node_object("n1", "nonsense", {})}).self(), nullptr);
    EXPECT_EQ(decide({node_object("n2", "10.0.0.1", {})}).self(), nullptr);
}

TEST(ClusterTest, Origin_IsNamedButDoesNotMakeAWarningNew) {
    auto a = node_object("a", "10.0.0.1", {});
    a.origin = "cluster.yaml:7";
    const auto first = decide({a});
    EXPECT_THAT(lines(first), ElementsAre(testing::EndsWith("(cluster.yaml:7)")));
    a.origin = "cluster.yaml:19";
    EXPECT_EQ(decide({a}).warnings, first.warnings);
}

// ---- flannel

NodeObject flannel_node(std::string name, std::string internal_ip, std::string pod_cidr, std::string backend_data) {
    auto object = node_object(std::move(name), internal_ip, {std::move(pod_cidr)});
    object.annotations = {{"flannel.alpha.coreos.com/kube-subnet-manager", "true"},
                          {"flannel.alpha.coreos.com/backend-type", "vxlan"},
                          {"flannel.alpha.coreos.com/backend-data", std::move(backend_data)},
                          {"flannel.alpha.coreos.com/public-ip", internal_ip}};
    return object;
}

constexpr auto public_ip = "flannel.alpha.coreos.com/public-ip";

Cluster decide_flannel(const std::vector<NodeObject>& nodes, const Cluster& previous = {}) {
    return decide_cluster(objects_of(nodes), previous, flannel_rules());
}

TEST(ClusterTest, BackendDataWithoutVni_IsTaken) {
    const auto cluster =
        decide_flannel({flannel_node("a", "10.0.0.1", "10.244.1.0/24", R"({"VtepMAC":"0E:61:06:ff:7a:33"})")});
    EXPECT_THAT(cluster.nodes.at("a").flannel_mac, Optional(mac("0e:61:06:ff:7a:33")));
    EXPECT_THAT(cluster.warnings, IsEmpty());
}

struct BackendData {
    std::string_view text;
    std::string_view warning;
};

class BadBackendDataTest : public testing::TestWithParam<BackendData> {};

TEST_P(BadBackendDataTest, IsWarnedOfAndTheNodeStays) {
    const auto cluster = decide_flannel({flannel_node("a", "10.0.0.1", "10.244.1.0/24", std::string(GetParam().text))});
    ASSERT_THAT(cluster.warnings, SizeIs(1));
    EXPECT_THAT(cluster.warnings[0].message, HasSubstr(GetParam().warning));
    EXPECT_THAT(cluster.nodes.at("a").pod_cidrs, SizeIs(1));
}

const auto bad_backend_data = std::to_array<BackendData>({
    {"", "is not a JSON object"},
    {"[]", "is not a JSON object"},
    {"{}", "has no VtepMAC"},
    {R"({"VtepMAC":7})", "has no VtepMAC"},
    {R"({"VtepMAC":"01:00:5e:00:00:01"})", "is not a unicast address"},
    {R"({"VtepMAC":"00:00:00:00:00:00"})", "is not a unicast address"},
    {R"({"VNI":7,"VtepMAC":"0e:00:00:00:00:01"})", "VNI 7 is not"},
});

INSTANTIATE_TEST_SUITE_P(Forms, BadBackendDataTest, testing::ValuesIn(bad_backend_data));

TEST(ClusterTest, TwoNodesWithOneVtepMac_AreWarnedOfAndStay) {
    const auto data = R"({"VNI":1,"VtepMAC":"0e:61:06:ff:7a:33"})";
    const auto cluster = decide_flannel(
        {flannel_node("a", "10.0.0.1", "10.244.1.0/24", data), flannel_node("b", "10.0.0.2", "10.244.2.0/24", data)});
    EXPECT_THAT(names(cluster), ElementsAre("a", "b"));
    EXPECT_THAT(lines(cluster), ElementsAre(HasSubstr("VtepMAC 0e:61:06:ff:7a:33 is node a's as well")));
}

TEST(ClusterTest, PublicIp_IsTheVtepOfAFlannelNode) {
    auto a = flannel_node("a", "10.0.0.1", "10.244.1.0/24", R"({"VtepMAC":"0e:61:06:ff:7a:33"})");
    a.annotations[public_ip] = "203.0.113.1";
    EXPECT_EQ(decide_flannel({a}).nodes.at("a").vtep, address("203.0.113.1"));
    a.annotations["flannel.alpha.coreos.com/kube-subnet-manager"] = "false";
    EXPECT_EQ(decide_flannel({a}).nodes.at("a").vtep, address("10.0.0.1"));
}

TEST(ClusterTest, OwnVtep_IsTheInternalIpWhateverWasPublished) {
    auto self = flannel_node("n1", "10.0.0.1", "10.244.1.0/24", R"({"VtepMAC":"0e:61:06:ff:7a:33"})");
    self.annotations[public_ip] = "203.0.113.1";
    const auto cluster = decide_flannel({self});
    EXPECT_EQ(cluster.self()->vtep, address("10.0.0.1"));
    EXPECT_THAT(cluster.self()->flannel_mac, Optional(mac("0e:61:06:ff:7a:33")));
}

TEST(ClusterTest, BadOrStolenPublicIp_FallsBackToTheInternalIp) {
    auto a = flannel_node("a", "10.0.0.1", "10.244.1.0/24", R"({"VtepMAC":"0e:61:06:ff:7a:33"})");
    for (const auto* text : {"nonsense", "224.0.0.1", "10.0.0.2"}) {
        a.annotations[public_ip] = text;
        const auto cluster = decide_flannel({a, node_object("b", "10.0.0.2", {"10.244.2.0/24"})});
        EXPECT_EQ(cluster.nodes.at("a").vtep, address("10.0.0.1")) << text;
        EXPECT_THAT(cluster.warnings, SizeIs(1)) << text;
    }
}

// ---- scale

TEST(ClusterTest, FiveThousandNodesInAnyOrder_AllHoldAndAreQuick) {
    std::vector<NodeObject> nodes;
    for (unsigned i = 0; i < 5000; ++i) {
        const auto host = Ipv4Address::from_host(0xac100001U + i).to_string();
        const auto cidr = Ipv4Prefix::masked(Ipv4Address::from_host(0x0a000000U + i * 256U), 24).to_string();
        nodes.push_back(
            flannel_node(fmt::format("n{}", i), host, cidr,
                         fmt::format(R"({{"VNI":1,"VtepMAC":"02:00:00:00:{:02x}:{:02x}"}})", i >> 8U, i & 0xffU)));
    }
    std::ranges::shuffle(nodes, std::mt19937(7));
    auto wide = flannel_rules();
    wide.cluster_cidrs = {prefix("10.0.0.0/8")};
    const auto objects = objects_of(nodes);
    const auto first = decide_cluster(objects, {}, wide);
    const auto began = std::chrono::steady_clock::now();
    const auto again = decide_cluster(objects, first, wide);
    const auto took = std::chrono::steady_clock::now() - began;
    EXPECT_THAT(again.nodes, SizeIs(5000));
    EXPECT_EQ(again.nodes, first.nodes);
    EXPECT_THAT(again.warnings, IsEmpty());
    // Some 10 ms; comparing each with each takes seconds. Room for sanitizers and busy machines.
    EXPECT_LT(took, std::chrono::milliseconds(1000));
}

}  // namespace
}  // namespace podlane
