// SPDX-License-Identifier: Apache-2.0
// What an agent tells peers of its node: annotations of its Node object.
//
//   API server --- n1 (192.168.56.11, podCIDR 10.244.0.0/24) --- wire
#include <algorithm>

#include "test/net/api_node.h"
#include "test/net/harness/scrape.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

using nlohmann::json;

class AnnotationsTest : public testing::Test {
protected:
    // The one node of the cluster.
    static json node_with(const json& annotations) {
        return {{"kind", "Node"},
                {"apiVersion", "v1"},
                {"metadata", {{"name", "n1"}, {"annotations", annotations}, {"resourceVersion", "7"}}},
                {"spec", {{"podCIDR", "10.244.0.0/24"}, {"podCIDRs", json::array({"10.244.0.0/24"})}}},
                {"status",
                 {{"addresses", json::array({{{"type", "InternalIP"}, {"address", "192.168.56.11"}}})},
                  {"conditions",
                   json::array({{{"type", "NetworkUnavailable"}, {"status", "False"}, {"reason", "PodlaneIsUp"}}})}}}};
    }
    static Answer list_of(const json& annotations) {
        return ApiScript::json(json{{"kind", "NodeList"},
                                    {"apiVersion", "v1"},
                                    {"metadata", {{"resourceVersion", "7"}}},
                                    {"items", json::array({node_with(annotations)})}}
                                   .dump());
    }
    // The agent, and what it finds.
    static void start(ApiNode& node, const json& annotations) {
        node.script().add("list nodes", list_of(annotations));
        node.script().add("list condition", list_of(annotations));
        node.serve();
        node.node().start_agent();
        node.node().wait_ready();
    }
    static std::string first_patch(ApiNode& node) {
        EXPECT_TRUE(wait_until([&] { return !node.patches().empty(); }, 15s));
        const auto patches = node.patches();
        return patches.empty() ? "{}" : patches[0];
    }
    static json annotations_of(const std::string& patch) { return json::parse(patch).at("metadata").at("annotations"); }
    [[nodiscard]] static DeviceRef overlay_of(ApiNode& node) { return {node.node().ns(), overlay_device}; }

    Underlay underlay_{1500, Ipv4Address::parse("192.168.56.254").value()};
};

TEST_F(AnnotationsTest, NodeWithoutFlannel_StatesItsVtep) {
    ApiNode n1(underlay_, "n1", "192.168.56.11", "10.244.0.0/24");
    start(n1, json::object());
    EXPECT_THAT(first_patch(n1), testing::StrEq(R"({"metadata":{"annotations":{"podlane.io/vtep-ip":"192.168.56.11",)"
                                                R"("podlane.io/vtep-mac":"02:50:c0:a8:38:0b"}}})"));
    EXPECT_EQ(mac_of(overlay_of(n1)), MacAddress({0x02, 0x50, 0xc0, 0xa8, 0x38, 0x0b}));
}

TEST_F(AnnotationsTest, NodeThatWasFlannelsHostGw_IsPublishedAsOneOfVxlan) {
    ApiNode n1(underlay_, "n1", "192.168.56.11", "10.244.0.0/24", FlannelNeighbours::yes);
    start(n1, {{"flannel.alpha.coreos.com/kube-subnet-manager", "true"},
               {"flannel.alpha.coreos.com/backend-type", "host-gw"},
               {"flannel.alpha.coreos.com/backend-data", "null"},
               {"flannel.alpha.coreos.com/public-ip", "192.168.56.11"},
               {"flannel.alpha.coreos.com/public-ip-overwrite", "203.0.113.7"}});
    EXPECT_THAT(
        first_patch(n1),
        testing::StrEq(R"({"metadata":{"annotations":{)"
                       R"("flannel.alpha.coreos.com/backend-data":"{\"VNI\":1,\"VtepMAC\":\"02:50:c0:a8:38:0b\"}",)"
                       R"("flannel.alpha.coreos.com/backend-type":"vxlan",)"
                       R"("flannel.alpha.coreos.com/public-ip":"203.0.113.7",)"
                       R"("podlane.io/vtep-ip":"192.168.56.11","podlane.io/vtep-mac":"02:50:c0:a8:38:0b"}}})"));
    EXPECT_THAT(
        n1.node().agent().output(),
        testing::HasSubstr(R"(annotation flannel.alpha.coreos.com/backend-type: "vxlan" instead of "host-gw")"));
}

TEST_F(AnnotationsTest, MacThatFlannelLeft_IsTakenOverAndStated) {
    ApiNode n1(underlay_, "n1", "192.168.56.11", "10.244.0.0/24", FlannelNeighbours::yes);
    start(n1, {{"flannel.alpha.coreos.com/kube-subnet-manager", "true"},
               {"flannel.alpha.coreos.com/backend-type", "vxlan"},
               {"flannel.alpha.coreos.com/backend-data", R"({"VtepMAC":"0e:61:06:ff:7a:73"})"},
               {"flannel.alpha.coreos.com/public-ip", "192.168.56.11"}});
    EXPECT_EQ(mac_of(overlay_of(n1)), MacAddress::parse("0e:61:06:ff:7a:73").value());
    EXPECT_EQ(annotations_of(first_patch(n1)),
              (json{{"flannel.alpha.coreos.com/backend-data", R"({"VNI":1,"VtepMAC":"0e:61:06:ff:7a:73"})"},
                    {"podlane.io/vtep-ip", "192.168.56.11"},
                    {"podlane.io/vtep-mac", "0e:61:06:ff:7a:73"}}));
}

