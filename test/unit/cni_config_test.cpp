// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/config.h"

#include <gtest/gtest.h>

namespace podlane::cni {
namespace {

using nlohmann::json;

json minimal() {
    return {{"cniVersion", "1.0.0"}, {"name", "podlane"}, {"type", "podlane"}};
}

Outcome<NetworkConfig> parse(const json& config, Command command = Command::add) {
    return parse_config(config.dump(), command);
}

TEST(CniConfigTest, ThreeKeys_AreAllThatIsNeeded) {
    const auto config = parse(minimal());
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->version, version_1_0_0);
    EXPECT_EQ(config->name, "podlane");
    EXPECT_EQ(config->run_dir, "/run/podlane");
    EXPECT_EQ(config->mtu, 0U);
    EXPECT_EQ(config->ipam_type, "host-local");
    EXPECT_FALSE(config->ipam);
    EXPECT_FALSE(config->prev_result);
}

TEST(CniConfigTest, EveryKnownKey_IsTaken) {
    auto config_json = minimal();
    config_json["runDir"] = "/run/other";
    config_json["link"] = "veth";
    config_json["mtu"] = 1400;
    config_json["ipam"] = {{"type", "static"}, {"addresses", json::array()}};
    config_json["dns"] = {{"nameservers", {"10.96.0.10"}}};
    config_json["prevResult"] = {{"cniVersion", "1.0.0"}, {"interfaces", nullptr}};
    config_json["args"] = config_json["capabilities"] = config_json["runtimeConfig"] = json::object();
    config_json["ipMasq"] = true;
    config_json["cni.dev/anything"] = 1;
    const auto config = parse(config_json);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->run_dir, "/run/other");
    EXPECT_EQ(config->mtu, 1400U);
    EXPECT_EQ(config->ipam_type, "static");
    EXPECT_EQ(config->ipam, config_json["ipam"]);
    EXPECT_EQ(config->dns, config_json["dns"]);
    EXPECT_EQ(config->prev_result, config_json["prevResult"]);
    EXPECT_EQ(config->raw, config_json);
}

struct BadValue {
    const char* key;
    json value;
    unsigned code;
};

class BadValueTest : public testing::TestWithParam<BadValue> {};

TEST_P(BadValueTest, Failure_HasTheCodeAndNamesTheKey) {
    const auto& [key, value, code] = GetParam();
    auto config_json = minimal();
    config_json[key] = value;
    const auto config = parse(config_json);
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().code, code);
    EXPECT_NE(config.error().message.find(key), std::string::npos) << config.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    CniConfigTest, BadValueTest,
    testing::Values(BadValue{"cniVersion", "0.2.0", 1}, BadValue{"cniVersion", "1.2.0", 1},
                    BadValue{"cniVersion", "one", 1}, BadValue{"cniVersion", "1.0", 1}, BadValue{"cniVersion", 1, 6},
                    BadValue{"runDirr", "/run/x", 2}, BadValue{"name", nullptr, 7}, BadValue{"name", "../x", 7},
                    BadValue{"name", 5, 7}, BadValue{"runDir", "run", 7}, BadValue{"runDir", false, 7},
                    BadValue{"link", "ipvlan", 7}, BadValue{"link", 1, 7}, BadValue{"mtu", 67, 7},
                    BadValue{"mtu", 65536, 7}, BadValue{"mtu", -1, 7}, BadValue{"mtu", "1400", 7},
                    BadValue{"mtu", 1400.5, 7}, BadValue{"dns", "10.96.0.10", 7}, BadValue{"ipam", "host-local", 7},
                    BadValue{"ipam", json::object(), 7}, BadValue{"ipam", json{{"type", "../../bin/sh"}}, 7},
                    BadValue{"ipam", json{{"type", 3}}, 7}, BadValue{"prevResult", json::array(), 7},
                    BadValue{"prevResult", json{{"ips", {1}}}, 7}));

json macvlan() {
    auto config_json = minimal();
    config_json["link"] = "macvlan";
    return config_json;
}

