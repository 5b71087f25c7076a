// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/layout.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/source/etcd/gateway.h"
#include "agent/source/etcd/messages.h"
#include "agent/source/etcd/store.h"
#include "agent/text/base64.h"

namespace podlane::etcd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

// ---- net-conf.json

TEST(EtcdNetworkTest, NetworkAlone_GivesFlannelsDefaults) {
    const auto network = parse_network(R"({"Network": "10.5.0.0/16"})").value();
    EXPECT_EQ(network.subnet_length, 24U);
    EXPECT_EQ(network.first, address("10.5.1.0"));
    EXPECT_EQ(network.last, address("10.5.255.0"));
    EXPECT_EQ(parse_network(R"({"Network": "10.5.0.0/23"})").value().subnet_length, 25U);
    EXPECT_EQ(parse_network(R"({"Network": "10.0.0.0/8"})").value().last, address("10.255.255.0"));
}

TEST(EtcdNetworkTest, AllKeysInAnyCase_AreRead) {
    const auto network =
        parse_network(R"({"network":"10.5.0.0/16","subnetlen":26,"SUBNETMIN":"10.5.10.0","SubnetMax":"10.5.20.64",
                          "EnableIPv4":true,"EnableIPv6":null,"backend":{"type":"vxlan","vni":4096,"Port":4789}})")
            .value();
    EXPECT_EQ(network.subnet_length, 26U);
    EXPECT_EQ(network.first, address("10.5.10.0"));
    EXPECT_EQ(network.last, address("10.5.20.64"));
    EXPECT_EQ(network.vni, 4096U);
    EXPECT_EQ(network.port, 4789);
    EXPECT_TRUE(network.allows(Ipv4Prefix::parse("10.5.20.64/26").value()));
    EXPECT_FALSE(network.allows(Ipv4Prefix::parse("10.5.20.128/26").value()));
    EXPECT_FALSE(network.allows(Ipv4Prefix::parse("10.5.12.0/24").value()));
}

TEST(EtcdNetworkTest, WhatCannotBeUsed_NamesItsKey) {
    const auto error = [](std::string_view text) {
        const auto network = parse_network(text);
        return network ? std::string("good") : network.error().message;
    };
    EXPECT_THAT(error("{"), HasSubstr("not a JSON object"));
    EXPECT_THAT(error("{}"), HasSubstr("Network: "));
    EXPECT_THAT(error(R"({"Network":"10.5.0.1/16"})"), HasSubstr("Network: "));
    EXPECT_THAT(error(R"({"Network":"10.5.0.0/29"})"), HasSubstr("too small"));
    EXPECT_THAT(error(R"({"Network":"10.5.0.0/16","SubnetLen":17})"), HasSubstr("SubnetLen: 17"));
    EXPECT_THAT(error(R"({"Network":"10.5.0.0/16","SubnetLen":31})"), HasSubstr("SubnetLen: 31"));
    EXPECT_THAT(error(R"({"Network":"10.5.0.0/16","SubnetMin":"10.6.0.0"})"), HasSubstr("SubnetMin: "));
    EXPECT_THAT(error(R"({"Network":"10.5.0.0/16","SubnetMin":"10.5.0.1"})"), HasSubstr("not the address of a /24"));
    EXPECT_THAT(error(R"({"Network":"10.5.0.0/16","SubnetMin":"10.5.9.0","SubnetMax":"10.5.8.0"})"),
                HasSubstr("comes after"));
    EXPECT_THAT(error(R"({"Network":"10.5.0.0/16","EnableIPv4":false})"), HasSubstr("EnableIPv4"));
}

