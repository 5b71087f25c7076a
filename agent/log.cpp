// SPDX-License-Identifier: Apache-2.0
#include "agent/log.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <string>

#include <fmt/chrono.h>

namespace podlane::log {
namespace {

Level threshold = Level::info;
Format output_format = Format::text;

constexpr std::array<std::string_view, 4> level_names = {"debug", "info", "warning", "error"};

std::string json_escaped(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            escaped += '\\';
            escaped += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            escaped += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
            escaped += c;
        }
    }
    return escaped;
}

}  // namespace

Result<Level> parse_level(std::string_view text) {
    for (std::size_t i = 0; i < level_names.size(); ++i) {
        if (text == level_names[i]) {
            return static_cast<Level>(i);
        }
    }
    return fail("\"{}\" is not a log level (debug, info, warning, error)", text);
}

Result<Format> parse_format(std::string_view text) {
    if (text == "text") {
        return Format::text;
    }
    if (text == "json") {
        return Format::json;
    }
    return fail("\"{}\" is not a log format (text, json)", text);
}

void configure(Level level, Format format) {
    threshold = level;
    output_format = format;
}

bool enabled(Level level) {
    return level >= threshold;
}

void write(Level level, std::string_view message) {
    if (!enabled(level)) {
        return;
    }
    const auto now = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const auto milliseconds = now.time_since_epoch().count() % 1000;
    const auto time = fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(now)),
                                  milliseconds);
    const auto name = level_names[static_cast<std::size_t>(level)];
    const auto line = output_format == Format::json
                          ? fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"message\":\"{}\"}}\n", time, name,
                                        json_escaped(message))
                          : fmt::format("{} {:<7} {}\n", time, name, message);
    // A log that cannot be written has nowhere to complain.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace podlane::log
