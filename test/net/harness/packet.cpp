// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/packet.h"

#include <algorithm>

namespace podlane::net {
namespace {

constexpr std::size_t ethernet_size = 14;
constexpr std::size_t ipv4_size = 20;
constexpr std::size_t udp_size = 8;
constexpr std::size_t vxlan_size = 8;

void put8(Bytes& out, std::uint8_t value) {
    out.push_back(value);
}

void put16(Bytes& out, std::uint16_t value) {
    out.push_back(static_cast<std::uint8_t>(value >> 8U));
    out.push_back(static_cast<std::uint8_t>(value & 0xffU));
}

void put32(Bytes& out, std::uint32_t value) {
    put16(out, static_cast<std::uint16_t>(value >> 16U));
    put16(out, static_cast<std::uint16_t>(value & 0xffffU));
}

void append(Bytes& out, ByteView more) {
    out.insert(out.end(), more.begin(), more.end());
}

std::uint16_t get16(ByteView bytes, std::size_t at) {
    return static_cast<std::uint16_t>((bytes[at] << 8U) | bytes[at + 1]);
}

std::uint32_t get32(ByteView bytes, std::size_t at) {
    return (std::uint32_t{get16(bytes, at)} << 16U) | get16(bytes, at + 2);
}

void set16(Bytes& out, std::size_t at, std::uint16_t value) {
    out[at] = static_cast<std::uint8_t>(value >> 8U);
    out[at + 1] = static_cast<std::uint8_t>(value & 0xffU);
}

// RFC 1071, over any number of bytes.
std::uint16_t internet_checksum(ByteView bytes, std::uint32_t sum = 0) {
    for (std::size_t at = 0; at < bytes.size(); at += 2) {
        sum += at + 1 < bytes.size() ? get16(bytes, at) : static_cast<std::uint32_t>(bytes[at] << 8U);
        sum = (sum & 0xffffU) + (sum >> 16U);
    }
    return static_cast<std::uint16_t>(~sum & 0xffffU);
}

MacAddress mac_at(ByteView frame, std::size_t at) {
    std::array<std::uint8_t, 6> bytes{};
    std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at), bytes.size(), bytes.begin());
    return MacAddress(bytes);
}

Bytes copy_of(ByteView bytes) {
    return {bytes.begin(), bytes.end()};
}

// Ports and payload of what follows the IP header.
void decode_transport(ByteView data, Packet& packet) {
    const bool first = (packet.ip.fragment & 0x1fffU) == 0;
    const bool has_ports = packet.ip.protocol == protocol_udp || packet.ip.protocol == protocol_tcp;
    if (!first || !has_ports || data.size() < udp_size) {
        packet.payload = copy_of(data);
        return;
    }
    packet.udp = UdpPorts{get16(data, 0), get16(data, 2)};
    if (packet.ip.protocol == protocol_udp) {
        packet.udp_checksum = get16(data, 6);
        packet.payload = copy_of(data.subspan(udp_size));
    } else {
        packet.payload = copy_of(data);
    }
}

}  // namespace

Bytes ethernet_frame(const Ethernet& header, ByteView payload) {
    Bytes frame;
    append(frame, header.destination.bytes());
    append(frame, header.source.bytes());
    put16(frame, header.type);
    append(frame, payload);
    return frame;
}

Bytes ipv4_packet(const Ipv4Header& header, ByteView payload) {
    Bytes packet;
    put8(packet, 0x45);
    put8(packet, header.tos);
    put16(packet, static_cast<std::uint16_t>(ipv4_size + payload.size()));
    put16(packet, header.id);
    put16(packet, header.fragment);
    put8(packet, header.ttl);
    put8(packet, header.protocol);
    put16(packet, 0);
    put32(packet, header.source.host());
    put32(packet, header.destination.host());
    set16(packet, 10, internet_checksum(packet));
    append(packet, payload);
    return packet;
}

