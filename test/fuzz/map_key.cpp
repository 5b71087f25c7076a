// SPDX-License-Identifier: Apache-2.0
// Any bytes as the KEY of `agentctl map get`: what is taken for a key has the map's key size and prints as itself.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <nlohmann/json.hpp>

#include "maps/catalog.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto& map : podlane::map_catalog()) {
        const auto key = map.parse_key(text);
        if (!key) {
            continue;
        }
        const auto again = map.parse_key(map.key_json(*key).dump());
        if (key->size() != map.shape.key_size || !again || *again != *key) {
            std::abort();
        }
    }
    return 0;
}
