// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace podlane {

// Foreign text as a part of one line of a message: control characters become '?', what is long is cut.
[[nodiscard]] inline std::string printable(std::string_view text) {
    constexpr std::size_t longest = 200;
    std::string result(text.substr(0, longest));
    for (char& c : result) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            c = '?';
        }
    }
    return text.size() > longest ? result + "..." : result;
}

}  // namespace podlane
