// SPDX-License-Identifier: Apache-2.0
// Requests byte by byte. Little-endian, as netlink is in host order and podlane runs on x86-64 and arm64.
#include <gtest/gtest.h>

#include <linux/if_link.h>
#include <linux/veth.h>

#include <bit>

#include "agent/cni/link_requests.h"
#include "agent/cni/macvlan_requests.h"
#include "agent/cni/rtnetlink.h"

namespace podlane::cni {
namespace {

static_assert(std::endian::native == std::endian::little);

std::string hex(std::span<const std::byte> bytes) {
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        text += fmt::format("{:02x}{}", std::to_integer<unsigned>(bytes[i]), i % 4 == 3 ? " " : "");
    }
    return text;
}

std::vector<std::byte> bytes_of(std::initializer_list<int> values) {
    std::vector<std::byte> bytes;
    for (const int value : values) {
        bytes.push_back(static_cast<std::byte>(value));
    }
    return bytes;
}

TEST(CniNetlinkTest, AddressRequest_IsAWholeMessage) {
    auto message = add_address_request(7, *Ipv4Address::parse("10.244.1.5"), 32);
    EXPECT_EQ(hex(message.finish(3)),
              "28000000 14000506 03000000 00000000 "  // length 40, RTM_NEWADDR, REQUEST|ACK|EXCL|CREATE, sequence, port
              "02200000 07000000 "                    // AF_INET, /32, no flags, universe, ifindex
              "08000200 0af40105 "                    // IFA_LOCAL
              "08000100 0af40105 ");                  // IFA_ADDRESS
}

TEST(CniNetlinkTest, AddressOfALan_HasABroadcastAddress) {
    const auto end_of = [](unsigned prefix_length) {
        auto message = add_address_request(7, *Ipv4Address::parse("172.20.7.51"), prefix_length);
        return hex(message.finish(1).subspan(NLMSG_HDRLEN + 24));
    };
    EXPECT_EQ(end_of(24), "08000400 ac1407ff ");
    EXPECT_EQ(end_of(30), "08000400 ac140733 ");
    EXPECT_EQ(end_of(31), "");
}

TEST(CniNetlinkTest, GatewayRoute_IsOnLink) {
    auto message = add_gateway_route_request(7, *Ipv4Address::parse("10.244.1.1"));
    EXPECT_EQ(hex(message.finish(1)),
              "2c000000 18000506 01000000 00000000 "
              "02200000 fe03fd01 00000000 "  // AF_INET, /32; main table, RTPROT_BOOT, scope link, unicast
              "08000100 0af40101 "           // RTA_DST
              "08000400 07000000 ");         // RTA_OIF
}

TEST(CniNetlinkTest, RouteWithEverything_CarriesEverything) {
    Route route;
    route.destination = *Ipv4Prefix::parse("10.96.0.0/12");
    route.gateway = *Ipv4Address::parse("10.244.1.9");
    route.mtu = 1400;
    route.advmss = 1360;
    route.priority = 5;
    route.table = 300;
    auto message = add_route_request(7, route, *Ipv4Address::parse("10.244.1.1"), *Ipv4Prefix::parse("10.244.1.1/32"));
    EXPECT_EQ(hex(message.finish(1)),
              "58000000 18000506 01000000 00000000 "
              "020c0000 fe030001 04000000 "                      // /12; scope universe; RTNH_F_ONLINK
              "08000100 0a600000 08000500 0af40109 "             // RTA_DST, RTA_GATEWAY
              "08000400 07000000 08000600 05000000 "             // RTA_OIF, RTA_PRIORITY
              "08000f00 2c010000 "                               // RTA_TABLE
              "14000880 08000200 78050000 08000800 50050000 ");  // RTA_METRICS: RTAX_MTU, RTAX_ADVMSS
}

TEST(CniNetlinkTest, RouteThroughOurGateway_NeedsNoOnlinkFlag) {
    auto message =
        add_route_request(7, Route(), *Ipv4Address::parse("10.244.1.1"), *Ipv4Prefix::parse("10.244.1.1/32"));
    const auto bytes = message.finish(1);
    EXPECT_EQ(hex(bytes.subspan(NLMSG_HDRLEN, sizeof(rtmsg))), "02000000 fe030001 00000000 ");
}

TEST(CniNetlinkTest, VethPair_IsOneRequestWithThePeerInTheSandbox) {
    Endpoint endpoint;
    endpoint.host_interface = "pl0";
    endpoint.host_mac = *MacAddress::parse("02:00:00:00:00:01");
    endpoint.if_name = "eth0";
    endpoint.mac = *MacAddress::parse("02:00:00:00:00:05");
    endpoint.mtu = 1450;
    auto message = create_veth_request(endpoint, 9);
    EXPECT_EQ(hex(message.finish(1)),
              "8c000000 10000506 01000000 00000000 "
              "00000000 00000000 00000000 00000000 "           // ifinfomsg
              "08000300 706c3000 "                             // IFLA_IFNAME "pl0"
              "0a000100 02000000 00010000 08000400 aa050000 "  // IFLA_ADDRESS, IFLA_MTU 1450
              "50001280 09000100 76657468 00000000 "           // IFLA_LINKINFO: IFLA_INFO_KIND "veth"
              "40000280 3c000180 "                             // IFLA_INFO_DATA: VETH_INFO_PEER
              "00000000 00000000 00000000 00000000 "           // the peer's ifinfomsg
              "09000300 65746830 00000000 "                    // "eth0"
              "0a000100 02000000 00050000 08000400 aa050000 "
              "08001c00 09000000 ");  // IFLA_NET_NS_FD
}

Attachment macvlan() {
    Attachment attachment;
    attachment.endpoint.container_id = "c1";
    attachment.endpoint.if_name = "eth0";
    attachment.endpoint.mac = *MacAddress::parse("02:00:00:00:00:05");
    attachment.endpoint.mtu = 1500;
    attachment.endpoint.mode = "bridge";
    return attachment;
}

TEST(CniNetlinkTest, Macvlan_IsMadeInTheSandboxUnderANameOfItsOwn) {
    auto message = create_macvlan_request(macvlan(), 3, 9);
    EXPECT_EQ(hex(message.finish(1)),
              "74000000 10000506 01000000 00000000 "
              "00000000 00000000 00000000 00000000 "           // ifinfomsg
              "14000300 706c3068 62367364 67683930 69303900 "  // IFLA_IFNAME "pl0hb6sdgh90i09"
              "08000500 03000000 08001c00 09000000 "           // IFLA_LINK, IFLA_NET_NS_FD
              "0a000100 02000000 00050000 08000400 dc050000 "  // IFLA_ADDRESS, IFLA_MTU 1500
              "1c001280 0c000100 6d616376 6c616e00 "           // IFLA_LINKINFO: IFLA_INFO_KIND "macvlan"
              "0c000280 08000100 04000000 ");                  // IFLA_INFO_DATA: MACVLAN_MODE_BRIDGE
}

TEST(CniNetlinkTest, BroadcastQueueOfAMacvlan_IsAskedForOnlyWhereItIsGiven) {
    auto attachment = macvlan();
    attachment.endpoint.mode = "vepa";
    attachment.broadcast_queue = 2000;
    auto message = create_macvlan_request(attachment, 3, 9);
    const auto bytes = message.finish(1);
    EXPECT_EQ(hex(bytes.subspan(bytes.size() - 20)), "14000280 08000100 02000000 08000700 d0070000 ");
}

TEST(CniNetlinkTest, ModesOfAMacvlan_HaveTheKernelsNumbers) {
    for (const auto& [name, number] : {std::pair("private", 1U), {"vepa", 2U}, {"bridge", 4U}, {"passthru", 8U}}) {
        EXPECT_EQ(macvlan_mode_number(name), number);
        EXPECT_EQ(macvlan_mode_name(number), name);
    }
    EXPECT_EQ(macvlan_mode_name(16), "") << "mode source is none of the reference plugin's";
}

TEST(CniNetlinkTest, RouteOfALan_NeedsOnlinkOutsideItsSubnetOnly) {
    const auto lan = *Ipv4Prefix::parse("172.20.7.0/24");
    const auto flags = [&](const char* gateway) {
        Route route;
        route.gateway = *Ipv4Address::parse(gateway);
        auto message = add_route_request(7, route, Ipv4Address(), lan);
        return std::to_integer<unsigned>(message.finish(1)[NLMSG_HDRLEN + offsetof(rtmsg, rtm_flags)]);
    };
    EXPECT_EQ(flags("172.20.7.254"), 0U);
    EXPECT_EQ(flags("10.1.2.3"), unsigned{RTNH_F_ONLINK});
}

TEST(CniNetlinkTest, RouteWithoutAnyGateway_GoesToTheLink) {
    auto message = add_route_request(7, Route(), Ipv4Address(), *Ipv4Prefix::parse("172.20.7.0/24"));
    EXPECT_EQ(hex(message.finish(1)),
              "2c000000 18000506 01000000 00000000 02000000 fe030001 00000000 "
              "08000100 00000000 08000400 07000000 ");  // RTA_DST, RTA_OIF
}

TEST(CniNetlinkTest, BringUp_SetsNothingButTheFlagAndTheAlias) {
    auto message = bring_up_request(7, "abc");
    EXPECT_EQ(hex(message.finish(1)),
              "28000000 13000500 01000000 00000000 "
              "00000000 07000000 01000000 01000000 "  // ifindex, IFF_UP, change IFF_UP
              "07001400 61626300 ");                  // IFLA_IFALIAS
}

TEST(CniNetlinkTest, Attributes_AreVisitedWithoutTheirFlags) {
    const auto bytes = bytes_of({6, 0, 1, 0x80, 0xaa, 0xbb, 0, 0, 8, 0, 2, 0, 1, 0, 0, 0});
    std::vector<std::pair<unsigned, std::size_t>> seen;
    const auto walked =
        for_each_attribute(bytes, [&](std::uint16_t type, auto value) { seen.emplace_back(type, value.size()); });
    EXPECT_TRUE(walked);
    EXPECT_EQ(seen, (std::vector<std::pair<unsigned, std::size_t>>{{1, 2}, {2, 4}}));
}

TEST(CniNetlinkTest, AttributeLongerThanItsMessage_IsAnError) {
    const auto ignore = [](std::uint16_t, std::span<const std::byte>) {};
    EXPECT_FALSE(for_each_attribute(bytes_of({9, 0, 1, 0, 1, 0, 0, 0}), ignore));
    EXPECT_FALSE(for_each_attribute(bytes_of({3, 0, 1, 0}), ignore));
    EXPECT_TRUE(for_each_attribute(bytes_of({4, 0, 1, 0}), ignore));
}

TEST(CniNetlinkTest, ValueOfAnotherSize_IsZero) {
    EXPECT_EQ(attribute_value<std::uint32_t>(bytes_of({1, 0, 0, 0})), 1U);
    EXPECT_EQ(attribute_value<std::uint32_t>(bytes_of({1, 0, 0})), 0U);
    EXPECT_EQ(attribute_string(bytes_of({'v', 'e', 't', 'h', 0})), "veth");
    EXPECT_EQ(attribute_string(bytes_of({'v', 'e'})), "ve");
}

// Against the kernel: every namespace has a loopback, and asking needs no privilege.
TEST(CniNetlinkTest, Loopback_IsFoundAndAMissingLinkIsNot) {
    auto socket = RtSocket::open();
    ASSERT_TRUE(socket) << socket.error().message;
    const auto loopback = find_link(*socket, "lo");
    ASSERT_TRUE(loopback) << loopback.error().message;
    ASSERT_TRUE(*loopback);
    EXPECT_EQ((*loopback)->index, 1);
    const auto missing = find_link(*socket, "pl-not-there");
    ASSERT_TRUE(missing) << missing.error().message;
    EXPECT_FALSE(*missing);
}

TEST(CniNetlinkTest, RefusedRequest_CarriesTheErrnoOfTheKernel) {
    auto socket = RtSocket::open();
    ASSERT_TRUE(socket) << socket.error().message;
    const auto replies = socket->request(delete_link_request(0x7ffffff0));
    ASSERT_FALSE(replies);
    EXPECT_TRUE(replies.error().code == ENODEV || replies.error().code == EPERM) << replies.error().message;
}

}  // namespace
}  // namespace podlane::cni
