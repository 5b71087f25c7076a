// SPDX-License-Identifier: Apache-2.0
#include "agent/link/shim.h"

#include <array>

namespace podlane {

// FNV-1a over both names, with a byte between them that neither has, finished with MurmurHash3's mixer.
MacAddress shim_mac(std::string_view node_name, std::string_view network) {
    constexpr std::uint64_t prime = 0x100000001b3U;
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const std::string_view part : {std::string_view("shim"), node_name, network}) {
        for (const char c : part) {
            hash = (hash ^ static_cast<std::uint8_t>(c)) * prime;
        }
        hash *= prime;
    }
    hash = (hash ^ (hash >> 33U)) * 0xff51afd7ed558ccdU;
    hash ^= hash >> 33U;
    std::array<std::uint8_t, 6> bytes{};
    for (auto& byte : bytes) {
        byte = static_cast<std::uint8_t>(hash);
        hash >>= 8U;
    }
    bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0xfcU) | 0x02U);  // unicast, locally administered
    return MacAddress(bytes);
}

}  // namespace podlane
