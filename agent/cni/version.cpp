// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/version.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include <fmt/format.h>

namespace podlane::cni {

std::optional<Version> Version::parse(std::string_view text) {
    std::array<unsigned, 3> parts{};
    const char* at = text.data();
    const char* const end = text.data() + text.size();
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i > 0) {
            if (at == end || *at != '.') {
                return std::nullopt;
            }
            ++at;
        }
        const auto [next, error] = std::from_chars(at, end, parts[i]);
        if (error != std::errc{}) {
            return std::nullopt;
        }
        at = next;
    }
    if (at != end) {
        return std::nullopt;
    }
    return Version{parts[0], parts[1], parts[2]};
}

std::string Version::text() const {
    return fmt::format("{}.{}.{}", major, minor, patch);
}

bool is_supported(Version version) {
    return std::ranges::find(supported_versions, version) != supported_versions.end();
}

std::optional<Version> common_version(Version wanted, std::span<const std::string> theirs) {
    std::optional<Version> best;
    for (const auto& text : theirs) {
        const auto version = Version::parse(text);
        if (version && is_supported(*version) && *version <= wanted && (!best || *version > *best)) {
            best = version;
        }
    }
    return best;
}

}  // namespace podlane::cni
