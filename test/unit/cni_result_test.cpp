// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/result.h"

#include <gtest/gtest.h>

namespace podlane::cni {
namespace {

using nlohmann::json;

const AttachmentKey key{"c1", "eth0", "/run/netns/a"};

Attachment sample() {
    Attachment attachment;
    auto& endpoint = attachment.endpoint;
    endpoint.container_id = "c1";
    endpoint.if_name = "eth0";
    endpoint.netns = "/run/netns/a";
    endpoint.host_interface = host_interface_name("c1", "eth0");
    endpoint.host_mac = *MacAddress::parse("02:00:00:00:00:01");
    endpoint.mac = *MacAddress::parse("02:00:00:00:00:05");
    endpoint.ip = *Ipv4Address::parse("10.244.1.5");
    endpoint.gateway = *Ipv4Address::parse("10.244.1.1");
    endpoint.mtu = 1450;
    Route route;
    route.gateway = endpoint.gateway;
    route.priority = 7;
    attachment.routes.push_back(route);
    attachment.dns = {{"nameservers", {"10.96.0.10"}}};
    return attachment;
}

constexpr const char* result_0_4_0 = R"({
    "cniVersion": "0.4.0",
    "interfaces": [{"name": "pl0hb6sdgh90i09", "mac": "02:00:00:00:00:01"},
                   {"name": "eth0", "mac": "02:00:00:00:00:05", "sandbox": "/run/netns/a"}],
    "ips": [{"version": "4", "address": "10.244.1.5/32", "gateway": "10.244.1.1", "interface": 1}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}],
    "dns": {"nameservers": ["10.96.0.10"]}})";
constexpr const char* result_1_0_0 = R"({
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "pl0hb6sdgh90i09", "mac": "02:00:00:00:00:01"},
                   {"name": "eth0", "mac": "02:00:00:00:00:05", "sandbox": "/run/netns/a"}],
    "ips": [{"address": "10.244.1.5/32", "gateway": "10.244.1.1", "interface": 1}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}],
    "dns": {"nameservers": ["10.96.0.10"]}})";
constexpr const char* result_1_1_0 = R"({
    "cniVersion": "1.1.0",
    "interfaces": [{"name": "pl0hb6sdgh90i09", "mac": "02:00:00:00:00:01", "mtu": 1450},
                   {"name": "eth0", "mac": "02:00:00:00:00:05", "mtu": 1450, "sandbox": "/run/netns/a"}],
    "ips": [{"address": "10.244.1.5/32", "gateway": "10.244.1.1", "interface": 1}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1", "priority": 7}],
    "dns": {"nameservers": ["10.96.0.10"]}})";

TEST(CniResultTest, Result_IsWrittenAsEachVersionHasIt) {
    auto result_0_3_1 = json::parse(result_0_4_0);
    result_0_3_1["cniVersion"] = "0.3.1";
    EXPECT_EQ(make_result(sample(), nullptr, version_0_3_1), result_0_3_1);
    EXPECT_EQ(make_result(sample(), nullptr, version_0_4_0), json::parse(result_0_4_0));
    EXPECT_EQ(make_result(sample(), nullptr, version_1_0_0), json::parse(result_1_0_0));
    EXPECT_EQ(make_result(sample(), nullptr, version_1_1_0), json::parse(result_1_1_0));
}

TEST(CniResultTest, ResultWithoutDns_HasNoSuchKey) {
    auto attachment = sample();
    attachment.dns = nullptr;
    EXPECT_FALSE(make_result(attachment, nullptr, version_1_0_0).contains("dns"));
}

TEST(CniResultTest, PrevResult_IsKeptAndOursAppended) {
    const auto prev = json::parse(R"({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth1", "mac": "02:00:00:00:00:09", "sandbox": "/run/netns/a", "theirs": true}],
        "ips": [{"address": "192.168.7.2/24", "interface": 0}],
        "routes": [{"dst": "192.168.8.0/24", "gw": "192.168.7.1"}],
        "dns": {"domain": "lan"}, "extra": "kept"})");
    auto attachment = sample();
    attachment.dns = nullptr;
    EXPECT_EQ(make_result(attachment, &prev, version_1_0_0), json::parse(R"({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth1", "mac": "02:00:00:00:00:09", "sandbox": "/run/netns/a", "theirs": true},
                       {"name": "pl0hb6sdgh90i09", "mac": "02:00:00:00:00:01"},
                       {"name": "eth0", "mac": "02:00:00:00:00:05", "sandbox": "/run/netns/a"}],
        "ips": [{"address": "192.168.7.2/24", "interface": 0},
                {"address": "10.244.1.5/32", "gateway": "10.244.1.1", "interface": 2}],
        "routes": [{"dst": "192.168.8.0/24", "gw": "192.168.7.1"}, {"dst": "0.0.0.0/0", "gw": "10.244.1.1"}],
        "dns": {"domain": "lan"}, "extra": "kept"})"));
}