TEST(EtcdSubnetChoiceTest, EveryFreeSubnet_IsFoundAndNoOther) {
    const auto network = parse_network(R"({"Network":"10.5.0.0/20"})").value();
    std::vector<Ipv4Prefix> taken = {Ipv4Prefix::parse("10.5.4.0/22").value(), Ipv4Prefix::parse("10.5.5.0/24").value(),
                                     Ipv4Prefix::parse("10.5.9.128/25").value()};
    std::set<std::string> found;
    double at = 0;
    while (const auto subnet = choose_subnet(network, taken, [&] { return at; })) {
        found.insert(subnet->to_string());
        taken.push_back(*subnet);
        at = at > 0.8 ? 0 : at + 0.13;
    }
    EXPECT_THAT(found, ElementsAre("10.5.1.0/24", "10.5.10.0/24", "10.5.11.0/24", "10.5.12.0/24", "10.5.13.0/24",
                                   "10.5.14.0/24", "10.5.15.0/24", "10.5.2.0/24", "10.5.3.0/24", "10.5.8.0/24"));
}

// ---- what a node publishes

TEST(EtcdValueTest, OwnValue_IsFlannelsByteForByte) {
    const Attributes own{
        .public_ip = address("192.168.64.3"), .vni = 1, .vtep_mac = MacAddress::parse("c6:d2:32:6f:8f:44").value()};
    const auto text = subnet_value(own);
    EXPECT_EQ(text, R"({"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan",)"
                    R"("BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}})");
    Subnet read{.subnet = {}, .public_ip = {}, .backend_type = ""};
    EXPECT_FALSE(read_subnet_value(text, read));
    EXPECT_TRUE(own.are_those_of(read));
}

TEST(EtcdValueTest, Keys_AreReadWithAndWithoutIpv6) {
    EXPECT_EQ(parse_subnet_key("10.5.52.0-24")->to_string(), "10.5.52.0/24");
    EXPECT_EQ(parse_subnet_key("10.5.52.0-24&fc00::-64")->to_string(), "10.5.52.0/24");
    for (const auto* bad : {"10.5.52.0", "10.5.52.1-24", "10.5.52.0-33", "fc00::-64", "", "-", "10.5.52.0-24-1"}) {
        EXPECT_FALSE(parse_subnet_key(bad)) << bad;
    }
    EXPECT_EQ(subnet_key(Ipv4Prefix::parse("10.5.52.0/24").value()), "10.5.52.0-24");
}

// ---- the store

KeyValue subnet_key_value(const std::string& name, const std::string& value, std::int64_t revision = 1) {
    return {.key = "/p/subnets/" + name, .value = value, .revision = revision, .lease = 5};
}

class EtcdStoreTest : public testing::Test {
protected:
    void list(std::vector<KeyValue> values) {
        values.push_back({.key = "/p/config", .value = R"({"Network":"10.5.0.0/16"})", .revision = 1});
        store_.list_begins();
        store_.replace({.position = {.cluster = 1, .revision = 100}, .values = std::move(values)});
    }
    [[nodiscard]] std::vector<std::string> warnings() const {
        std::vector<std::string> texts;
        for (const auto& warning : store_.warnings()) {
            texts.push_back(warning.to_string());
        }
        return texts;
    }
    // This one is 192.168.0.1.
    [[nodiscard]] std::map<std::string, NodeObject> nodes() const {
        return store_.nodes([](const Subnet& subnet) { return subnet.public_ip == address("192.168.0.1"); });
    }
    [[nodiscard]] std::string names() const {
        std::string text;
        for (const auto& [name, node] : nodes()) {
            text += fmt::format("{}={} ", name, fmt::join(node.pod_cidrs, ","));
        }
        return text;
    }
    Store store_{"/p"};
};

