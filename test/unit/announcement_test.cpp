// SPDX-License-Identifier: Apache-2.0
#include "agent/node/announcement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/source/kube/node_view.h"
#include "agent/source/kube/request.h"

namespace podlane {
namespace {

using testing::HasSubstr;

TEST(CniFileTest, DefaultText_IsAConfigurationOfPodlaneAndPortmap) {
    const auto text = default_cni_configuration("/run/podlane");
    EXPECT_TRUE(check_cni_configuration(text).has_value());
    EXPECT_EQ(nlohmann::json::parse(text),
              nlohmann::json::parse(R"({"cniVersion": "1.0.0", "name": "podlane", "plugins": [{"type": "podlane"},
                  {"type": "portmap", "capabilities": {"portMappings": true}}]})"));
    EXPECT_THAT(default_cni_configuration("/run/other"), HasSubstr(R"("runDir": "/run/other")"));
}

TEST(CniFileTest, WhatARuntimeWouldNotTake_IsRefused) {
    EXPECT_TRUE(check_cni_configuration(R"({"name": "x", "type": "podlane"})").has_value());
    for (const auto* text : {"", "[]", "{", R"({"type": "podlane"})", R"({"name": "x"})",
                             R"({"name": "x", "plugins": []})", R"({"name": "x", "plugins": {}})"}) {
        EXPECT_FALSE(check_cni_configuration(text).has_value()) << text;
    }
}

TEST(CniFileTest, Keys_AreReadAndOffByDefault) {
    const HostFacts host{.environment = {}, .host_name = "n1", .default_config = "", .current_directory = "/"};
    EXPECT_EQ(parse_config("", "x", host)->cni.config_file, "");
    const auto config = parse_config("cni: {configFile: /etc/cni/net.d/a.conflist, template: /etc/b}", "x", host);
    ASSERT_TRUE(config.has_value()) << config.error().message;
    EXPECT_EQ(config->cni.config_file, "/etc/cni/net.d/a.conflist");
    EXPECT_EQ(config->cni.template_file, "/etc/b");
    EXPECT_FALSE(parse_config("cni: {configFile: a.conflist}", "x", host).has_value()) << "not absolute";
    EXPECT_FALSE(parse_config("cni: {confDir: /etc}", "x", host).has_value());
}

TEST(NodeViewTest, Condition_IsFoundWhereverItStands) {
    const auto condition = read_node_view(
        R"({"items":[{"status":{"conditions":[{"type":"Ready","status":"True"},)"
        R"({"type":"NetworkUnavailable","status":"True","reason":"NoRouteCreated","lastHeartbeatTime":null}]}}]})");
    ASSERT_TRUE(condition.has_value());
    EXPECT_EQ(condition->status, "True");
    EXPECT_EQ(condition->reason, "NoRouteCreated");
}

TEST(NodeViewTest, NodeWithoutOne_IsKnownToHaveNone) {
    for (const auto* node : {R"({})", R"({"status":{}})", R"({"status":{"conditions":[]}})",
                             R"({"status":{"conditions":[7,{"type":7},{"type":"Ready","status":"True"}]}})"}) {
        const auto condition = read_node_view(fmt::format(R"({{"items":[{}]}})", node));
        ASSERT_TRUE(condition.has_value()) << node;
        EXPECT_EQ(condition->status, "") << node;
    }
}

TEST(NodeViewTest, WhatIsNoListOfTheNode_SaysNothing) {
    for (const auto* text : {"", "null", "[]", "{", R"({"items":[]})", R"({"items":{}})", R"({"items":[3]})"}) {
        EXPECT_FALSE(read_node_view(text).has_value()) << text;
    }
}

TEST(NodeViewTest, Annotations_AreThoseThatAreText) {
    const auto node = read_node_view(R"({"items":[{"metadata":{"annotations":{"a":"1","b":7,"c":""}}}]})");
    ASSERT_TRUE(node.has_value());
    EXPECT_EQ(node->annotations, (Annotations{{"a", "1"}, {"c", ""}}));
    for (const auto* text : {R"({"items":[{}]})", R"({"items":[{"metadata":{}}]})",
                             R"({"items":[{"metadata":{"annotations":null}}]})", R"({"items":[{"metadata":[]}]})"}) {
        const auto other = read_node_view(text);
        ASSERT_TRUE(other.has_value()) << text;
        EXPECT_TRUE(other->annotations.empty()) << text;
    }
}

TEST(NodeViewTest, DifferingAnnotations_AreTheMissingAndTheOthers) {
    EXPECT_EQ(differing_annotations({{"a", "1"}, {"b", "2"}, {"c", "3"}}, {{"a", "1"}, {"b", "x"}, {"d", "4"}}),
              (Annotations{{"b", "x"}, {"c", ""}}));
}

TEST(NodeViewTest, Taints_AreRemovedByTheirPlacesIfTheyAreStillThere) {
    const auto node = read_node_view(
        R"({"items":[{"spec":{"taints":[{"key":"a","effect":"NoSchedule"},{"key":"b"},7,{"key":"a"}]}}]})");
    ASSERT_TRUE(node.has_value());
    EXPECT_EQ(node->taints, (std::vector<std::string>{"a", "b", "", "a"}));
    EXPECT_EQ(nlohmann::json::parse(untaint_patch(node->taints, "a")), nlohmann::json::parse(R"([
        {"op": "test", "path": "/spec/taints/3/key", "value": "a"}, {"op": "remove", "path": "/spec/taints/3"},
        {"op": "test", "path": "/spec/taints/0/key", "value": "a"}, {"op": "remove", "path": "/spec/taints/0"}])"));
    EXPECT_EQ(untaint_patch(node->taints, "c"), "");
    EXPECT_EQ(untaint_patch(node->taints, ""), "") << "none is to go";
    EXPECT_TRUE(read_node_view(R"({"items":[{"spec":{"taints":null}}]})")->taints.empty());
}

TEST(StartupTaintTest, Key_IsReadAndOffByDefault) {
    const HostFacts host{.environment = {}, .host_name = "n1", .default_config = "", .current_directory = "/"};
    EXPECT_EQ(parse_config("", "x", host)->kubernetes.startup_taint, "");
    EXPECT_EQ(
        parse_config("kubernetes: {startupTaint: podlane.io/agent-not-ready}", "x", host)->kubernetes.startup_taint,
        "podlane.io/agent-not-ready");
    for (const auto* wrong : {"'a=b'", "'a:NoSchedule'", "'a b'", "[a]"}) {
        EXPECT_FALSE(parse_config(fmt::format("kubernetes: {{startupTaint: {}}}", wrong), "x", host).has_value())
            << wrong;
    }
    EXPECT_FALSE(parse_config("kubernetes: {taint: a}", "x", host).has_value());
}

TEST(KubeRequestTest, QueryParts_AreEncoded) {
    EXPECT_EQ(percent_encoded("n-1.a_b~"), "n-1.a_b~");
    EXPECT_EQ(percent_encoded("a b/&\xff"), "a%20b%2F%26%FF");
}

}  // namespace
}  // namespace podlane