TEST(CniConfigTest, Macvlan_HasTheDefaultsOfTheReferencePlugin) {
    const auto config = parse(macvlan());
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->link, LinkKind::macvlan);
    EXPECT_EQ(config->macvlan.master, "");
    EXPECT_EQ(config->macvlan.mode, "bridge");
    EXPECT_FALSE(config->macvlan.mac || config->macvlan.runtime_mac || config->macvlan.broadcast_queue);
    EXPECT_EQ(config->ipam_type, "");
    EXPECT_FALSE(config->ipam);
}

TEST(CniConfigTest, Macvlan_TakesTheKeysOfTheReferencePlugin) {
    auto config_json = macvlan();
    config_json.update({{"master", "em2"},
                        {"mode", "vepa"},
                        {"mtu", 1400},
                        {"mac", "02:00:00:00:00:11"},
                        {"bcqueuelen", 2000},
                        {"linkInContainer", false},
                        {"runtimeConfig", {{"mac", "02:00:00:00:00:12"}}},
                        {"ipam", {{"type", "static"}}}});
    const auto config = parse(config_json);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->macvlan.master, "em2");
    EXPECT_EQ(config->macvlan.mode, "vepa");
    EXPECT_EQ(config->macvlan.mac, *MacAddress::parse("02:00:00:00:00:11"));
    EXPECT_EQ(config->macvlan.runtime_mac, *MacAddress::parse("02:00:00:00:00:12"));
    EXPECT_EQ(config->macvlan.broadcast_queue, 2000U);
    EXPECT_EQ(config->ipam_type, "static");
}

TEST(CniConfigTest, EmptyIpamOfAMacvlan_MeansNoAddress) {
    for (const auto& ipam : {json(nullptr), json::object(), json{{"type", ""}}}) {
        auto config_json = macvlan();
        config_json["ipam"] = ipam;
        for (const auto command : {Command::add, Command::del}) {
            const auto config = parse(config_json, command);
            ASSERT_TRUE(config) << config.error().message;
            EXPECT_EQ(config->ipam_type, "");
        }
    }
}

class BadMacvlanValueTest : public testing::TestWithParam<BadValue> {};

TEST_P(BadMacvlanValueTest, Failure_HasTheCodeAndNamesTheKeyAndDoesNotStopDel) {
    const auto& [key, value, code] = GetParam();
    auto config_json = macvlan();
    config_json[key] = value;
    const auto config = parse(config_json);
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().code, code);
    EXPECT_NE(config.error().message.find(key), std::string::npos) << config.error().message;
    EXPECT_TRUE(parse(config_json, Command::del));
}

INSTANTIATE_TEST_SUITE_P(CniConfigTest, BadMacvlanValueTest,
                         testing::Values(BadValue{"master", "a/b", 7}, BadValue{"master", 7, 7},
                                         BadValue{"mode", "source", 7}, BadValue{"mode", 4, 7},
                                         BadValue{"mac", "02:00", 7}, BadValue{"mac", "01:00:5e:00:00:01", 7},
                                         BadValue{"mac", 1, 7}, BadValue{"bcqueuelen", -1, 7},
                                         BadValue{"bcqueuelen", "many", 7}, BadValue{"bcqueuelen", 1LL << 32, 7},
                                         BadValue{"linkInContainer", true, 2}, BadValue{"linkInContainr", false, 2}));

// What a veth has no use for is a mistake there.
TEST(CniConfigTest, KeysOfMacvlan_AreUnknownToVeth) {
    for (const auto& [key, value] :
         {std::pair<const char*, json>("mac", "02:00:00:00:00:11"), {"bcqueuelen", 10}, {"linkInContainer", false}}) {
        auto config_json = minimal();
        config_json[key] = value;
        EXPECT_EQ(parse(config_json).error().code, 2U) << key;
    }
}

TEST(CniConfigTest, UnknownKey_IsReportedWithItsValue) {
    auto config_json = minimal();
    config_json["mtuu"] = 1400;
    EXPECT_EQ(parse(config_json).error().message, "unsupported field \"mtuu\": 1400");
}

// What an older configuration set up must be removable.
TEST(CniConfigTest, UnknownKey_DoesNotStopDel) {
    auto config_json = minimal();
    config_json["mtuu"] = 1400;
    EXPECT_TRUE(parse(config_json, Command::del));
}

TEST(CniConfigTest, ValueThatOnlyMattersForCreation_DoesNotStopDel) {
    auto config_json = minimal();
    config_json["link"] = "macvlan";
    config_json["mtu"] = -1;
    EXPECT_TRUE(parse(config_json, Command::del));
    config_json["runDir"] = "relative";
    EXPECT_EQ(parse(config_json, Command::del).error().code, 7U);
}

