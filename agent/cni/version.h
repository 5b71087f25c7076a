// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace podlane::cni {

// A version of the CNI specification.
struct Version {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned patch = 0;

    [[nodiscard]] static std::optional<Version> parse(std::string_view text);  // "1.0.0", nothing else
    [[nodiscard]] std::string text() const;
    constexpr auto operator<=>(const Version&) const = default;
};

inline constexpr Version version_0_3_1{0, 3, 1};
inline constexpr Version version_0_4_0{0, 4, 0};
inline constexpr Version version_1_0_0{1, 0, 0};
inline constexpr Version version_1_1_0{1, 1, 0};

inline constexpr std::array supported_versions{version_0_3_1, version_0_4_0, version_1_0_0, version_1_1_0};
inline constexpr Version newest_version = supported_versions.back();

[[nodiscard]] bool is_supported(Version version);
// The newest version not after `wanted` that podlane and a plugin that says `theirs` both speak.
[[nodiscard]] std::optional<Version> common_version(Version wanted, std::span<const std::string> theirs);

}  // namespace podlane::cni
