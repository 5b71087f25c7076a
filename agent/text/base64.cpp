// SPDX-License-Identifier: Apache-2.0
#include "agent/text/base64.h"

#include <cstdint>

namespace podlane {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
    std::string bytes;
    std::uint32_t bits = 0;
    unsigned digits = 0;
    unsigned padding = 0;
    for (const char c : text) {
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            continue;
        }
        const auto value = alphabet.find(c);
        const bool pads = c == '=' && digits % 4 >= 2;
        if ((value == std::string_view::npos && !pads) || (padding > 0 && !pads)) {
            return std::nullopt;
        }
        padding += pads ? 1 : 0;
        bits = bits << 6 | static_cast<std::uint32_t>(pads ? 0 : value);
        if (++digits % 4 == 0) {
            for (unsigned i = 0; i < 3 - padding; ++i) {
                bytes += static_cast<char>(bits >> (16 - 8 * i) & 0xff);
            }
        }
    }
    return digits % 4 == 0 ? std::optional(bytes) : std::nullopt;
}

std::string encode_base64(std::string_view bytes) {
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const auto group = bytes.substr(at, 3);
        std::uint32_t bits = 0;
        for (std::size_t i = 0; i < 3; ++i) {
            bits = bits << 8 | (i < group.size() ? static_cast<unsigned char>(group[i]) : 0U);
        }
        for (std::size_t digit = 0; digit < 4; ++digit) {
            text += digit <= group.size() ? alphabet[bits >> (18 - 6 * digit) & 0x3f] : '=';
        }
    }
    return text;
}

}  // namespace podlane