Bytes udp_packet(const Ipv4Header& header, UdpPorts ports, ByteView payload, UdpChecksum checksum) {
    const auto length = static_cast<std::uint16_t>(udp_size + payload.size());
    Bytes datagram;
    put16(datagram, ports.source);
    put16(datagram, ports.destination);
    put16(datagram, length);
    put16(datagram, 0);
    append(datagram, payload);
    if (checksum == UdpChecksum::computed) {
        Bytes pseudo;
        put32(pseudo, header.source.host());
        put32(pseudo, header.destination.host());
        put16(pseudo, protocol_udp);
        put16(pseudo, length);
        append(pseudo, datagram);
        const std::uint16_t sum = internet_checksum(pseudo);
        set16(datagram, 6, sum == 0 ? 0xffff : sum);
    }
    return ipv4_packet(header, datagram);
}

Bytes icmp_packet(const Ipv4Header& header, const IcmpHeader& icmp, ByteView payload) {
    Bytes message;
    put8(message, icmp.type);
    put8(message, icmp.code);
    put16(message, 0);
    put32(message, icmp.rest);
    append(message, payload);
    set16(message, 2, internet_checksum(message));
    return ipv4_packet(header, message);
}

Bytes vxlan_message(std::uint32_t flags, std::uint32_t vni, ByteView inner_frame) {
    Bytes message;
    put32(message, flags);
    put32(message, vni << 8U);
    append(message, inner_frame);
    return message;
}

std::vector<Bytes> fragment_in_two(ByteView ipv4, std::size_t first) {
    const ByteView payload = ipv4.subspan(ipv4_size);
    Ipv4Header header{Ipv4Address::from_host(get32(ipv4, 12)),
                      Ipv4Address::from_host(get32(ipv4, 16)),
                      ipv4[9],
                      ipv4[8],
                      ipv4[1],
                      get16(ipv4, 4),
                      ip_more_fragments};
    std::vector<Bytes> fragments = {ipv4_packet(header, payload.first(first))};
    header.fragment = static_cast<std::uint16_t>(first / 8);
    fragments.push_back(ipv4_packet(header, payload.subspan(first)));
    return fragments;
}

std::uint16_t ethertype_of(ByteView frame) {
    return frame.size() < ethernet_size ? 0 : get16(frame, 12);
}

std::optional<Packet> decode_ipv4_frame(ByteView frame) {
    if (ethertype_of(frame) != ethertype_ipv4 || frame.size() < ethernet_size + ipv4_size) {
        return std::nullopt;
    }
    const ByteView ip = frame.subspan(ethernet_size);
    const std::size_t header_size = (ip[0] & 0xfU) * std::size_t{4};
    const std::size_t total = get16(ip, 2);
    if (ip[0] >> 4U != 4 || header_size < ipv4_size || ip.size() < header_size) {
        return std::nullopt;
    }
    Packet packet;
    packet.ethernet = {mac_at(frame, 0), mac_at(frame, 6), ethertype_ipv4};
    packet.ip = {Ipv4Address::from_host(get32(ip, 12)),
                 Ipv4Address::from_host(get32(ip, 16)),
                 ip[9],
                 ip[8],
                 ip[1],
                 get16(ip, 4),
                 get16(ip, 6)};
    packet.total_length = static_cast<std::uint16_t>(total);
    packet.ip_checksum_ok = internet_checksum(ip.first(header_size)) == 0;
    const std::size_t end = std::clamp(total, header_size, ip.size());
    decode_transport(ip.subspan(header_size, end - header_size), packet);
    return packet;
}

std::optional<VxlanPacket> decode_vxlan_frame(ByteView frame, std::uint16_t port) {
    auto outer = decode_ipv4_frame(frame);
    if (!outer || outer->ip.protocol != protocol_udp || !outer->udp || outer->udp->destination != port ||
        outer->payload.size() < vxlan_size) {
        return std::nullopt;
    }
    const ByteView message = outer->payload;
    auto inner = decode_ipv4_frame(message.subspan(vxlan_size));
    if (!inner) {
        return std::nullopt;
    }
    VxlanPacket packet{{}, get32(message, 0), get32(message, 4) >> 8U, copy_of(message.subspan(vxlan_size)), *inner};
    packet.outer = *std::move(outer);
    return packet;
}

}  // namespace podlane::net