TEST(CniConfigTest, WithoutCniVersion_IsIncompatible) {
    auto config_json = minimal();
    config_json.erase("cniVersion");
    EXPECT_EQ(parse(config_json).error().code, 1U);
}

TEST(CniConfigTest, TextThatIsNoObject_IsADecodingFailure) {
    for (const char* const text : {"", "{", "[]", "null", "{\"name\": }"}) {
        EXPECT_EQ(parse_config(text, Command::add).error().code, 6U) << text;
    }
}

TEST(CniConfigTest, Command_NeedsTheVersionThatBroughtIt) {
    const std::tuple<Command, const char*, bool> cases[] = {
        {Command::check, "0.3.1", false}, {Command::check, "0.4.0", true},   {Command::gc, "1.0.0", false},
        {Command::gc, "1.1.0", true},     {Command::status, "1.0.0", false}, {Command::status, "1.1.0", true},
        {Command::add, "0.3.1", true},    {Command::del, "0.3.1", true}};
    for (const auto& [command, version, accepted] : cases) {
        auto config_json = minimal();
        config_json["cniVersion"] = version;
        config_json["cni.dev/valid-attachments"] = json::array();
        const auto config = parse(config_json, command);
        EXPECT_EQ(config.has_value(), accepted) << version;
        EXPECT_EQ(config ? 1U : config.error().code, 1U);
    }
}

json gc_config(const char* key, const json& attachments) {
    auto config_json = minimal();
    config_json["cniVersion"] = "1.1.0";
    config_json[key] = attachments;
    return config_json;
}

TEST(CniConfigTest, ValidAttachments_AreReadUnderBothNames) {
    const json list{{{"containerID", "c1"}, {"ifname", "eth0"}}};
    for (const char* const key : {"cni.dev/valid-attachments", "cni.dev/attachments"}) {
        const auto config = parse(gc_config(key, list), Command::gc);
        ASSERT_TRUE(config) << config.error().message;
        ASSERT_EQ(config->valid_attachments.size(), 1U);
        EXPECT_EQ(config->valid_attachments[0].container_id, "c1");
        EXPECT_EQ(config->valid_attachments[0].if_name, "eth0");
    }
}

TEST(CniConfigTest, NullValidAttachments_AreAnEmptyList) {
    const auto config = parse(gc_config("cni.dev/valid-attachments", nullptr), Command::gc);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_TRUE(config->valid_attachments.empty());
}

// Taken for an empty list it would remove every pod.
TEST(CniConfigTest, GcWithoutOrWithBrokenValidAttachments_IsRefused) {
    EXPECT_EQ(parse(gc_config("unrelated", 1), Command::gc).error().code, 7U);
    EXPECT_EQ(parse(gc_config("cni.dev/valid-attachments", "c1"), Command::gc).error().code, 7U);
    EXPECT_EQ(parse(gc_config("cni.dev/valid-attachments", {{{"containerID", "c1"}}}), Command::gc).error().code, 7U);
}

TEST(CniConfigTest, PeekVersion_FindsSupportedVersionsOnly) {
    EXPECT_EQ(peek_version(R"({"cniVersion": "0.4.0"})"), version_0_4_0);
    EXPECT_EQ(peek_version(R"({"cniVersion": "9.0.0"})"), std::nullopt);
    EXPECT_EQ(peek_version("{}"), std::nullopt);
    EXPECT_EQ(peek_version(""), std::nullopt);
}

TEST(CniVersionTest, CommonVersion_IsTheNewestThatBothSpeakUpToTheWanted) {
    const std::vector<std::string> debian{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"};
    EXPECT_EQ(common_version(version_1_1_0, debian), version_1_0_0);
    EXPECT_EQ(common_version(version_0_3_1, debian), version_0_3_1);
    EXPECT_EQ(common_version(version_0_3_1, std::vector<std::string>{"1.0.0"}), std::nullopt);
    EXPECT_EQ(common_version(version_1_1_0, std::vector<std::string>{"0.2.0", "junk"}), std::nullopt);
}

}  // namespace
}  // namespace podlane::cni
