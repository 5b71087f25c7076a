// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

// ICMP echo (RFC 792) as it passes through a raw socket.
namespace podlane {

struct Echo {
    std::uint16_t identifier = 0;
    std::uint16_t sequence = 0;
    std::uint64_t nonce = 0;  // the payload: what only the receiver of the request can know

    bool operator==(const Echo&) const = default;
};

inline constexpr std::size_t echo_size = 16;  // bytes of ICMP: header and nonce

// The request from its ICMP header on, with its checksum.
[[nodiscard]] std::array<std::uint8_t, echo_size> echo_request(const Echo& echo);

// What an echo reply carries. `packet` begins with its IPv4 header, as a raw socket delivers it. Nothing: it is no
// reply, is cut off, or its checksum is wrong.
[[nodiscard]] std::optional<Echo> parse_echo_reply(std::span<const std::uint8_t> packet);

}  // namespace podlane
