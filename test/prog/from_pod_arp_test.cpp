// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/fixture.h"

// from-pod: ARP. A pod knows one neighbour, its gateway, and that is us.
namespace podlane::prog {
namespace {

constexpr std::uint16_t reply = 2;
const MacAddress broadcast = mac("ff:ff:ff:ff:ff:ff");
const Ipv4Address gateway = address("10.244.1.1");

Arp request(const Pod& from, Ipv4Address target) {
    return {.ethernet = {.destination = broadcast, .source = from.mac, .type = ethertype_arp},
            .sender_mac = from.mac,
            .sender = from.address,
            .target = target};
}

class FromPodArp : public ProgTest {};

TEST_F(FromPodArp, RequestForTheGateway_IsAnsweredWithTheHostSidesMac) {
    const Pod& web = pod("web");
    const Arp expected{.ethernet = {.destination = web.mac, .source = web.host_mac, .type = ethertype_arp},
                       .operation = reply,
                       .sender_mac = web.host_mac,
                       .sender = gateway,
                       .target_mac = web.mac,
                       .target = web.address};
    EXPECT_TRUE(redirects(from_web, bytes(request(web, gateway)), bytes(expected), PATH_ARP_ANSWERED));
}

TEST_F(FromPodArp, UnicastProbeOfTheGateway_IsAnsweredToo) {
    const Pod& db = pod("db");
    Arp probe = request(db, gateway);
    probe.ethernet.destination = db.host_mac;
    probe.target_mac = db.host_mac;
    const Arp expected{.ethernet = {.destination = db.mac, .source = db.host_mac, .type = ethertype_arp},
                       .operation = reply,
                       .sender_mac = db.host_mac,
                       .sender = gateway,
                       .target_mac = db.mac,
                       .target = db.address};
    EXPECT_TRUE(redirects(from_db, bytes(probe), bytes(expected), PATH_ARP_ANSWERED));
}

TEST_F(FromPodArp, PaddedRequest_IsAnsweredWithThePadding) {
    const Pod& web = pod("web");
    Bytes padded = bytes(request(web, gateway));
    padded.resize(60);
    Bytes expected = bytes(Arp{.ethernet = {.destination = web.mac, .source = web.host_mac, .type = ethertype_arp},
                               .operation = reply,
                               .sender_mac = web.host_mac,
                               .sender = gateway,
                               .target_mac = web.mac,
                               .target = web.address});
    expected.resize(60);
    EXPECT_TRUE(redirects(from_web, padded, expected, PATH_ARP_ANSWERED));
}

struct ArpCase {
    std::string name;
    void (*change)(Arp& arp);
};

std::string name_of_case(const testing::TestParamInfo<ArpCase>& info) {
    return info.param.name;
}

class FromPodArpHandedOver : public ProgTest, public testing::WithParamInterface<ArpCase> {};

TEST_P(FromPodArpHandedOver, IsLeftToTheStack) {
    Arp arp = request(pod("web"), gateway);
    GetParam().change(arp);
    EXPECT_TRUE(hands_over(from_web, bytes(arp), HANDOVER_ARP));
}

INSTANTIATE_TEST_SUITE_P(Arp, FromPodArpHandedOver,
                         testing::Values(ArpCase{"AnotherPodsAddress", [](Arp& arp) { arp.target = db_ip; }},
                                         ArpCase{"TheNodesAddress", [](Arp& arp) { arp.target = n1_ip; }},
                                         ArpCase{"Announcement", [](Arp& arp) { arp.target = web_ip; }},
                                         ArpCase{"ReplyToTheGateway", [](Arp& arp) { arp.operation = reply; }},
                                         ArpCase{"AddressProbe", [](Arp& arp) { arp.sender = {}; }},
                                         ArpCase{"OtherHardware", [](Arp& arp) { arp.hardware = 6; }},
                                         ArpCase{"OtherProtocol", [](Arp& arp) { arp.protocol = 0x86dd; }},
                                         ArpCase{"OtherHardwareLength", [](Arp& arp) { arp.hardware_length = 8; }},
                                         ArpCase{"OtherProtocolLength", [](Arp& arp) { arp.protocol_length = 16; }}),
                         name_of_case);

class FromPodArpSpoofed : public ProgTest, public testing::WithParamInterface<ArpCase> {};

TEST_P(FromPodArpSpoofed, IsDropped) {
    Arp arp = request(pod("web"), gateway);
    GetParam().change(arp);
    EXPECT_TRUE(drops(from_web, bytes(arp), DROP_SPOOFED_ARP));
}

INSTANTIATE_TEST_SUITE_P(
    Arp, FromPodArpSpoofed,
    testing::Values(ArpCase{"AnotherPodsAddress", [](Arp& arp) { arp.sender = db_ip; }},
                    ArpCase{"TheGatewaysAddress", [](Arp& arp) { arp.sender = gateway; }},
                    ArpCase{"AnOutsideAddress", [](Arp& arp) { arp.sender = outside_ip; }},
                    ArpCase{"AnotherSenderMac", [](Arp& arp) { arp.sender_mac = mac("0a:00:00:00:01:06"); }},
                    ArpCase{"AnotherEthernetSource", [](Arp& arp) { arp.ethernet.source = mac("0a:00:00:00:01:06"); }},
                    ArpCase{"ReplyInTheGatewaysName",
                            [](Arp& arp) {
                                arp.operation = reply;
                                arp.sender = gateway;
                            }},
                    ArpCase{"AnotherPodAltogether",
                            [](Arp& arp) {
                                arp.sender = db_ip;
                                arp.sender_mac = arp.ethernet.source = mac("0a:00:00:00:01:06");
                            }}),
    name_of_case);

TEST_F(FromPodArp, CutOffAnywhere_IsDroppedAsTruncated) {
    const Bytes whole = bytes(request(pod("web"), gateway));
    for (std::size_t length = 14; length < whole.size(); ++length) {
        SCOPED_TRACE(length);
        EXPECT_TRUE(
            drops(from_web, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)), DROP_TRUNCATED));
    }
}

}  // namespace
}  // namespace podlane::prog