// The MAC is the one that the device has: podlane's own annotation states it.
TEST_F(AnnotationsTest, AnnotationsThatSomebodyRemoves_AreWrittenAgainAndTheMacStays) {
    const json stated = {{"podlane.io/vtep-ip", "192.168.56.11"}, {"podlane.io/vtep-mac", "0e:61:06:ff:7a:73"}};
    const json of_flannel = {{"flannel.alpha.coreos.com/kube-subnet-manager", "true"},
                             {"flannel.alpha.coreos.com/backend-type", "vxlan"},
                             {"flannel.alpha.coreos.com/backend-data", R"({"VNI":1,"VtepMAC":"0e:61:06:ff:7a:73"})"},
                             {"flannel.alpha.coreos.com/public-ip", "192.168.56.11"}};
    auto all = stated;
    all.update(of_flannel);
    ApiNode n1(underlay_, "n1", "192.168.56.11", "10.244.0.0/24", FlannelNeighbours::yes);
    start(n1, all);
    const auto looked = [&] {
        return std::ranges::any_of(n1.requests(), [](const auto& one) { return one.contains("metadata.name%3D"); });
    };
    ASSERT_TRUE(wait_until(looked, 10s));
    EXPECT_EQ(n1.patches().size(), 0U) << "nothing is missing";

    n1.stop_serving();
    auto node = node_with(stated);
    node["metadata"]["resourceVersion"] = "8";
    n1.script().add("watch nodes", ApiScript::json(json{{"type", "MODIFIED"}, {"object", node}}.dump() + '\n'));
    n1.script().add("list condition", list_of(stated));
    n1.serve();
    EXPECT_EQ(annotations_of(first_patch(n1)), of_flannel);
    EXPECT_EQ(mac_of(overlay_of(n1)), MacAddress::parse("0e:61:06:ff:7a:73").value());
}

// What `agentctl status` has of a subsystem, by name.
json subsystem(Node& node, const std::string& name) {
    const auto status = json::parse(node.agentctl({"status", "-o", "json"}).out, nullptr, false);
    for (const auto& one : status.value("subsystems", json::array())) {
        if (one.at("name") == name) {
            return one;
        }
    }
    return {};
}

TEST_F(AnnotationsTest, RefusedPatch_DegradesTheNodeWhichStaysReadyUntilItIsWritten) {
    ApiNode n1(underlay_, "n1", "192.168.56.11", "10.244.0.0/24");
    for (int i = 0; i < 2; ++i) {
        n1.script().add("patch condition",
                        ApiScript::json(R"({"kind":"Status","code":403,"message":"nodes \"n1\" is forbidden"})", 403));
        n1.script().add("list condition", list_of(json::object()));
    }
    start(n1, json::object());
    const auto is = [&](const char* state) { return subsystem(n1.node(), "publication").value("state", "") == state; };
    EXPECT_TRUE(is("ok"));
    ASSERT_TRUE(wait_until([&] { return is("degraded"); }, 15s));
    const auto refused = subsystem(n1.node(), "publication");
    EXPECT_EQ(n1.patches().size(), 2U);
    EXPECT_THAT(refused.at("reason").get<std::string>(),
                testing::AllOf(testing::HasSubstr("the Node cannot be written: https://127.0.0.1:"),
                               testing::EndsWith("/api/v1/nodes/n1/status: 403: nodes \"n1\" is forbidden")));
    EXPECT_EQ(refused.at("action"),
              R"(its ClusterRole must have {apiGroups: [""], resources: [nodes/status], verbs: [patch]})");
    const auto readiness = get(n1.node().ns(), "http://127.0.0.1:9479/readyz?verbose");
    EXPECT_EQ(readiness.status, 200) << readiness.body;
    EXPECT_THAT(readiness.body, testing::HasSubstr("[!]publication degraded: the Node cannot be written: "));
    ASSERT_TRUE(wait_until([&] { return is("ok"); }, 15s));
    EXPECT_EQ(n1.patches().size(), 3U);
    EXPECT_EQ(n1.node().agentctl({"status"}).status, 0);
}

//   pod a --- node 1 (192.168.0.1) === VXLAN === node 2 (192.168.0.2, which took over a MAC of flannel's) --- pod b
class StatedVtepTest : public TwoNodes {};

TEST_F(StatedVtepTest, StatedMac_IsTheDevicesAndWhatPeersSendTo) {
    const auto stated = MacAddress::parse("0e:61:06:ff:7a:73").value();
    cluster_->state()[1].annotations = {{"podlane.io/vtep-mac", stated.to_string()},
                                        {"podlane.io/vtep-ip", Cluster::node_address(2).to_string()}};
    cluster_->publish();
    const auto known_to_node_1 = [&] {
        return node(1).agentctl({"map", "dump", "nodes_by_pod_cidr"}).out.contains(stated.to_string());
    };
    EXPECT_TRUE(wait_until(known_to_node_1, 3s));
    EXPECT_TRUE(wait_until([&] { return mac_of({node(2).ns(), overlay_device}) == stated; }, 3s));
    expect_ping(pod_a().ns(), pod_b().address());
    expect_ping(node(1).ns(), pod_b().address());
    expect_ping(pod_b().ns(), pod_a().address());

    // Said of an address that the node does not have (any more): derived again, on both sides.
    cluster_->state()[1].annotations.at("podlane.io/vtep-ip") = "192.168.0.77";
    cluster_->publish();
    EXPECT_TRUE(wait_until([&] { return !known_to_node_1(); }, 3s));
    EXPECT_TRUE(wait_until([&] { return mac_of({node(2).ns(), overlay_device}) != stated; }, 3s));
    expect_ping(pod_a().ns(), pod_b().address());
}

}  // namespace
}  // namespace podlane::net
