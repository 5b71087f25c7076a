// SPDX-License-Identifier: Apache-2.0
// What a node publishes of its VTEP, byte for byte, and that it is read as it was meant.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/state/cluster.h"
#include "agent/state/flannel_annotations.h"
#include "agent/state/podlane_annotations.h"

namespace podlane {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

MacAddress mac(std::string_view text) {
    return MacAddress::parse(text).value();
}

const FlannelVtep vtep = {.address = address("192.168.0.22"), .mac = mac("0E:61:06:ff:7a:73"), .vni = 1};

TEST(FlannelAnnotationsTest, Bytes_AreFlannels) {
    EXPECT_EQ(make_flannel_annotations(vtep, {}),
              (Annotations{{"flannel.alpha.coreos.com/backend-data", R"({"VNI":1,"VtepMAC":"0e:61:06:ff:7a:73"})"},
                           {"flannel.alpha.coreos.com/backend-type", "vxlan"},
                           {"flannel.alpha.coreos.com/kube-subnet-manager", "true"},
                           {"flannel.alpha.coreos.com/public-ip", "192.168.0.22"}}));
}

TEST(FlannelAnnotationsTest, Overwrite_GoesBeforeTheAddressWhenItIsOne) {
    const auto public_ip = [](const std::string& overwrite) {
        return make_flannel_annotations(vtep, {{"flannel.alpha.coreos.com/public-ip-overwrite", overwrite}})
            .at("flannel.alpha.coreos.com/public-ip");
    };
    EXPECT_EQ(public_ip("203.0.113.7"), "203.0.113.7");
    for (const auto* bad : {"", "nonsense", "224.0.0.1", "127.0.0.1"}) {
        EXPECT_EQ(public_ip(bad), "192.168.0.22") << bad;
    }
}

TEST(FlannelAnnotationsTest, WhatIsPublished_IsReadAsItWasMeant) {
    for (const auto& before :
         {Annotations{}, Annotations{{"flannel.alpha.coreos.com/public-ip-overwrite", "203.0.113.7"}}}) {
        auto published = make_flannel_annotations(vtep, before);
        published.insert(before.begin(), before.end());
        const auto read = read_flannel_annotations(published, 1);
        EXPECT_THAT(read.vtep_mac, Optional(vtep.mac));
        EXPECT_THAT(read.public_ip, Optional(before.empty() ? vtep.address : address("203.0.113.7")));
        EXPECT_TRUE(read.problems.empty());
    }
}

TEST(VtepAnnotationsTest, Bytes_AreAsDocumentedAndRead) {
    const auto published = make_vtep_annotations(address("192.168.0.1"), mac("02:50:c0:a8:00:01"));
    EXPECT_EQ(published,
              (Annotations{{"podlane.io/vtep-ip", "192.168.0.1"}, {"podlane.io/vtep-mac", "02:50:c0:a8:00:01"}}));
    EXPECT_THAT(read_stated_vtep(published, address("192.168.0.1")).mac, Optional(mac("02:50:c0:a8:00:01")));
}

TEST(VtepAnnotationsTest, MacOfAnAddressThatTheNodeLeft_DoesNotCount) {
    const auto published = make_vtep_annotations(address("192.168.0.1"), mac("02:50:c0:a8:00:01"));
    const auto read = read_stated_vtep(published, address("192.168.0.2"));
    EXPECT_EQ(read.mac, std::nullopt);
    EXPECT_EQ(read.problem, "");
}

TEST(VtepAnnotationsTest, MacWithoutAnAddress_Counts) {
    EXPECT_THAT(read_stated_vtep({{"podlane.io/vtep-mac", "0e:00:00:00:00:07"}}, address("192.168.0.1")).mac,
                Optional(mac("0e:00:00:00:00:07")));
}

TEST(VtepAnnotationsTest, WhatIsNoUnicastMac_IsAProblem) {
    for (const auto* bad : {"", "x", "01:00:5e:00:00:01", "00:00:00:00:00:00"}) {
        const auto read = read_stated_vtep({{"podlane.io/vtep-mac", bad}}, address("192.168.0.1"));
        EXPECT_EQ(read.mac, std::nullopt) << bad;
        EXPECT_THAT(read.problem, HasSubstr("is not a unicast MAC address")) << bad;
    }
}

NodeObject node_object(std::string name, std::string internal_ip, std::string pod_cidr, Annotations annotations) {
    NodeObject object;
    object.name = std::move(name);
    object.internal_ips = {std::move(internal_ip)};
    object.pod_cidrs = {std::move(pod_cidr)};
    object.annotations = std::move(annotations);
    return object;
}

Cluster decide(const std::vector<NodeObject>& nodes, const ClusterRules& rules) {
    ClusterObjects objects;
    for (const auto& node : nodes) {
        objects.nodes.emplace(node.name, node);
    }
    return decide_cluster(objects, {}, rules);
}

const ClusterRules rules = {.node_name = "n1", .cluster_cidrs = {Ipv4Prefix::parse("10.244.0.0/16").value()}};

TEST(VtepAnnotationsTest, MacOfANode_IsReadWithAndWithoutFlannelAndOfThisNodeToo) {
    auto beside_flannel = rules;
    beside_flannel.flannel = true;
    for (const auto& each : {rules, beside_flannel}) {
        const auto cluster =
            decide({node_object("n1", "10.0.0.1", "10.244.1.0/24",
                                {{"podlane.io/vtep-mac", "0e:61:06:ff:7a:33"}, {"podlane.io/vtep-ip", "10.0.0.1"}}),
                    node_object("n2", "10.0.0.2", "10.244.2.0/24",
                                {{"podlane.io/vtep-mac", "0e:61:06:ff:7a:44"}, {"podlane.io/vtep-ip", "10.0.0.9"}})},
                   each);
        EXPECT_THAT(cluster.self()->stated_mac, Optional(mac("0e:61:06:ff:7a:33")));
        EXPECT_EQ(cluster.nodes.at("n2").stated_mac, std::nullopt) << "said of another address";
        EXPECT_THAT(cluster.warnings, IsEmpty());
    }
}

TEST(VtepAnnotationsTest, BadMacOfANode_IsWarnedOfAndTheNodeStays) {
    const auto cluster =
        decide({node_object("a", "10.0.0.1", "10.244.1.0/24", {{"podlane.io/vtep-mac", "01:00:5e:00:00:01"}})}, rules);
    ASSERT_EQ(cluster.warnings.size(), 1U);
    EXPECT_EQ(cluster.warnings[0].to_string(),
              "node a: metadata.annotations[podlane.io/vtep-mac]: \"01:00:5e:00:00:01\" is not a unicast MAC address");
    EXPECT_EQ(cluster.nodes.at("a").pod_cidrs.size(), 1U);
}

}  // namespace
}  // namespace podlane
