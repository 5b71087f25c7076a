// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/flannel_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane::migrate {
namespace {

using testing::ElementsAre;
using Json = nlohmann::json;

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

MacAddress mac(std::uint8_t last) {
    return MacAddress({0x02, 0, 0, 0, 0, last});
}

FlannelRoute tunnelled(std::string_view pods) {
    return {
        .device = "flannel.1",
        .route = {
            .destination = prefix(pods), .gateway = prefix(pods).address(), .protocol = RTPROT_BOOT, .on_link = true}};
}

// Peers 2 and 3 as flanneld writes them, peer 4 by DirectRouting.
FlannelNetwork sample() {
    return {.device = {.name = "flannel.1",
                       .vni = 1,
                       .port = 8472,
                       .mac = mac(1),
                       .mtu = 1450,
                       .local = address("192.168.0.1"),
                       .lower = "eth0",
                       .learning = false,
                       .udp_checksum = false},
            .addresses = {{.address = address("10.244.1.0"), .prefix_length = 32, .scope = RT_SCOPE_UNIVERSE}},
            .routes = {tunnelled("10.244.2.0/24"),
                       tunnelled("10.244.3.0/24"),
                       {.device = "eth0",
                        .route = {.destination = prefix("10.244.4.0/24"),
                                  .gateway = address("192.168.0.4"),
                                  .source = address("192.168.0.1"),
                                  .protocol = RTPROT_BOOT,
                                  .metric = 5,
                                  .table = 100,
                                  .mtu = 1400}}},
            .neighbours = {{.address = address("10.244.2.0"), .mac = mac(2)},
                           {.address = address("10.244.3.0"), .mac = mac(3), .flags = 1, .protocol = 4}},
            .fdb = {{.mac = mac(2), .remote = address("192.168.0.2")},
                    {.mac = mac(3), .remote = address("192.168.0.3"), .state = NUD_NOARP, .flags = NTF_SELF}}};
}

TEST(FlannelPeersTest, RouteNeighbourAndFdbEntry_AreJoined) {
    EXPECT_THAT(peers_of(sample()), ElementsAre(FlannelPeer{.pod_cidr = prefix("10.244.2.0/24"),
                                                            .gateway = address("10.244.2.0"),
                                                            .mac = mac(2),
                                                            .vtep = address("192.168.0.2")},
                                                FlannelPeer{.pod_cidr = prefix("10.244.3.0/24"),
                                                            .gateway = address("10.244.3.0"),
                                                            .mac = mac(3),
                                                            .vtep = address("192.168.0.3")},
                                                FlannelPeer{.pod_cidr = prefix("10.244.4.0/24"),
                                                            .gateway = address("192.168.0.4"),
                                                            .mac = {},
                                                            .vtep = address("192.168.0.4")}));
}

TEST(FlannelPeersTest, PeerWithoutNeighbourOrFdbEntry_IsThereWithoutThem) {
    auto network = sample();
    network.neighbours.erase(network.neighbours.begin());
    network.fdb.pop_back();
    network.routes.pop_back();
    network.routes.push_back({.device = "flannel.1", .route = {.destination = prefix("10.250.0.0/16")}});
    EXPECT_THAT(
        peers_of(network),
        ElementsAre(FlannelPeer{.pod_cidr = prefix("10.244.2.0/24"), .gateway = address("10.244.2.0"), .mac = {}},
                    FlannelPeer{.pod_cidr = prefix("10.244.3.0/24"), .gateway = address("10.244.3.0"), .mac = mac(3)}))
        << "a route without gateway is no peer's";
}

TEST(FlannelRecordTest, NetworkWrittenAndRead_IsTheSame) {
    EXPECT_EQ(flannel_network_from_json(to_json(sample())).value(), sample());
    EXPECT_EQ(flannel_network_from_json(Json::parse(to_json(sample()).dump())).value(), sample());
    FlannelNetwork bare;
    bare.device.name = "vx";
    bare.device.mac = mac(1);
    EXPECT_EQ(flannel_network_from_json(to_json(bare)).value(), bare);
}

TEST(FlannelRecordTest, Form_IsStable) {
    auto network = sample();
    network.routes.resize(1);
    network.neighbours.resize(1);
    network.fdb.resize(1);
    EXPECT_EQ(to_json(network), Json::parse(R"({
        "device": {"name": "flannel.1", "vni": 1, "port": 8472, "mac": "02:00:00:00:00:01", "mtu": 1450,
                   "local": "192.168.0.1", "lower": "eth0", "learning": false, "udpChecksum": false},
        "addresses": [{"address": "10.244.1.0/32", "scope": 0}],
        "routes": [{"destination": "10.244.2.0/24", "device": "flannel.1", "gateway": "10.244.2.0", "source": null,
                    "scope": 0, "protocol": 3, "metric": 0, "table": 254, "onLink": true, "mtu": 0}],
        "neighbours": [{"address": "10.244.2.0", "mac": "02:00:00:00:00:02", "flags": 0, "protocol": 0}],
        "fdb": [{"mac": "02:00:00:00:00:02", "remote": "192.168.0.2", "state": 128, "flags": 2}]})"));
}

TEST(FlannelRecordTest, WhatIsWrong_IsNamedByItsPlace) {
    const std::tuple<const char*, Json, const char*> cases[] = {
        {"/device", nullptr, "device.name: is missing"},
        {"/device", "flannel.1", "device: not an object"},
        {"/device/name", "", "device.name: is empty"},
        {"/device/port", 65536, "device.port: not a whole number from 0 to 65535"},
        {"/device/mac", "00:00:00:00:00:00", "device.mac: no address of one device"},
        {"/device/udpChecksum", nullptr, "device.udpChecksum: is missing"},
        {"/addresses", nullptr, "addresses: is missing"},
        {"/addresses/0", "10.244.1.0/32", "addresses[0]: not an object"},
        {"/addresses/0/address", "10.244.1.0",
         "addresses[0].address: \"10.244.1.0\" is not an IPv4 address with the length of its network"},
        {"/routes/2/device", nullptr, "routes[2].device: is missing"},
        {"/routes/1/scope", 256, "routes[1].scope: not a whole number from 0 to 255"},
        {"/neighbours/1/mac", nullptr, "neighbours[1].mac: is missing"},
        {"/fdb", 1, "fdb: not a list"},
        {"/fdb/0/remote", nullptr, "fdb[0].remote: is missing"},
    };
    for (const auto& [place, value, problem] : cases) {
        auto json = to_json(sample());
        json[Json::json_pointer(place)] = value;
        const auto read = flannel_network_from_json(json);
        EXPECT_EQ(read ? "no problem" : read.error().message, problem) << place;
    }
    EXPECT_FALSE(flannel_network_from_json(Json::array()));
    EXPECT_FALSE(flannel_network_from_json(Json()));
}

}  // namespace
}  // namespace podlane::migrate
