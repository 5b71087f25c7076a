// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/endpoint.h"

#include <functional>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace podlane {
namespace {

Endpoint sample() {
    Endpoint endpoint;
    endpoint.container_id = "4f2a";
    endpoint.if_name = "eth0";
    endpoint.netns = "/run/netns/a";
    endpoint.name_space = "default";
    endpoint.name = "web-0";
    endpoint.uid = "3c1d";
    endpoint.network = "podlane";
    endpoint.ip = *Ipv4Address::parse("10.244.1.5");
    endpoint.gateway = *Ipv4Address::parse("10.244.1.1");
    endpoint.mac = *MacAddress::parse("02:00:00:00:00:05");
    endpoint.host_interface = "pl0123456789abc";
    endpoint.host_mac = *MacAddress::parse("02:00:00:00:00:01");
    endpoint.mtu = 1450;
    endpoint.mtu_fixed = true;
    return endpoint;
}

TEST(EndpointTest, Json_HasTheKeysOfTheRecord) {
    const auto expected = nlohmann::json::parse(R"({
        "containerID": "4f2a", "ifName": "eth0", "netns": "/run/netns/a", "namespace": "default", "name": "web-0",
        "uid": "3c1d", "network": "podlane", "link": "veth", "ip": "10.244.1.5", "gateway": "10.244.1.1",
        "mac": "02:00:00:00:00:05", "hostInterface": "pl0123456789abc", "hostMac": "02:00:00:00:00:01", "mtu": 1450,
        "mtuFixed": true})");
    EXPECT_EQ(sample().to_json(), expected);
    EXPECT_EQ(sample().id(), "4f2a-eth0");
}

TEST(EndpointTest, Json_ComesBackAsItWas) {
    const auto back = Endpoint::parse(sample().to_json().dump());
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, sample());
}

TEST(EndpointTest, FieldsOfThePod_MayBeAbsentAndUnknownOnesMayBeThere) {
    auto json = sample().to_json();
    for (const char* const key : {"netns", "namespace", "name", "uid", "network", "mtuFixed"}) {
        json.erase(key);
    }
    json["fromTheFuture"] = true;
    const auto back = Endpoint::from_json(json);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->name, "");
    EXPECT_FALSE(back->mtu_fixed);
    EXPECT_EQ(back->ip, sample().ip);
}

struct BadField {
    const char* key;
    nlohmann::json value;  // null: the key is absent
};

class BadFieldTest : public testing::TestWithParam<BadField> {};

TEST_P(BadFieldTest, Error_NamesTheField) {
    auto json = sample().to_json();
    json[GetParam().key] = GetParam().value;
    if (GetParam().value.is_null()) {
        json.erase(GetParam().key);
    }
    const auto back = Endpoint::from_json(json);
    ASSERT_FALSE(back);
    EXPECT_NE(back.error().message.find(GetParam().key), std::string::npos) << back.error().message;
}

INSTANTIATE_TEST_SUITE_P(EndpointTest, BadFieldTest,
                         testing::Values(BadField{"containerID", "../../etc"}, BadField{"containerID", nullptr},
                                         BadField{"containerID", std::string(129, 'a')}, BadField{"ifName", "a/b"},
                                         BadField{"ifName", ".."}, BadField{"ifName", "sixteen-is-too-m"},
                                         BadField{"hostInterface", ""}, BadField{"link", "ipvlan"},
                                         BadField{"ip", "10.244.1"}, BadField{"ip", "127.0.0.1"}, BadField{"ip", 5},
                                         BadField{"gateway", nullptr}, BadField{"gateway", "10.244.1.5"},
                                         BadField{"mac", "ff:ff:ff:ff:ff:ff"}, BadField{"mac", "02:00"},
                                         BadField{"hostMac", "00:00:00:00:00:00"}, BadField{"mtu", "1450"},
                                         BadField{"mtu", 67}, BadField{"mtu", 65536}, BadField{"mtu", -1},
                                         BadField{"mtu", nullptr}, BadField{"mtuFixed", 1}, BadField{"name", 7}));

Endpoint macvlan_sample() {
    Endpoint endpoint = sample();
    endpoint.link = "macvlan";
    endpoint.master = "em2";
    endpoint.mode = "bridge";
    endpoint.gateway = {};
    endpoint.host_interface.clear();
    endpoint.host_mac = {};
    return endpoint;
}

TEST(EndpointTest, Macvlan_HasAMasterAndNoSideOnTheHost) {
    const auto json = macvlan_sample().to_json();
    EXPECT_EQ(json.at("master"), "em2");
    EXPECT_EQ(json.at("mode"), "bridge");
    EXPECT_FALSE(json.contains("hostInterface"));
    const auto back = Endpoint::from_json(json);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, macvlan_sample());
}

class BadMacvlanFieldTest : public testing::TestWithParam<BadField> {};

TEST_P(BadMacvlanFieldTest, Error_NamesTheField) {
    auto json = macvlan_sample().to_json();
    json[GetParam().key] = GetParam().value;
    const auto back = Endpoint::from_json(json);
    ASSERT_FALSE(back);
    EXPECT_NE(back.error().message.find(GetParam().key), std::string::npos) << back.error().message;
}

