// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "maps/base/address.h"

// Packets, built from what stands in them. Lengths and checksums come out right unless a test sets them: they are
// computed here from scratch, by RFC 1071, sharing nothing with the BPF programs. All numbers in host byte order.
namespace podlane::prog {

using Bytes = std::vector<std::uint8_t>;

// Of a literal; a typing error ends the program.
[[nodiscard]] Ipv4Address address(std::string_view text);
[[nodiscard]] MacAddress mac(std::string_view text);

inline constexpr std::uint16_t ethertype_ipv4 = 0x0800;
inline constexpr std::uint16_t ethertype_arp = 0x0806;

struct Ethernet {
    MacAddress destination;
    MacAddress source;
    std::uint16_t type = ethertype_ipv4;
};

inline constexpr std::uint16_t dont_fragment = 0x4000;
inline constexpr std::uint16_t more_fragments = 0x2000;

struct Ipv4 {
    Ipv4Address source;
    Ipv4Address destination;
    std::uint8_t tos = 0;
    std::uint8_t ttl = 64;
    std::uint16_t id = 0x4242;
    std::uint16_t fragment = dont_fragment;  // flags, and the offset in units of 8 bytes
    Bytes options = {};                      // a multiple of four bytes
    std::uint8_t version = 4;
    std::optional<std::uint8_t> header_words = {};
    std::optional<std::uint16_t> total_length = {};
    std::optional<std::uint16_t> checksum = {};
};

namespace tcp_flag {
inline constexpr std::uint8_t fin = 0x01;
inline constexpr std::uint8_t syn = 0x02;
inline constexpr std::uint8_t rst = 0x04;
inline constexpr std::uint8_t psh = 0x08;
inline constexpr std::uint8_t ack = 0x10;
}  // namespace tcp_flag

struct Tcp {
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::uint8_t flags = tcp_flag::ack;
};

struct Udp {
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    std::optional<std::uint16_t> length = {};
    std::optional<std::uint16_t> checksum = {};
};

namespace icmp_type {
inline constexpr std::uint8_t echo_reply = 0;
inline constexpr std::uint8_t unreachable = 3;
inline constexpr std::uint8_t echo = 8;
inline constexpr std::uint8_t time_exceeded = 11;
inline constexpr std::uint8_t parameter_problem = 12;
inline constexpr std::uint8_t timestamp = 13;
}  // namespace icmp_type

struct Icmp {
    std::uint8_t type = icmp_type::echo;
    std::uint8_t code = 0;
    std::uint16_t id = 0;        // an error: unused
    std::uint16_t sequence = 0;  // an error: the next hop's MTU
};

// A protocol of which nothing but the payload is known here.
struct OtherProtocol {
    std::uint8_t number = 0;
};

using Transport = std::variant<Udp, Tcp, Icmp, OtherProtocol>;

// An Ethernet frame with an IPv4 packet in it.
struct Frame {
    Ethernet ethernet;
    Ipv4 ip;
    Transport transport;
    Bytes payload = {};
};
[[nodiscard]] Bytes bytes(const Frame& frame);
// From the IP header on.
[[nodiscard]] Bytes ip_bytes(const Frame& frame);

// What stands in front of an Ethernet frame in VXLAN (RFC 7348).
struct Tunnel {
    Ethernet ethernet;
    Ipv4 ip;
    Udp udp;
    std::uint32_t flags = 0x08000000;
    std::uint32_t vni = 1;
    std::uint8_t reserved = 0;  // the byte behind the VNI
};
[[nodiscard]] Bytes encapsulated(const Tunnel& tunnel, const Bytes& inner_frame);

struct Arp {
    Ethernet ethernet;
    std::uint16_t operation = 1;
    MacAddress sender_mac;
    Ipv4Address sender;
    MacAddress target_mac = {};
    Ipv4Address target;
    std::uint16_t hardware = 1;
    std::uint16_t protocol = ethertype_ipv4;
    std::uint8_t hardware_length = 6;
    std::uint8_t protocol_length = 4;
};
[[nodiscard]] Bytes bytes(const Arp& arp);

// The IP header of `packet` and the first eight bytes behind it: what an ICMP error quotes (RFC 792).
[[nodiscard]] Bytes quoted(const Frame& packet);
// `count` bytes that differ from their neighbours.
[[nodiscard]] Bytes pattern(std::size_t count);
// One's complement sum of 16-bit words, complemented; an odd last byte counts as the high half of a word.
[[nodiscard]] std::uint16_t internet_checksum(std::span<const std::uint8_t> data);

[[nodiscard]] std::uint16_t read16(const Bytes& data, std::size_t offset);
void write16(Bytes& data, std::size_t offset, std::uint16_t value);
// Replaces the Ethernet addresses at the start of a frame, as neighbour output does.
void write_macs(Bytes& frame, const MacAddress& destination, const MacAddress& source);

}  // namespace podlane::prog
