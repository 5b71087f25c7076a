// SPDX-License-Identifier: Apache-2.0
#include "loader/libbpf_messages.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <deque>
#include <string_view>

namespace podlane {
namespace {

constexpr std::size_t kept = 12;

std::deque<std::string>& lines() {
    static std::deque<std::string> collected;
    return collected;
}

}  // namespace

LibbpfMessages::LibbpfMessages() : previous_(libbpf_set_print(&LibbpfMessages::print)) {
    lines().clear();
}

std::string LibbpfMessages::last() {
    std::string text;
    for (const auto& line : lines()) {
        text += "\n  " + line;
    }
    return text;
}

int LibbpfMessages::print(libbpf_print_level level, const char* format, va_list arguments) {
    if (level == LIBBPF_DEBUG) {
        return 0;
    }
    std::array<char, 4096> buffer{};
    const int length = std::vsnprintf(buffer.data(), buffer.size(), format, arguments);
    std::string_view text(buffer.data(), std::min(buffer.size() - 1, static_cast<std::size_t>(std::max(length, 0))));
    for (auto end = text.find('\n'); !text.empty(); end = text.find('\n')) {
        lines().emplace_back(text.substr(0, end));
        text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    }
    while (lines().size() > kept) {
        lines().pop_front();
    }
    return length;
}

}  // namespace podlane
