// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "maps/base/address.h"

// Names and MACs of devices that are made of other names: the same on every start and in every version, for what was
// made earlier is found by them, and others have the MACs in their neighbour tables. What these give never changes.
namespace podlane {

// FNV-1a over the parts with a zero byte after each, so that "ab", "c" is not "a", "bc"; then the first of the two
// rounds of MurmurHash3's finalizer.
[[nodiscard]] constexpr std::uint64_t name_hash(std::initializer_list<std::string_view> parts) {
    constexpr std::uint64_t prime = 0x100000001b3U;
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const std::string_view part : parts) {
        for (const char c : part) {
            hash = (hash ^ static_cast<std::uint8_t>(c)) * prime;
        }
        hash *= prime;
    }
    hash = (hash ^ (hash >> 33U)) * 0xff51afd7ed558ccdU;
    return hash ^ (hash >> 33U);
}

// The low 48 bits, the lowest byte first; made unicast and locally administered.
[[nodiscard]] constexpr MacAddress local_mac(std::uint64_t hash) {
    std::array<std::uint8_t, 6> bytes{};
    for (auto& byte : bytes) {
        byte = static_cast<std::uint8_t>(hash);
        hash >>= 8U;
    }
    bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0xfcU) | 0x02U);
    return MacAddress(bytes);
}

}  // namespace podlane
