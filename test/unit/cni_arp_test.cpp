// SPDX-License-Identifier: Apache-2.0
// Frames of RFC 5227 byte by byte.
#include "agent/cni/arp.h"

#include <gtest/gtest.h>

namespace podlane::cni {
namespace {

const MacAddress own = *MacAddress::parse("02:00:00:00:00:05");
const MacAddress other = *MacAddress::parse("02:00:00:00:00:99");
const Ipv4Address address = *Ipv4Address::parse("172.20.7.51");
const Ipv4Address neighbour = *Ipv4Address::parse("172.20.7.200");

std::string hex(const ArpFrame& frame) {
    std::string text;
    for (const auto byte : frame) {
        text += fmt::format("{:02x}", byte);
    }
    return text;
}

// The same as a reply, to `own`.
ArpFrame as_reply(ArpFrame frame) {
    frame[21] = 2;
    return frame;
}

TEST(CniArpTest, Probe_HasNoSenderAddress) {
    EXPECT_EQ(hex(arp_request(own, Ipv4Address(), address)),
              "ffffffffffff0200000000050806"  // to all, from us, ARP
              "0001080006040001"              // Ethernet, IPv4, request
              "02000000000500000000"          // our MAC, no address
              "000000000000ac140733");        // 172.20.7.51
}

TEST(CniArpTest, Announcement_AsksForItsOwnAddress) {
    EXPECT_EQ(hex(arp_request(own, address, address)),
              "ffffffffffff0200000000050806"
              "0001080006040001"
              "020000000005ac140733"
              "000000000000ac140733");
}

TEST(CniArpTest, WhoeverHasTheAddressOrProbesForIt_IsARival) {
    EXPECT_EQ(rival_in(as_reply(arp_request(other, address, Ipv4Address())), address, own), other);
    EXPECT_EQ(rival_in(arp_request(other, address, neighbour), address, own), other) << "asks others with it";
    EXPECT_EQ(rival_in(arp_request(other, address, address), address, own), other) << "announces it";
    EXPECT_EQ(rival_in(arp_request(other, Ipv4Address(), address), address, own), other) << "probes at this moment";
}

TEST(CniArpTest, ReplyToOurMacAlone_IsAnAnswer) {
    const ArpQuestion question{.sender = address, .target = neighbour};
    auto reply = as_reply(arp_request(other, neighbour, address));
    EXPECT_FALSE(is_answer_in(reply, question, own)) << "to all, as a proxy or an announcement is sent";
    std::ranges::copy(own.bytes(), reply.begin());
    EXPECT_FALSE(is_answer_in(reply, question, own)) << "names no target MAC";
    std::ranges::copy(own.bytes(), reply.begin() + 32);
    EXPECT_TRUE(is_answer_in(reply, question, own));
    EXPECT_FALSE(is_answer_in(reply, question, other));
    EXPECT_FALSE(is_answer_in(reply, {.sender = address, .target = address}, own));
    EXPECT_FALSE(is_answer_in(reply, {.sender = neighbour, .target = neighbour}, own));
    EXPECT_FALSE(is_answer_in(std::span(reply).first(41), question, own));
    reply[21] = 1;
    EXPECT_FALSE(is_answer_in(reply, question, own)) << "a request";
}

TEST(CniArpTest, WhatConcernsOthersOrIsOurOwn_IsNoRival) {
    EXPECT_FALSE(rival_in(arp_request(other, neighbour, address), address, own)) << "asks for the address";
    EXPECT_FALSE(rival_in(arp_request(other, Ipv4Address(), neighbour), address, own)) << "probes for another";
    EXPECT_FALSE(rival_in(arp_request(own, Ipv4Address(), address), address, own)) << "our probe, sent back";
    EXPECT_FALSE(rival_in(as_reply(arp_request(other, Ipv4Address(), address)), address, own));
}

TEST(CniArpTest, FrameThatIsNoArpOfIpv4_IsNoRival) {
    const auto whole = arp_request(other, address, address);
    for (const std::size_t changed : {12U, 14U, 16U, 18U, 19U, 20U}) {
        auto damaged = whole;
        damaged[changed] ^= 0x40U;
        EXPECT_FALSE(rival_in(damaged, address, own)) << "byte " << changed;
    }
    for (std::size_t length = 0; length < whole.size(); ++length) {
        EXPECT_FALSE(rival_in(std::span(whole).first(length), address, own)) << length << " bytes";
    }
}

}  // namespace
}  // namespace podlane::cni