TEST(CniResultTest, Conversion_WritesTheFamilyOfEachAddressBeforeVersion1) {
    const auto converted =
        convert_result({{"ips", {{{"address", "10.1.0.5/16"}}, {{"address", "fd00::5/64"}}}}}, version_0_3_1);
    EXPECT_EQ(converted["ips"][0]["version"], "4");
    EXPECT_EQ(converted["ips"][1]["version"], "6");
    const auto back = convert_result(converted, version_1_0_0);
    EXPECT_FALSE(back["ips"][0].contains("version"));
}

TEST(CniResultTest, ResultOfHostLocal_IsUnderstood) {
    const auto result = parse_ipam_result(json::parse(R"({
        "cniVersion": "1.0.0",
        "ips": [{"address": "10.244.1.5/24", "gateway": "10.244.1.1"}],
        "routes": [{"dst": "10.96.0.7/12", "gw": "10.244.1.9", "mtu": 1400, "table": 100}, {"dst": "0.0.0.0/0"}],
        "dns": {}})"));
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->ip.to_string(), "10.244.1.5");
    EXPECT_EQ(result->gateway->to_string(), "10.244.1.1");
    ASSERT_EQ(result->routes.size(), 2U);
    EXPECT_EQ(result->routes[0].destination.to_string(), "10.96.0.0/12");  // host bits cleared
    EXPECT_EQ(result->routes[0].gateway->to_string(), "10.244.1.9");
    EXPECT_EQ(result->routes[0].mtu, 1400U);
    EXPECT_EQ(result->routes[0].table, 100U);
    EXPECT_EQ(result->routes[1].destination, Ipv4Prefix());
    EXPECT_EQ(result->routes[1].gateway, std::nullopt);
    EXPECT_TRUE(result->dns.is_null());
}

TEST(CniResultTest, IpamResultThatCannotBeSetUp_SaysWhat) {
    const std::pair<const char*, const char*> cases[] = {
        {R"({"ips": []})", "assigned 0 IPv4 addresses"},
        {R"({})", "assigned 0 IPv4 addresses"},
        {R"({"ips": [{"address": "10.1.0.5/16"}, {"address": "10.2.0.5/16"}]})", "assigned 2 IPv4 addresses"},
        {R"({"ips": [{"address": "fd00::5/64"}]})", "fd00::5/64: IPv6"},
        {R"({"ips": [{"address": "10.1.0.5/16"}, {"address": "fd00::5/64"}]})", "fd00::5/64: IPv6"},
        {R"({"ips": [{"address": "10.1.0.5"}]})", "10.1.0.5"},
        {R"({"ips": [{"address": "10.1.0.5/33"}]})", "10.1.0.5/33"},
        {R"({"ips": [{"address": "10.1.0.5/16", "gateway": "x"}]})", "gateway"},
        {R"({"ips": [{"address": "10.1.0.5/16"}], "routes": [{"dst": "::/0"}]})", "::/0: IPv6"},
        {R"({"ips": [{"address": "10.1.0.5/16"}], "routes": [{"dst": "x"}]})", "route \"x\""},
        {R"({"ips": [{"address": "10.1.0.5/16"}], "routes": [{"dst": "0.0.0.0/0", "mtu": -1}]})", "route mtu"}};
    for (const auto& [text, message] : cases) {
        const auto result = parse_ipam_result(json::parse(text));
        ASSERT_FALSE(result) << text;
        EXPECT_EQ(result.error().code, 7U);
        EXPECT_NE(result.error().message.find(message), std::string::npos) << result.error().message;
    }
    EXPECT_EQ(parse_ipam_result(json()).error().code, 6U);
}

TEST(CniResultTest, Attachment_IsReadBackFromTheResultOfEachVersion) {
    for (const auto version : supported_versions) {
        const auto result = make_result(sample(), nullptr, version);
        const auto back = attachment_from_result(result, key, LinkKind::veth);
        ASSERT_TRUE(back) << back.error().message;
        auto expected = sample();
        expected.endpoint.mtu = version == version_1_1_0 ? 1450 : 0;
        EXPECT_EQ(back->endpoint, expected.endpoint) << version.text();
        ASSERT_EQ(back->routes.size(), 1U);
        EXPECT_EQ(back->routes[0].gateway, expected.endpoint.gateway);
    }
}

TEST(CniResultTest, RoutesOfOtherPlugins_AreNotExpectedOfUs) {
    auto result = make_result(sample(), nullptr, version_1_0_0);
    result["routes"].push_back({{"dst", "::/0"}, {"gw", "fd00::1"}});
    result["routes"].push_back({{"dst", "192.168.8.0/24"}, {"gw", "192.168.7.1"}});
    const auto back = attachment_from_result(result, key, LinkKind::veth);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->routes.size(), 1U);
}