INSTANTIATE_TEST_SUITE_P(EndpointTest, BadMacvlanFieldTest,
                         testing::Values(BadField{"master", ""}, BadField{"master", "a/b"}, BadField{"mode", "bond"},
                                         BadField{"gateway", "10.244.1.5"}, BadField{"gateway", "127.0.0.1"}));

TEST(EndpointTest, TextThatIsNoRecord_IsAnError) {
    EXPECT_FALSE(Endpoint::parse(""));
    EXPECT_FALSE(Endpoint::parse("[]"));
    EXPECT_FALSE(Endpoint::parse(R"({"containerID": "a")"));
}

TEST(EndpointTest, Alias_TellsWhatARebuildNeeds) {
    EXPECT_EQ(encode_alias(sample()), "podlane1 4f2a eth0 10.244.1.5 02:00:00:00:00:05 10.244.1.1 default/web-0");
    const auto back = decode_alias(encode_alias(sample()));
    ASSERT_TRUE(back) << back.error().message;
    Endpoint expected = sample();
    expected.netns = expected.uid = expected.network = expected.host_interface = "";
    expected.host_mac = MacAddress();
    expected.mtu = 0;
    expected.mtu_fixed = false;
    EXPECT_EQ(*back, expected);
}

TEST(EndpointTest, AliasOfAPodWithoutName_ComesBackEmpty) {
    Endpoint endpoint = sample();
    endpoint.name_space = endpoint.name = "";
    const auto back = decode_alias(encode_alias(endpoint));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->name_space, "");
    EXPECT_EQ(back->name, "");
}

TEST(EndpointTest, AliasLongerThanTheKernelTakes_LosesTheEndOfTheName) {
    Endpoint endpoint = sample();
    endpoint.container_id = std::string(max_container_id, 'c');
    endpoint.if_name = "fifteen-letters";
    endpoint.name_space = std::string(63, 'n');
    endpoint.name = std::string(253, 'p');
    const auto alias = encode_alias(endpoint);
    EXPECT_EQ(alias.size(), max_alias);
    const auto back = decode_alias(alias);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->container_id, endpoint.container_id);
    EXPECT_EQ(back->gateway, endpoint.gateway);
    EXPECT_TRUE(endpoint.name_space.starts_with(back->name_space));
}

TEST(EndpointTest, AliasOfSomethingElse_IsRefused) {
    for (const char* const alias :
         {"", "podlane1", "uplink to rack 4", "podlane2 4f2a eth0 10.244.1.5 02:00:00:00:00:05 10.244.1.1 a/b",
          "podlane1 4f2a eth0 10.244.1.5 02:00:00:00:00:05 10.244.1.1",
          "podlane1 4f2a eth0 x 02:00:00:00:00:05 10.244.1.1 a/b",
          "podlane1 ../x eth0 10.244.1.5 02:00:00:00:00:05 10.244.1.1 a/b"}) {
        EXPECT_FALSE(decode_alias(alias)) << alias;
    }
}

// Running pods depend on these: a plugin that is upgraded must find what the old one made.
TEST(EndpointTest, DerivedNames_NeverChange) {
    EXPECT_EQ(host_interface_name("c1", "eth0"), "pl0hb6sdgh90i09");
    EXPECT_EQ(derived_pod_mac("c1", "eth0").to_string(), "26:2e:51:09:21:76");
    EXPECT_EQ(derived_host_mac("c1", "eth0").to_string(), "e2:fa:f4:53:d5:98");
    const std::string_view id = "07e5c3a18f6d4b2907e5c3a18f6d4b2907e5c3a18f6d4b2907e5c3a18f6d4b29";
    EXPECT_EQ(host_interface_name(id, "net1"), "pl2nrtgc2hf8d7a");
    EXPECT_EQ(derived_pod_mac(id, "net1").to_string(), "7a:69:6b:4d:5b:ef");
    EXPECT_EQ(derived_host_mac(id, "net1").to_string(), "5e:fc:41:ec:f0:15");
}

TEST(EndpointTest, DerivedNames_DifferForEveryAttachmentAndAreUsable) {
    std::set<std::string> names;
    std::set<MacAddress> macs;
    constexpr int attachments = 2000;
    for (int i = 0; i < attachments; ++i) {
        const auto id = fmt::format("{:064x}", i);
        const auto name = host_interface_name(id, "eth0");
        EXPECT_TRUE(is_valid_interface_name(name)) << name;
        names.insert(name);
        for (const auto mac : {derived_pod_mac(id, "eth0"), derived_host_mac(id, "eth0")}) {
            EXPECT_EQ(mac.bytes()[0] & 3U, 2U) << mac.to_string() << " is not unicast and locally administered";
            macs.insert(mac);
        }
    }
    EXPECT_EQ(names.size(), attachments);
    EXPECT_EQ(macs.size(), 2 * attachments);
    EXPECT_NE(host_interface_name("ab", "c"), host_interface_name("a", "bc"));
}

}  // namespace
}  // namespace podlane
