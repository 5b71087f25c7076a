// SPDX-License-Identifier: Apache-2.0
#include "agent/text/base64.h"

#include <cstdint>

namespace podlane {

std::optional<std::string> decode_base64(std::string_view text) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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

}  // namespace podlane
