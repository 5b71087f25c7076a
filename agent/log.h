// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "maps/base/result.h"

namespace podlane::log {

enum class Level { debug, info, warning, error };
enum class Format { text, json };

[[nodiscard]] Result<Level> parse_level(std::string_view text);    // debug | info | warning | error
[[nodiscard]] Result<Format> parse_format(std::string_view text);  // text | json

// Once, before the first message.
void configure(Level level, Format format);
[[nodiscard]] bool enabled(Level level);
// One line on stderr: time (RFC 3339, UTC), level, message.
void write(Level level, std::string_view message);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(Level::debug)) {
        write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
    }
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
    write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace podlane::log