TEST_F(EtcdStoreTest, TolerantForms_AreRead) {
    list({subnet_key_value("10.5.1.0-24", R"({"PublicIP":"192.168.0.1","BackendType":"vxlan"})"),
          subnet_key_value("10.5.2.0-24", R"({"publicip":"192.168.0.2","BackendType":"vxlan",
                                             "BackendData":{"VtepMAC":"C6:D2:32:6F:8F:44"},"Extra":[1]})"),
          subnet_key_value("10.5.3.0-24", R"({"PublicIP":"192.168.0.3","BackendType":"host-gw","BackendData":null})"),
          subnet_key_value("10.5.4.0-24", R"({"PublicIP":"192.168.0.4"})"),
          {.key = "/p/elsewhere", .value = "x", .revision = 1}});
    EXPECT_THAT(warnings(), IsEmpty());
    // 192.168.0.1 is this node; 192.168.0.4 has a reservation only.
    EXPECT_EQ(names(), "192.168.0.2=10.5.2.0/24 192.168.0.3=10.5.3.0/24 ");
    const auto others = nodes();
    EXPECT_THAT(others.at("192.168.0.2").annotations,
                ElementsAre(Pair("flannel.alpha.coreos.com/backend-data", R"({"VtepMAC":"c6:d2:32:6f:8f:44"})"),
                            Pair("flannel.alpha.coreos.com/backend-type", "vxlan"),
                            Pair("flannel.alpha.coreos.com/kube-subnet-manager", "true"),
                            Pair("flannel.alpha.coreos.com/public-ip", "192.168.0.2")));
    EXPECT_THAT(store_.view(nullptr).taken, SizeIs(4));
}

TEST_F(EtcdStoreTest, BadValues_AreLeftOutWithTheirKeyAndNotGivenToAnybody) {
    list({subnet_key_value("10.5.1.0-24", "nonsense"), subnet_key_value("10.5.2.0-24", R"({"PublicIP":"300.1.1.1"})"),
          subnet_key_value("lan", "{}"),
          subnet_key_value("10.5.3.0-24", R"({"PublicIP":"192.168.0.3","BackendType":"vxlan"})")});
    EXPECT_THAT(warnings(),
                ElementsAre("etcd key /p/subnets/10.5.1.0-24: value: \"nonsense\" is not a JSON object",
                            "etcd key /p/subnets/10.5.2.0-24: PublicIP: \"300.1.1.1\" is not an IPv4 unicast address",
                            HasSubstr("etcd key /p/subnets/lan: key: does not end with a subnet")));
    EXPECT_EQ(names(), "192.168.0.3=10.5.3.0/24 ");
    EXPECT_THAT(store_.view(nullptr).taken, SizeIs(3));
    store_.put(subnet_key_value("10.5.1.0-24", R"({"PublicIP":"192.168.0.9","BackendType":"vxlan"})", 7));
    EXPECT_THAT(warnings(), SizeIs(2));
}

TEST_F(EtcdStoreTest, ChangesAndRemovals_AreTakenInTheOrderOfTheirRevisions) {
    const auto by = [](const char* ip) { return fmt::format(R"({{"PublicIP":"{}","BackendType":"vxlan"}})", ip); };
    list({subnet_key_value("10.5.1.0-24", by("192.168.0.5"), 50)});
    store_.put(subnet_key_value("10.5.1.0-24", by("192.168.0.4"), 40));
    EXPECT_EQ(names(), "192.168.0.5=10.5.1.0/24 ");
    store_.put(subnet_key_value("10.5.2.0-24", by("192.168.0.5"), 101));
    EXPECT_EQ(names(), "192.168.0.5=10.5.1.0/24,10.5.2.0/24 ");
    auto removal = subnet_key_value("10.5.1.0-24", "", 102);
    removal.deleted = true;
    store_.put(removal);
    EXPECT_EQ(names(), "192.168.0.5=10.5.2.0/24 ");
}

TEST_F(EtcdStoreTest, OwnPutDuringAList_Stays) {
    store_.list_begins();
    store_.put_own(subnet_key_value("10.5.1.0-24", R"({"PublicIP":"192.168.0.7","BackendType":"vxlan"})", 101));
    store_.replace({.position = {.cluster = 1, .revision = 100}, .values = {}});
    EXPECT_EQ(names(), "192.168.0.7=10.5.1.0/24 ");
    list({});
    EXPECT_EQ(names(), "");
}

TEST_F(EtcdStoreTest, OwnPutThatIsOlderThanWhatIsKnown_DoesNotStayInTheKeysPlace) {
    const auto by = [](const char* ip) { return fmt::format(R"({{"PublicIP":"{}","BackendType":"vxlan"}})", ip); };
    list({subnet_key_value("10.5.1.0-24", by("192.168.0.5"), 50)});
    store_.list_begins();
    store_.put_own(subnet_key_value("10.5.1.0-24", by("192.168.0.4"), 40));
    store_.replace({.position = {.cluster = 1, .revision = 100}, .values = {}});
    EXPECT_EQ(names(), "");
}

