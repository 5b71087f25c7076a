// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace podlane {

// Base 64 of RFC 4648, chapter 4, padded; white space in it is skipped. None: it is not that.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);
// The same, in one line.
[[nodiscard]] std::string encode_base64(std::string_view bytes);

}  // namespace podlane