TEST(CniResultTest, ResultThatLacksTheAttachment_SaysWhatIsMissing) {
    const auto whole = make_result(sample(), nullptr, version_1_0_0);
    const auto message = [](const json& result, const AttachmentKey& who) {
        return attachment_from_result(result, who, LinkKind::veth).error().message;
    };
    EXPECT_NE(message(whole, {"c1", "eth1", "/run/netns/a"}).find("eth1"), std::string::npos);
    EXPECT_NE(message(whole, {"c2", "eth0", "/run/netns/a"}).find("host interface"), std::string::npos);
    auto without_address = whole;
    without_address["ips"][0]["interface"] = 0;
    EXPECT_NE(message(without_address, key).find("address"), std::string::npos);
    auto without_mac = whole;
    without_mac["interfaces"][1].erase("mac");
    EXPECT_NE(message(without_mac, key).find("MAC"), std::string::npos);
}

Attachment macvlan_sample() {
    Attachment attachment;
    auto& endpoint = attachment.endpoint;
    endpoint.container_id = "c1";
    endpoint.if_name = "eth0";
    endpoint.netns = "/run/netns/a";
    endpoint.link = "macvlan";
    endpoint.mac = *MacAddress::parse("02:00:00:00:00:05");
    endpoint.ip = *Ipv4Address::parse("172.20.7.51");
    endpoint.gateway = *Ipv4Address::parse("172.20.7.254");
    endpoint.mtu = 1500;
    attachment.prefix_length = 24;
    Route through_host;
    through_host.destination = *Ipv4Prefix::parse("10.244.0.0/16");
    through_host.gateway = *Ipv4Address::parse("172.20.7.100");
    attachment.routes = {Route(), through_host};
    return attachment;
}

// The shape of the reference macvlan plugin's: one interface, the address with its network, routes as they were given.
TEST(CniResultTest, ResultOfAMacvlan_HasNoHostSide) {
    EXPECT_EQ(make_result(macvlan_sample(), nullptr, version_1_0_0), json::parse(R"({
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:05", "sandbox": "/run/netns/a"}],
        "ips": [{"address": "172.20.7.51/24", "gateway": "172.20.7.254", "interface": 0}],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.244.0.0/16", "gw": "172.20.7.100"}]})"));
}

TEST(CniResultTest, MacvlanWithoutAddress_HasAnInterfaceOnly) {
    auto attachment = macvlan_sample();
    attachment.endpoint.ip = attachment.endpoint.gateway = Ipv4Address();
    attachment.routes.clear();
    const auto result = make_result(attachment, nullptr, version_1_1_0);
    EXPECT_EQ(result, json::parse(R"({
        "cniVersion": "1.1.0", "ips": [], "routes": [],
        "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:05", "mtu": 1500, "sandbox": "/run/netns/a"}]})"));
    const auto back = attachment_from_result(result, key, LinkKind::macvlan);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_TRUE(back->endpoint.ip.is_unspecified());
}

TEST(CniResultTest, MacvlanAttachment_IsReadBackWithAllItsRoutes) {
    const auto back =
        attachment_from_result(make_result(macvlan_sample(), nullptr, version_1_1_0), key, LinkKind::macvlan);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->endpoint, macvlan_sample().endpoint);
    EXPECT_EQ(back->prefix_length, 24U);
    EXPECT_EQ(back->routes, macvlan_sample().routes);
}

// As the reference plugin returns them with two ranges.
TEST(CniResultTest, Ipv6BesideIpv4_IsPassedOver) {
    auto result = make_result(macvlan_sample(), nullptr, version_1_0_0);
    result["ips"].insert(result["ips"].begin(), json{{"address", "fd00::5/64"}, {"interface", 0}});
    result["routes"].push_back({{"dst", "::/0"}});
    const auto back = attachment_from_result(result, key, LinkKind::macvlan);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->endpoint.ip.to_string(), "172.20.7.51");
    EXPECT_EQ(back->routes.size(), 2U);
}

TEST(CniResultTest, RoutesAddedToAResult_LeaveTheRestAsItIs) {
    auto whole = make_result(macvlan_sample(), nullptr, version_1_0_0);
    whole["extra"] = "kept";
    auto expected = whole;
    expected["routes"].push_back({{"dst", "10.32.0.0/24"}, {"gw", "172.20.7.100"}});
    Route services;
    services.destination = *Ipv4Prefix::parse("10.32.0.0/24");
    services.gateway = *Ipv4Address::parse("172.20.7.100");
    EXPECT_EQ(with_routes(whole, {services}, version_1_0_0), expected);
}

TEST(CniResultTest, ErrorObject_HasVersionCodeMessageAndDetailsIfAny) {
    EXPECT_EQ(make_error({7, "mtu: -1", ""}, version_0_4_0),
              json::parse(R"({"cniVersion": "0.4.0", "code": 7, "msg": "mtu: -1"})"));
    EXPECT_EQ(make_error({11, "later", "much later"}, version_1_1_0),
              json::parse(R"({"cniVersion": "1.1.0", "code": 11, "msg": "later", "details": "much later"})"));
}

}  // namespace
}  // namespace podlane::cni
