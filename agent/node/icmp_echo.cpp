// SPDX-License-Identifier: Apache-2.0
#include "agent/node/icmp_echo.h"

namespace podlane {
namespace {

constexpr std::uint8_t type_echo = 8;
constexpr std::uint8_t type_echo_reply = 0;
constexpr std::size_t shortest_ipv4_header = 20;

std::uint16_t read16(std::span<const std::uint8_t> data, std::size_t offset) {
    return static_cast<std::uint16_t>(data[offset] << 8U | data[offset + 1]);
}

void write16(std::span<std::uint8_t> data, std::size_t offset, std::uint16_t value) {
    data[offset] = static_cast<std::uint8_t>(value >> 8U);
    data[offset + 1] = static_cast<std::uint8_t>(value & 0xffU);
}

// RFC 1071, of an even number of bytes: 0xffff over data whose checksum is right.
std::uint16_t internet_sum(std::span<const std::uint8_t> data) {
    std::uint32_t sum = 0;
    for (std::size_t at = 0; at + 1 < data.size(); at += 2) {
        sum += read16(data, at);
    }
    while (sum > 0xffffU) {
        sum = (sum & 0xffffU) + (sum >> 16U);
    }
    return static_cast<std::uint16_t>(sum);
}

}  // namespace

std::array<std::uint8_t, echo_size> echo_request(const Echo& echo) {
    std::array<std::uint8_t, echo_size> bytes{};
    bytes[0] = type_echo;
    write16(bytes, 4, echo.identifier);
    write16(bytes, 6, echo.sequence);
    for (std::size_t word = 0; word < 4; ++word) {
        write16(bytes, 8 + 2 * word, static_cast<std::uint16_t>(echo.nonce >> (48U - 16U * word)));
    }
    write16(bytes, 2, static_cast<std::uint16_t>(~internet_sum(bytes)));
    return bytes;
}

std::optional<Echo> parse_echo_reply(std::span<const std::uint8_t> packet) {
    if (packet.size() < shortest_ipv4_header) {
        return std::nullopt;
    }
    const std::size_t header = std::size_t{packet[0] & 0xfU} * 4;
    if (header < shortest_ipv4_header || packet.size() != header + echo_size) {
        return std::nullopt;
    }
    const auto icmp = packet.subspan(header);
    if (icmp[0] != type_echo_reply || icmp[1] != 0 || internet_sum(icmp) != 0xffff) {
        return std::nullopt;
    }
    Echo echo{.identifier = read16(icmp, 4), .sequence = read16(icmp, 6), .nonce = 0};
    for (std::size_t word = 0; word < 4; ++word) {
        echo.nonce = echo.nonce << 16U | read16(icmp, 8 + 2 * word);
    }
    return echo;
}

}  // namespace podlane
