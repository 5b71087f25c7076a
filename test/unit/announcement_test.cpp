// SPDX-License-Identifier: Apache-2.0
#include "agent/node/announcement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "agent/source/kube/node_condition.h"
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

TEST(NetworkConditionTest, Condition_IsFoundWhereverItStands) {
    const auto condition = read_network_condition(
        R"({"items":[{"status":{"conditions":[{"type":"Ready","status":"True"},)"
        R"({"type":"NetworkUnavailable","status":"True","reason":"NoRouteCreated","lastHeartbeatTime":null}]}}]})");
    ASSERT_TRUE(condition.has_value());
    EXPECT_EQ(condition->status, "True");
    EXPECT_EQ(condition->reason, "NoRouteCreated");
}

TEST(NetworkConditionTest, NodeWithoutOne_IsKnownToHaveNone) {
    for (const auto* node : {R"({})", R"({"status":{}})", R"({"status":{"conditions":[]}})",
                             R"({"status":{"conditions":[7,{"type":7},{"type":"Ready","status":"True"}]}})"}) {
        const auto condition = read_network_condition(fmt::format(R"({{"items":[{}]}})", node));
        ASSERT_TRUE(condition.has_value()) << node;
        EXPECT_EQ(condition->status, "") << node;
    }
}

TEST(NetworkConditionTest, WhatIsNoListOfTheNode_SaysNothing) {
    for (const auto* text : {"", "null", "[]", "{", R"({"items":[]})", R"({"items":{}})", R"({"items":[3]})"}) {
        EXPECT_FALSE(read_network_condition(text).has_value()) << text;
    }
}

TEST(KubeRequestTest, QueryParts_AreEncoded) {
    EXPECT_EQ(percent_encoded("n-1.a_b~"), "n-1.a_b~");
    EXPECT_EQ(percent_encoded("a b/&\xff"), "a%20b%2F%26%FF");
}

}  // namespace
}  // namespace podlane
