// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace podlane {

// Foreign text as a part of one line: control characters, which would move a terminal's cursor, become '?'.
[[nodiscard]] inline std::string without_controls(std::string_view text) {
    std::string result(text);
    for (char& c : result) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            c = '?';
        }
    }
    return result;
}

// The same as a part of a message: what is long is cut.
[[nodiscard]] inline std::string printable(std::string_view text) {
    constexpr std::size_t longest = 200;
    const auto result = without_controls(text.substr(0, longest));
    return text.size() > longest ? result + "..." : result;
}

}  // namespace podlane
