// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/frame.h"

#include <algorithm>
#include <cstddef>

namespace podlane::prog {
namespace {

constexpr std::uint8_t protocol_icmp = 1;
constexpr std::uint8_t protocol_tcp = 6;
constexpr std::uint8_t protocol_udp = 17;

template <typename... Visitors>
struct Overloaded : Visitors... {
    using Visitors::operator()...;
};

void put8(Bytes& out, std::uint32_t value) {
    out.push_back(static_cast<std::uint8_t>(value & 0xffU));
}
void put16(Bytes& out, std::uint32_t value) {
    put8(out, value >> 8U);
    put8(out, value);
}
void put32(Bytes& out, std::uint32_t value) {
    put16(out, value >> 16U);
    put16(out, value);
}
void put(Bytes& out, const Bytes& bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
}
void put(Bytes& out, const MacAddress& mac) {
    out.insert(out.end(), mac.bytes().begin(), mac.bytes().end());
}
void put(Bytes& out, const Ethernet& ethernet) {
    put(out, ethernet.destination);
    put(out, ethernet.source);
    put16(out, ethernet.type);
}

std::uint8_t protocol_of(const Transport& transport) {
    return std::visit(
        Overloaded{[](const Udp&) { return protocol_udp; }, [](const Tcp&) { return protocol_tcp; },
                   [](const Icmp&) { return protocol_icmp; }, [](const OtherProtocol& other) { return other.number; }},
        transport);
}

// Over the pseudo header (RFC 768, RFC 9293) and the segment, whose checksum field is zero.
std::uint16_t transport_checksum(const Ipv4& ip, std::uint8_t protocol, const Bytes& segment) {
    Bytes covered;
    put32(covered, ip.source.host());
    put32(covered, ip.destination.host());
    put16(covered, protocol);
    put16(covered, static_cast<std::uint32_t>(segment.size()));
    put(covered, segment);
    return internet_checksum(covered);
}

Bytes segment(const Ipv4& ip, const Udp& udp, const Bytes& payload) {
    Bytes out;
    put16(out, udp.source_port);
    put16(out, udp.destination_port);
    put16(out, udp.length.value_or(static_cast<std::uint16_t>(8 + payload.size())));
    put16(out, 0);
    put(out, payload);
    const auto computed = transport_checksum(ip, protocol_udp, out);
    // A sum of zero is sent as its other form, since zero says that there is none.
    write16(out, 6, udp.checksum.value_or(computed == 0 ? 0xffff : computed));
    return out;
}

Bytes segment(const Ipv4& ip, const Tcp& tcp, const Bytes& payload) {
    Bytes out;
    put16(out, tcp.source_port);
    put16(out, tcp.destination_port);
    put32(out, 0x11223344);  // sequence number
    put32(out, (tcp.flags & tcp_flag::ack) != 0 ? 0x55667788 : 0);
    put8(out, 5U << 4U);  // header length in words
    put8(out, tcp.flags);
    put16(out, 0xfaf0);  // window
    put32(out, 0);       // checksum, urgent pointer
    put(out, payload);
    write16(out, 16, transport_checksum(ip, protocol_tcp, out));
    return out;
}

Bytes segment(const Ipv4& /*ip*/, const Icmp& icmp, const Bytes& payload) {
    Bytes out;
    put8(out, icmp.type);
    put8(out, icmp.code);
    put16(out, 0);
    put16(out, icmp.id);
    put16(out, icmp.sequence);
    put(out, payload);
    write16(out, 2, internet_checksum(out));
    return out;
}

Bytes segment(const Ipv4& /*ip*/, const OtherProtocol& /*other*/, const Bytes& payload) {
    return payload;
}

Bytes ipv4_packet(const Ipv4& ip, std::uint8_t protocol, const Bytes& content) {
    const std::size_t header_length = 20 + ip.options.size();
    Bytes out;
    put8(out, static_cast<std::uint32_t>(ip.version << 4U) |
                  ip.header_words.value_or(static_cast<std::uint8_t>(header_length / 4)));
    put8(out, ip.tos);
    put16(out, ip.total_length.value_or(static_cast<std::uint16_t>(header_length + content.size())));
    put16(out, ip.id);
    put16(out, ip.fragment);
    put8(out, ip.ttl);
    put8(out, protocol);
    put16(out, 0);
    put32(out, ip.source.host());
    put32(out, ip.destination.host());
    put(out, ip.options);
    write16(out, 10, ip.checksum.value_or(internet_checksum(out)));
    put(out, content);
    return out;
}

}  // namespace

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

MacAddress mac(std::string_view text) {
    return MacAddress::parse(text).value();
}

Bytes ip_bytes(const Frame& frame) {
    const Bytes content =
        std::visit([&](const auto& transport) { return segment(frame.ip, transport, frame.payload); }, frame.transport);
    return ipv4_packet(frame.ip, protocol_of(frame.transport), content);
}

Bytes bytes(const Frame& frame) {
    Bytes out;
    put(out, frame.ethernet);
    put(out, ip_bytes(frame));
    return out;
}

Bytes encapsulated(const Tunnel& tunnel, const Bytes& inner_frame) {
    Bytes vxlan;
    put32(vxlan, tunnel.flags);
    put32(vxlan, (tunnel.vni << 8U) | tunnel.reserved);
    put(vxlan, inner_frame);
    return bytes(Frame{tunnel.ethernet, tunnel.ip, tunnel.udp, vxlan});
}

Bytes bytes(const Arp& arp) {
    Bytes out;
    put(out, arp.ethernet);
    put16(out, arp.hardware);
    put16(out, arp.protocol);
    put8(out, arp.hardware_length);
    put8(out, arp.protocol_length);
    put16(out, arp.operation);
    put(out, arp.sender_mac);
    put32(out, arp.sender.host());
    put(out, arp.target_mac);
    put32(out, arp.target.host());
    return out;
}

Bytes quoted(const Frame& packet) {
    Bytes out = ip_bytes(packet);
    out.resize(std::min<std::size_t>(out.size(), 20 + packet.ip.options.size() + 8));
    return out;
}

Bytes pattern(std::size_t count) {
    Bytes out(count);
    for (std::size_t i = 0; i < count; ++i) {
        out[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
    }
    return out;
}

std::uint16_t internet_checksum(std::span<const std::uint8_t> data) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < data.size(); ++i) {
        sum += i % 2 == 0 ? std::uint32_t{data[i]} << 8U : data[i];
    }
    while (sum > 0xffff) {
        sum = (sum & 0xffffU) + (sum >> 16U);
    }
    return static_cast<std::uint16_t>(~sum & 0xffffU);
}

std::uint16_t read16(const Bytes& data, std::size_t offset) {
    return static_cast<std::uint16_t>((data.at(offset) << 8U) | data.at(offset + 1));
}

void write16(Bytes& data, std::size_t offset, std::uint16_t value) {
    data.at(offset) = static_cast<std::uint8_t>(value >> 8U);
    data.at(offset + 1) = static_cast<std::uint8_t>(value & 0xffU);
}

void write_macs(Bytes& frame, const MacAddress& destination, const MacAddress& source) {
    std::ranges::copy(destination.bytes(), frame.begin());
    std::ranges::copy(source.bytes(), frame.begin() + 6);
}

}  // namespace podlane::prog