TEST_F(EtcdStoreTest, SecondKeyOfASubnet_TakesThePlaceOfTheFirstWhenThatGoes) {
    const auto by = [](const char* ip) { return fmt::format(R"({{"PublicIP":"{}","BackendType":"vxlan"}})", ip); };
    list({subnet_key_value("10.5.1.0-24&fca::-64", by("192.168.0.5")),
          subnet_key_value("10.5.1.0-24&fcb::-64", by("192.168.0.6"))});
    EXPECT_EQ(names(), "192.168.0.5=10.5.1.0/24 ");
    EXPECT_THAT(warnings(), ElementsAre(HasSubstr("10.5.1.0/24 is node 192.168.0.5's")));
    // A change of the first is none of its place.
    store_.put(subnet_key_value("10.5.1.0-24&fca::-64", by("192.168.0.7"), 101));
    EXPECT_EQ(names(), "192.168.0.7=10.5.1.0/24 ");
    auto removal = subnet_key_value("10.5.1.0-24&fca::-64", "", 102);
    removal.deleted = true;
    store_.put(removal);
    EXPECT_EQ(names(), "192.168.0.6=10.5.1.0/24 ");
    EXPECT_THAT(warnings(), IsEmpty());
    // The second goes while it waits.
    store_.put(subnet_key_value("10.5.1.0-24&fcc::-64", by("192.168.0.8"), 103));
    list({subnet_key_value("10.5.1.0-24&fcb::-64", by("192.168.0.6"), 1)});
    EXPECT_EQ(names(), "192.168.0.6=10.5.1.0/24 ");
    EXPECT_THAT(warnings(), IsEmpty());
}

TEST_F(EtcdStoreTest, SavedState_IsWhatTheFirstListIsHeldAgainst) {
    NodeObject saved;
    saved.pod_cidrs = {"10.5.1.0/24", "10.5.2.0/24"};
    store_.remember({{"n1", saved}});
    const RangeAnswer answer{.position = {}, .values = {subnet_key_value("10.5.2.0-24&fc00::-64", "{}")}};
    const auto content = store_.compare(answer);
    EXPECT_THAT(content.known, ElementsAre("10.5.1.0/24", "10.5.2.0/24"));
    EXPECT_THAT(content.listed, ElementsAre("10.5.2.0/24"));
    list({subnet_key_value("10.5.2.0-24", R"({"PublicIP":"192.168.0.2"})"), subnet_key_value("lan", "{}")});
    EXPECT_THAT(store_.compare(answer).known, ElementsAre("/p/subnets/lan", "10.5.2.0/24"));
}

TEST_F(EtcdStoreTest, ListThatIsDoubted_IsBelievedToLackThisNodesKeyAlone) {
    const auto by = [](const char* ip) { return fmt::format(R"({{"PublicIP":"{}","BackendType":"vxlan"}})", ip); };
    list({subnet_key_value("10.5.1.0-24", by("192.168.0.1"), 50), subnet_key_value("10.5.2.0-24", by("192.168.0.2"))});
    store_.hold(Ipv4Prefix::parse("10.5.1.0/24").value());
    store_.list_begins();
    store_.doubt({.position = {}, .values = {subnet_key_value("10.5.1.0-24", by("192.168.0.1"), 3)}});
    EXPECT_TRUE(store_.has_own());
    store_.doubt({.position = {}, .values = {}});
    EXPECT_FALSE(store_.has_own());
    EXPECT_EQ(names(), "192.168.0.2=10.5.2.0/24 ");
    // Put back since the list was asked for, at a revision that starts anew.
    store_.put_own(subnet_key_value("10.5.1.0-24", by("192.168.0.1"), 2));
    store_.doubt({.position = {}, .values = {}});
    EXPECT_TRUE(store_.has_own());
}

// ---- the cluster's name

