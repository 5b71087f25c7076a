// SPDX-License-Identifier: Apache-2.0
#include "agent/node/icmp_echo.h"

#include <vector>

#include <gtest/gtest.h>

namespace podlane {
namespace {

const Echo sample{.identifier = 0x1234, .sequence = 0x0102, .nonce = 0x1122334455667788};

// What the peer's kernel makes of a request: type 0, the checksum taken forward, an IPv4 header in front.
std::vector<std::uint8_t> reply_to(const Echo& echo, std::size_t header_words = 5) {
    std::vector<std::uint8_t> packet(header_words * 4);
    packet[0] = static_cast<std::uint8_t>(0x40U | header_words);
    const auto request = echo_request(echo);
    packet.insert(packet.end(), request.begin(), request.end());
    const std::size_t icmp = header_words * 4;
    packet[icmp] = 0;
    // RFC 1624: the first word fell by 0x0800, so its complement rises.
    const unsigned sum = (packet[icmp + 2] << 8U) + packet[icmp + 3] + 0x0800U;
    const unsigned folded = (sum & 0xffffU) + (sum >> 16U);
    packet[icmp + 2] = static_cast<std::uint8_t>(folded >> 8U);
    packet[icmp + 3] = static_cast<std::uint8_t>(folded & 0xffU);
    return packet;
}

TEST(IcmpEchoTest, Request_HasItsFieldsAndARightChecksum) {
    const std::array<std::uint8_t, echo_size> expected = {0x08, 0x00, 0x7d, 0x63, 0x12, 0x34, 0x01, 0x02,
                                                          0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};
    const auto request = echo_request(sample);
    for (const std::size_t at : {0U, 1U, 4U, 5U, 6U, 7U, 8U, 9U, 10U, 11U, 12U, 13U, 14U, 15U}) {
        EXPECT_EQ(request.at(at), expected.at(at)) << at;
    }
    unsigned sum = 0;
    for (std::size_t at = 0; at < request.size(); at += 2) {
        sum += static_cast<unsigned>(request.at(at) << 8U | request.at(at + 1));
    }
    EXPECT_EQ((sum & 0xffffU) + (sum >> 16U), 0xffffU);
}

TEST(IcmpEchoTest, Reply_IsReadBehindItsIpHeader) {
    EXPECT_EQ(parse_echo_reply(reply_to(sample)), sample);
    EXPECT_EQ(parse_echo_reply(reply_to(sample, 8)), sample) << "with IP options";
    const Echo zero{};
    EXPECT_EQ(parse_echo_reply(reply_to(zero)), zero);
    const Echo ones{.identifier = 0xffff, .sequence = 0xffff, .nonce = ~std::uint64_t{0}};
    EXPECT_EQ(parse_echo_reply(reply_to(ones)), ones);
}

TEST(IcmpEchoTest, WhatIsNoWholeReply_IsNothing) {
    const auto good = reply_to(sample);
    for (std::size_t length = 0; length < good.size(); ++length) {
        EXPECT_EQ(parse_echo_reply(std::span(good).first(length)), std::nullopt) << length;
    }
    auto longer = good;
    longer.push_back(0);
    EXPECT_EQ(parse_echo_reply(longer), std::nullopt);
    for (std::size_t at = 20; at < good.size(); ++at) {
        auto damaged = good;
        damaged[at] ^= 0x10U;
        EXPECT_EQ(parse_echo_reply(damaged), std::nullopt) << at;
    }
    auto short_header = good;
    short_header[0] = 0x44;
    EXPECT_EQ(parse_echo_reply(short_header), std::nullopt);
    std::vector<std::uint8_t> request(20);
    request[0] = 0x45;
    const auto icmp = echo_request(sample);
    request.insert(request.end(), icmp.begin(), icmp.end());
    EXPECT_EQ(parse_echo_reply(request), std::nullopt) << "a request";
}

}  // namespace
}  // namespace podlane
