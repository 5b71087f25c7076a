// SPDX-License-Identifier: Apache-2.0
#include "agent/state/recall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

NodeObject node_object(std::string name, std::vector<std::string> internal_ips, std::vector<std::string> pod_cidrs) {
    NodeObject object;
    object.name = std::move(name);
    object.internal_ips = std::move(internal_ips);
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

const std::vector<PodCidrOwner> maps = {{prefix("10.244.1.0/24"), address("10.0.0.1")},
                                        {prefix("10.244.3.0/24"), address("10.0.0.3")},
                                        {prefix("10.244.33.0/25"), address("10.0.0.3")}};

TEST(RecallTest, EstablishedPodCidr_IsKeptOverARestartFromANodeThatComesFirstByName) {
    const ClusterRules rules{.node_name = "n1", .cluster_cidrs = {prefix("10.244.0.0/16")}};
    const auto objects = objects_of({node_object("a-thief", {"10.0.0.77"}, {"10.244.3.0/24"}),
                                     node_object("n1", {"10.0.0.1"}, {"10.244.1.0/24"}),
                                     node_object("n3", {"10.0.0.3"}, {"10.244.3.0/24", "10.244.33.0/25"})});
    const auto cluster = decide_cluster(objects, recall_cluster(objects, maps), rules);
    EXPECT_THAT(cluster.nodes.at("n3").pod_cidrs, ElementsAre(prefix("10.244.3.0/24"), prefix("10.244.33.0/25")));
    EXPECT_THAT(cluster.nodes.at("a-thief").pod_cidrs, IsEmpty());
    EXPECT_THAT(decide_cluster(objects, {}, rules).nodes.at("a-thief").pod_cidrs, SizeIs(1)) << "no thief without it";
}

TEST(RecallTest, NodesThatTheMapsDoNotName_AreNotRecalled) {
    const auto recalled = recall_cluster(objects_of({node_object("n1", {"fd00::1", "10.0.0.1"}, {"10.244.1.0/24"}),
                                                     node_object("new", {"10.0.0.9"}, {"10.244.9.0/24"}),
                                                     node_object("odd", {"not an address"}, {"10.244.3.0/24"}),
                                                     node_object("bare", {}, {"10.244.3.0/24"})}),
                                         maps);
    ASSERT_THAT(recalled.nodes, SizeIs(1));
    EXPECT_EQ(recalled.nodes.at("n1").internal_ip, address("10.0.0.1"));
    EXPECT_THAT(recalled.nodes.at("n1").pod_cidrs, ElementsAre(prefix("10.244.1.0/24")));
    EXPECT_THAT(recall_cluster(objects_of({node_object("n1", {"10.0.0.1"}, {})}), {}).nodes, IsEmpty());
}

// A machine that was installed anew under another name keeps its address, and its old Node stays for a while.
TEST(RecallTest, OfTwoNodesWithOneAddress_TheOneWithThePodCidrOnRecordIsEstablished) {
    const ClusterRules rules{.node_name = "n1", .cluster_cidrs = {prefix("10.244.0.0/16")}};
    const auto objects = objects_of({node_object("a-new", {"10.0.0.3"}, {"10.244.8.0/24"}),
                                     node_object("n1", {"10.0.0.1"}, {"10.244.1.0/24"}),
                                     node_object("z-old", {"10.0.0.3"}, {"10.244.3.0/24"})});
    const auto cluster = decide_cluster(objects, recall_cluster(objects, maps), rules);
    EXPECT_TRUE(cluster.nodes.contains("z-old"));
    EXPECT_FALSE(cluster.nodes.contains("a-new"));
}

std::pair<network_key, network_entry> network(std::string_view text, network_class kind) {
    return {{.prefix_length = prefix(text).length(), .address = prefix(text).address().wire()},
            {.network_class = static_cast<std::uint32_t>(kind)}};
}

TEST(RecallTest, NetworksThatAFileMayHaveNamed_AreRecalled) {
    const std::vector<std::pair<network_key, network_entry>> map = {
        network("192.0.2.0/24", NETWORK_UNTRANSLATED), network("10.244.0.0/16", NETWORK_CLUSTER),
        network("10.96.0.0/12", NETWORK_SERVICE), network("10.0.0.0/8", NETWORK_UNTRANSLATED)};
    const auto recalled = recall_ip_masq_agent(map);
    EXPECT_THAT(recalled.non_masquerade_cidrs, ElementsAre(prefix("10.0.0.0/8"), prefix("192.0.2.0/24")));
    EXPECT_FALSE(recalled.masq_link_local);
    EXPECT_TRUE(recall_ip_masq_agent(std::vector{network("169.254.0.0/16", NETWORK_TRANSLATED)}).masq_link_local);
    EXPECT_EQ(recall_ip_masq_agent({}), IpMasqAgentConfig{});
}

}  // namespace
}  // namespace podlane