TEST(EtcdDescriptionTest, ClusterWhoseMembersChanged_IsTheSameWhileOneStays) {
    const Access three{
        .endpoints = {"http://a:1", "http://b:1", "http://c:1"}, .ca_file = "", .cert_file = "", .key_file = ""};
    const auto word = describe(three, "/p");
    const auto is_same = [&](std::vector<std::string> endpoints, const std::string& prefix = "/p") {
        return is_described_by({.endpoints = std::move(endpoints), .ca_file = "", .cert_file = "", .key_file = ""},
                               prefix, word);
    };
    EXPECT_TRUE(is_same({"http://a:1", "http://b:1", "http://c:1"}));
    EXPECT_TRUE(is_same({"http://c:1", "http://a:1"}));
    EXPECT_TRUE(is_same({"http://d:1", "http://b:1"}));
    EXPECT_FALSE(is_same({"http://d:1"}));
    EXPECT_FALSE(is_same({"http://b"}));
    EXPECT_FALSE(is_same({"http://a:1"}, "/q"));
    EXPECT_FALSE(is_described_by(three, "/p", "https://10.96.0.1:443"));
    EXPECT_FALSE(is_described_by(three, "/p", "etcd:/p"));
}

// ---- the gateway's JSON

TEST(EtcdMessagesTest, Base64_GoesThereAndBack) {
    for (const auto& [bytes, text] : std::map<std::string, std::string>{{"", ""},
                                                                        {"f", "Zg=="},
                                                                        {"fo", "Zm8="},
                                                                        {"foo", "Zm9v"},
                                                                        {"foob", "Zm9vYg=="},
                                                                        {"\xff\xfe\xfd", "//79"}}) {
        EXPECT_EQ(encode_base64(bytes), text);
        EXPECT_EQ(decode_base64(text), bytes);
    }
}

TEST(EtcdMessagesTest, CompactedWatchAndErrorInTheStream_AreTold) {
    const auto compacted = parse_watch(R"({"result":{"header":{"cluster_id":"14841639068965178418","raft_term":"2"},)"
                                       R"("canceled":true,"compact_revision":"3"}})")
                               .value();
    EXPECT_TRUE(compacted.canceled);
    EXPECT_EQ(compacted.compact_revision, 3);
    EXPECT_EQ(compacted.position.cluster, 14841639068965178418U);
    EXPECT_EQ(parse_watch(R"({"error":{"grpc_code":1,"http_code":408,"message":"closing"}})").value().error, "closing");
    EXPECT_EQ(parse_watch(R"({"error":{"grpc_code":14}})").value().error, "no reason given");
    EXPECT_EQ(parse_watch(R"({"error":"context canceled","code":1})").value().error, "context canceled");
    EXPECT_FALSE(parse_watch("[]"));
    EXPECT_FALSE(parse_range(R"({"header":{}})"));
    EXPECT_FALSE(parse_range(R"({"header":{"revision":"4"},"kvs":[{"key":"?"}]})"));
}

TEST(EtcdMessagesTest, WatchInPieces_IsReadMessageByMessageAndWhatIsNotEtcdsIsSaid) {
    WatchMessages messages;
    std::vector<std::int64_t> revisions;
    const auto take = [&](const WatchAnswer& answer) -> Result<void> {
        revisions.push_back(answer.position.revision);
        return answer.canceled ? fail("over") : Result<void>();
    };
    const std::string text = R"({"result":{"header":{"revision":"3"}}})"
                             "\n"
                             R"({"result":{"header":{"revision":"4"}}})";
    for (const char c : text) {
        EXPECT_TRUE(messages.feed(std::string_view(&c, 1), take));
    }
    EXPECT_THAT(revisions, ElementsAre(3, 4));
    EXPECT_EQ(messages.feed(R"({"result":{"canceled":true}})", take).error().message, "over");
    const auto html = WatchMessages().feed("<html>\n<body>502", take);
    EXPECT_EQ(html.error().message, "not an answer of etcd's, but of a proxy's perhaps: \"<html>\"");
    EXPECT_THAT(parse_range("<html>").error().message, HasSubstr("not an answer of etcd's"));
}

}  // namespace
}  // namespace podlane::etcd
