// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>

#include <charconv>
#include <string>
#include <string_view>

namespace podlane {

// Tells what is IPv6, and passed over, from what is no address at all.
[[nodiscard]] inline bool is_ipv6_address(std::string_view text) {
    in6_addr address{};
    return inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

// "fd00:57::/64"; host bits may be set.
[[nodiscard]] inline bool is_ipv6_prefix(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos || !is_ipv6_address(text.substr(0, slash))) {
        return false;
    }
    const auto length_text = text.substr(slash + 1);
    unsigned length = 0;
    const auto [end, error] = std::from_chars(length_text.begin(), length_text.end(), length);
    return error == std::errc{} && end == length_text.end() && length <= 128;
}

}  // namespace podlane
