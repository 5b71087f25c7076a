// SPDX-License-Identifier: Apache-2.0
#include "agent/observe/exposition.h"

#include <cmath>
#include <iterator>

#include <fmt/format.h>

namespace podlane {
namespace {

constexpr std::string_view name_of(Exposition::Type type) {
    switch (type) {
        case Exposition::Type::counter:
            return "counter";
        case Exposition::Type::gauge:
            return "gauge";
        case Exposition::Type::histogram:
            return "histogram";
    }
    return "untyped";
}

// What would end a label's value, or the line. Whatever is no UTF-8 the reader would refuse the whole text for.
void append_escaped(std::string& text, std::string_view value) {
    for (const char c : value) {
        if (c == '\\' || c == '"') {
            text += '\\';
            text += c;
        } else if (c == '\n') {
            text += "\\n";
        } else {
            text += static_cast<unsigned char>(c) < 0x80 ? c : '?';
        }
    }
}

}  // namespace

void Exposition::family(std::string_view name, Type type, std::string_view help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, name_of(type));
}

void Exposition::sample(Labels labels, double value) {
    part("", labels, value);
}

void Exposition::part(std::string_view suffix, Labels labels, double number) {
    text_ += name_;
    text_ += suffix;
    char separator = '{';
    for (const auto& [label, text] : labels) {
        text_ += separator;
        text_ += label;
        text_ += "=\"";
        append_escaped(text_, text);
        text_ += '"';
        separator = ',';
    }
    if (labels.size() > 0) {
        text_ += '}';
    }
    text_ += ' ';
    value(number);
    text_ += '\n';
}

// Counts are told in full: at six digits a counter would seem to stand still.
void Exposition::value(double number) {
    constexpr double largest_exact = 9007199254740992.0;  // 2^53
    if (std::abs(number) < largest_exact && std::trunc(number) == number) {
        fmt::format_to(std::back_inserter(text_), "{}", static_cast<long long>(number));
    } else if (std::isinf(number)) {
        text_ += number > 0 ? "+Inf" : "-Inf";
    } else {
        fmt::format_to(std::back_inserter(text_), "{}", number);
    }
}

}  // namespace podlane
