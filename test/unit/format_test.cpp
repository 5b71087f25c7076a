// SPDX-License-Identifier: Apache-2.0
#include "maps/format.h"

#include <arpa/inet.h>

#include <cstring>
#include <functional>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "maps/names.h"

namespace podlane {
namespace {

// What a key looks like, each way; the closures hide its type.
struct KeyCase {
    std::string name;
    std::string text;
    std::string json;
    std::function<std::string()> to_text;
    std::function<std::string()> to_json;
    std::function<bool(std::string_view)> parses_back;
};

template <typename Format, typename Key>
KeyCase key_case(const std::string& name, const Key& key, const std::string& text, const std::string& json) {
    return {.name = name,
            .text = text,
            .json = json,
            .to_text = [key] { return Format::text(key); },
            .to_json = [key] { return Format::json(key).dump(); },
            .parses_back =
                [key](std::string_view typed) {
                    const auto parsed = Format::parse(typed);
                    return parsed.has_value() && std::memcmp(&*parsed, &key, sizeof(key)) == 0;
                }};
}

class KeyFormatTest : public testing::TestWithParam<KeyCase> {};

TEST_P(KeyFormatTest, TextAndJson_AreForPeopleAndParseBack) {
    const KeyCase& key = GetParam();
    EXPECT_EQ(key.to_text(), key.text);
    EXPECT_EQ(key.to_json(), key.json);
    EXPECT_TRUE(key.parses_back(key.text)) << key.text;
    EXPECT_TRUE(key.parses_back(key.json)) << key.json;
}

INSTANTIATE_TEST_SUITE_P(
    Keys, KeyFormatTest,
    testing::ValuesIn(std::vector<KeyCase>{
        key_case<AddressKeyFormat, __be32>("Address", htonl(0x0af40105), "10.244.1.5", R"({"address":"10.244.1.5"})"),
        key_case<PodCidrKeyFormat>("PodCidr", pod_cidr_key{.address = htonl(0x0af40100), .prefix_length = 24},
                                   "10.244.1.0/24", R"({"podCIDR":"10.244.1.0/24"})"),
        key_case<PodCidrKeyFormat>("Everything", pod_cidr_key{.address = 0, .prefix_length = 0}, "0.0.0.0/0",
                                   R"({"podCIDR":"0.0.0.0/0"})"),
        key_case<NetworkKeyFormat>("Network", network_key{.prefix_length = 16, .address = htonl(0x0af40000)},
                                   "10.244.0.0/16", R"({"prefix":"10.244.0.0/16"})"),
        key_case<FlowKeyFormat>(
            "Tcp",
            flow_key{.pod_address = htonl(0x0af40105),
                     .remote_address = htonl(0x0af40207),
                     .pod_port = htons(40000),
                     .remote_port = htons(80),
                     .protocol = 6,
                     .pad = {}},
            "tcp:10.244.1.5:40000:10.244.2.7:80",
            R"({"protocol":"tcp","podIP":"10.244.1.5","podPort":40000,"remoteIP":"10.244.2.7","remotePort":80})"),
        key_case<FlowKeyFormat>(
            "UnnamedProtocol",
            flow_key{.pod_address = 0, .remote_address = 0, .pod_port = 0, .remote_port = 0, .protocol = 47, .pad = {}},
            "47:0.0.0.0:0:0.0.0.0:0",
            R"({"protocol":"47","podIP":"0.0.0.0","podPort":0,"remoteIP":"0.0.0.0","remotePort":0})"),
        key_case<DropKeyFormat>("Drop", reason_key{.reason = DROP_WRONG_VNI, .direction = DIRECTION_FROM_UNDERLAY},
                                "wrong-vni:from-underlay", R"({"reason":"wrong-vni","direction":"from-underlay"})"),
        key_case<DropKeyFormat>("DropOfTheFuture", reason_key{.reason = 999, .direction = 77}, "999:77",
                                R"({"reason":"999","direction":"77"})"),
        key_case<HandoverKeyFormat>("Handover",
                                    reason_key{.reason = HANDOVER_NODE_ADDRESS, .direction = DIRECTION_FROM_POD},
                                    "node-address:from-pod", R"({"reason":"node-address","direction":"from-pod"})"),
        key_case<ForwardPathKeyFormat, __u32>("Path", PATH_OVERLAY_TO_POD, "overlay-to-pod",
                                              R"({"path":"overlay-to-pod"})"),
        key_case<IndexKeyFormat, __u32>("Index", 0, "0", R"({"index":0})")}),
    [](const auto& test) { return test.param.name; });

struct BadKey {
    std::string name;
    std::function<std::string()> error_of;
    std::string expected;
};

template <typename Format>
BadKey bad_key(const std::string& name, const std::string& text, const std::string& expected) {
    return {name,
            [text] {
                const auto parsed = Format::parse(text);
                return parsed ? "parsed" : parsed.error().message;
            },
            expected};
}

class BadKeyTest : public testing::TestWithParam<BadKey> {};

TEST_P(BadKeyTest, Error_SaysWhatWasExpected) {
    EXPECT_EQ(GetParam().error_of(), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Keys, BadKeyTest,
    testing::ValuesIn(std::vector<BadKey>{
        bad_key<AddressKeyFormat>("NoAddress", "10.1", R"("10.1" is not an IPv4 address)"),
        bad_key<AddressKeyFormat>("Empty", "", R"("" is not an IPv4 address)"),
        bad_key<PodCidrKeyFormat>("HostBits", "10.1.2.3/24",
                                  R"("10.1.2.3/24" has host bits set; the prefix is 10.1.2.0/24)"),
        bad_key<PodCidrKeyFormat>(
            "OtherField", R"({"prefix":"10.1.2.0/24"})",
            R"(key {"prefix":"10.1.2.0/24"}: "podCIDR" is missing, or neither text nor a number)"),
        bad_key<PodCidrKeyFormat>("BrokenJson", R"({"podCIDR":)",
                                  R"(key {"podCIDR":: expected a JSON object with podCIDR)"),
        bad_key<PodCidrKeyFormat>("OneFieldTooMany", R"({"podCIDR":"10.1.2.0/24","x":1})",
                                  R"(key {"podCIDR":"10.1.2.0/24","x":1}: expected a JSON object with podCIDR)"),
        bad_key<FlowKeyFormat>("TooFewFields", "tcp:10.244.1.5:1",
                               R"(key "tcp:10.244.1.5:1": expected protocol:podIP:podPort:remoteIP:remotePort)"),
        bad_key<FlowKeyFormat>("Port", "tcp:10.244.1.5:65536:10.0.0.1:80", R"("65536" is no port (0 to 65535))"),
        bad_key<FlowKeyFormat>("NegativePort", "tcp:10.244.1.5:-1:10.0.0.1:80", R"("-1" is no port (0 to 65535))"),
        bad_key<FlowKeyFormat>("Protocol", "tpc:10.244.1.5:1:10.0.0.1:80",
                               R"("tpc" is no protocol (icmp, tcp, udp, sctp))"),
        bad_key<FlowKeyFormat>("ProtocolNumber", "256:10.244.1.5:1:10.0.0.1:80",
                               R"("256" is no protocol (icmp, tcp, udp, sctp))"),
        bad_key<DropKeyFormat>(
            "Direction", "wrong-vni:up",
            R"("up" is no direction (from-pod, to-pod, from-underlay, to-underlay, from-overlay, to-overlay, underlay-guard, from-shim, to-shim))"),
        bad_key<IndexKeyFormat>("Index", "first", R"("first" is no index (a number))"),
        bad_key<IndexKeyFormat>("HugeIndex", "4294967296", R"("4294967296" is no index (a number))")}),
    [](const auto& test) { return test.param.name; });

TEST(ValueFormatTest, NodeRoute_HasAddressesMacAndPath) {
    const node_route route{.vtep = htonl(0xc0a80009),
                           .next_hop = htonl(0xc0a80001),
                           .ifindex = 2,
                           .mtu = 1450,
                           .vtep_mac = {2, 0x50, 0xc0, 0xa8, 0, 9},
                           .path = NODE_PATH_VXLAN,
                           .pad = 0};
    EXPECT_EQ(
        json_of(route).dump(),
        R"({"vtep":"192.168.0.9","nextHop":"192.168.0.1","ifindex":2,"mtu":1450,"vtepMac":"02:50:c0:a8:00:09","path":"vxlan"})");
    EXPECT_EQ(fmt::format("{}", route),
              "vtep=192.168.0.9 nextHop=192.168.0.1 ifindex=2 mtu=1450 vtepMac=02:50:c0:a8:00:09 path=vxlan");
}

TEST(ValueFormatTest, PodEndpoint_HasBothMacs) {
    const pod_endpoint pod{.ifindex = 7,
                           .mtu = 1450,
                           .gateway = htonl(0x0af40101),
                           .mac = {0x0a, 1, 2, 3, 4, 0xff},
                           .host_mac = {0x0e, 1, 2, 3, 4, 5},
                           .egress_address = htonl(0x0a000009),
                           .flags = POD_FLAG_NO_SNAT,
                           .pad = {}};
    EXPECT_EQ(fmt::format("{}", pod),
              "ifindex=7 mtu=1450 gateway=10.244.1.1 mac=0a:01:02:03:04:ff hostMac=0e:01:02:03:04:05 "
              "egressIP=10.0.0.9 snat=false");
}

TEST(ValueFormatTest, FlowEntry_NamesOwnerAndWhatIsPending) {
    EXPECT_EQ(json_of(flow_entry{.owner = FLOW_OWNER_FAST, .pending = 0, .unmerged = 0, .pad = 0}).dump(),
              R"({"owner":"fast","pending":[]})");
    const flow_entry undecided{.owner = FLOW_OWNER_UNDECIDED,
                               .pending = FLOW_PENDING_FROM_POD | FLOW_PENDING_TO_POD,
                               .unmerged = 0,
                               .pad = {}};
    EXPECT_EQ(json_of(undecided).dump(), R"({"owner":"undecided","pending":["from-pod","to-pod"]})");
    EXPECT_EQ(fmt::format("{}", undecided), "owner=undecided pending=from-pod,to-pod");
    EXPECT_EQ(json_of(flow_entry{.owner = 9, .pending = 0, .unmerged = 0, .pad = 0})["owner"], "9");
}

TEST(ValueFormatTest, PodCidrLengths_ListsThoseInUse) {
    pod_cidr_lengths lengths{};
    EXPECT_EQ(json_of(lengths).dump(), R"({"lengths":[]})");
    lengths = {.count = 2, .length = {26, 24}, .pad = {}};
    EXPECT_EQ(json_of(lengths).dump(), R"({"lengths":[26,24]})");
    lengths.count = 4'000'000'000;
    EXPECT_EQ(json_of(lengths)["lengths"].size(), std::size_t{POD_CIDR_LENGTHS_MAX}) << "garbage stays inside";
}

TEST(ValueFormatTest, CountersAndNetworks) {
    EXPECT_EQ(json_of(packet_counter{.packets = ~0ULL, .bytes = 7}).dump(),
              R"({"packets":18446744073709551615,"bytes":7})");
    EXPECT_EQ(json_of(network_entry{.network_class = NETWORK_CLUSTER}).dump(), R"({"class":"cluster"})");
}

TEST(NamesTest, EveryReasonDirectionAndPath_ReadsBack) {
    for (const Names names : {Names(names::drop_reasons), Names(names::handover_reasons), Names(names::directions),
                              Names(names::forward_paths), Names(names::protocols)}) {
        for (const NamedValue& one : names) {
            EXPECT_EQ(name_of(names, one.value), one.name);
            EXPECT_EQ(value_of(names, one.name), one.value) << one.name << " stands twice";
        }
    }
    EXPECT_EQ(names::drop_reasons.size(), std::size_t{DROP_REASON_COUNT});
    EXPECT_EQ(names::handover_reasons.size(), std::size_t{HANDOVER_REASON_COUNT});
}

TEST(NamesTest, NodePaths) {
    EXPECT_EQ(name_of(NODE_PATH_LOCAL), "local");
    EXPECT_EQ(name_of(NODE_PATH_DIRECT), "direct");
    EXPECT_EQ(name_of(NODE_PATH_UNREACHABLE), "unreachable");
    EXPECT_EQ(name_of(static_cast<node_path>(0)), "0");
}

}  // namespace
}  // namespace podlane
