// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "maps/base/address.h"

// Whole packets, written and read without any of the product's code, so that they can judge it.
// Numbers are in host byte order; the functions below turn them.
namespace podlane::net {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

constexpr std::uint16_t ethertype_ipv4 = 0x0800;
constexpr std::uint16_t ethertype_arp = 0x0806;
constexpr std::uint8_t protocol_icmp = 1;
constexpr std::uint8_t protocol_tcp = 6;
constexpr std::uint8_t protocol_udp = 17;
constexpr std::uint32_t vxlan_flags = 0x08000000;  // RFC 7348: the I bit, nothing else
constexpr std::uint16_t ip_more_fragments = 0x2000;

// The ECN field, the low two bits of TOS (RFC 3168).
enum class Ecn : std::uint8_t { not_ect = 0, ect1 = 1, ect0 = 2, ce = 3 };

struct Ethernet {
    MacAddress destination;
    MacAddress source;
    std::uint16_t type = ethertype_ipv4;
};

struct Ipv4Header {
    Ipv4Address source;
    Ipv4Address destination;
    std::uint8_t protocol = protocol_udp;
    std::uint8_t ttl = 64;
    std::uint8_t tos = 0;
    std::uint16_t id = 0;
    std::uint16_t fragment = 0;  // flags and offset (in units of 8 bytes), as in the header

    [[nodiscard]] Ecn ecn() const { return static_cast<Ecn>(tos & 3U); }
};

struct UdpPorts {
    std::uint16_t source = 0;
    std::uint16_t destination = 0;
};

// Writers. Lengths and checksums are right; a UDP checksum of 0 ("none") is chosen with UdpChecksum::none.
enum class UdpChecksum : std::uint8_t { computed, none };
[[nodiscard]] Bytes ethernet_frame(const Ethernet& header, ByteView payload);
[[nodiscard]] Bytes ipv4_packet(const Ipv4Header& header, ByteView payload);
[[nodiscard]] Bytes udp_packet(const Ipv4Header& header, UdpPorts ports, ByteView payload,
                               UdpChecksum checksum = UdpChecksum::computed);
// `rest`: the second word of the header; of "fragmentation needed" the next hop's MTU (RFC 1191).
struct IcmpHeader {
    std::uint8_t type = 0;
    std::uint8_t code = 0;
    std::uint32_t rest = 0;
};
[[nodiscard]] Bytes icmp_packet(const Ipv4Header& header, const IcmpHeader& icmp, ByteView payload);
// The payload of the outer UDP datagram: header and inner frame.
[[nodiscard]] Bytes vxlan_message(std::uint32_t flags, std::uint32_t vni, ByteView inner_frame);
// Cuts an IPv4 packet in two after `first` bytes of its payload, a multiple of 8.
[[nodiscard]] std::vector<Bytes> fragment_in_two(ByteView ipv4, std::size_t first);

// Readers. Nothing is returned for what is too short or no IPv4.
struct Packet {
    Ethernet ethernet;
    Ipv4Header ip;
    std::uint16_t total_length = 0;
    bool ip_checksum_ok = false;
    std::optional<UdpPorts> udp;  // also the ports of TCP; absent in later fragments and other protocols
    std::uint16_t udp_checksum = 0;
    Bytes payload;  // after UDP's header, else after IP's

    [[nodiscard]] bool is_fragment() const { return (ip.fragment & 0x3fffU) != 0; }
};
[[nodiscard]] std::optional<Packet> decode_ipv4_frame(ByteView frame);
[[nodiscard]] std::uint16_t ethertype_of(ByteView frame);

struct VxlanPacket {
    Packet outer;
    std::uint32_t flags = 0;
    std::uint32_t vni = 0;
    Bytes inner_frame;
    Packet inner;
};
// Nothing unless the frame is UDP to `port` with an inner IPv4 frame.
[[nodiscard]] std::optional<VxlanPacket> decode_vxlan_frame(ByteView frame, std::uint16_t port);

}  // namespace podlane::net
