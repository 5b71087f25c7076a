// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "agent/text/text_input.h"

namespace podlane {

// libyaml's scanner takes time by the square of the brackets that are open. Its parser refuses 1,000 levels, but
// only once they have been scanned.
inline constexpr long most_yaml_brackets = 10'000;

// Stands between the input and libyaml, to know the line of a byte that it could not decode.
class YamlFeed {
public:
    explicit YamlFeed(TextInput& input) : input_(input) {}

    // libyaml's read handler: 1 for success.
    static int pull(void* data, unsigned char* buffer, std::size_t size, std::size_t* size_read) {
        auto& feed = *static_cast<YamlFeed*>(data);
        *size_read = feed.input_.read({reinterpret_cast<char*>(buffer), size});
        feed.remember({reinterpret_cast<const char*>(buffer), *size_read});
        return feed.input_.error() == 0 && feed.open_brackets_ <= most_yaml_brackets ? 1 : 0;
    }

    [[nodiscard]] const TextInput& input() const { return input_; }
    [[nodiscard]] bool too_deep() const { return open_brackets_ > most_yaml_brackets; }
    [[nodiscard]] std::size_t line_of(std::size_t offset) const {
        const auto end = std::min(offset < offset_ ? 0 : offset - offset_, recent_.size());
        return line_ + lines_in(std::string_view(recent_).substr(0, end));
    }

private:
    static std::size_t lines_in(std::string_view text) {
        return static_cast<std::size_t>(std::ranges::count(text, '\n'));
    }

    // The last two blocks: libyaml may still be decoding the one before the last.
    void remember(std::string_view block) {
        const std::string_view dropped = std::string_view(recent_).substr(0, recent_.size() - last_size_);
        line_ += lines_in(dropped);
        offset_ += dropped.size();
        recent_.erase(0, dropped.size());
        recent_ += block;
        last_size_ = block.size();
        for (const char c : block) {
            open_brackets_ += c == '[' || c == '{' ? 1 : 0;
            open_brackets_ -= c == ']' || c == '}' ? 1 : 0;
        }
    }

    TextInput& input_;
    std::string recent_;
    std::size_t last_size_ = 0;
    std::size_t offset_ = 0;  // of recent_ in the input
    std::size_t line_ = 1;    // of its first byte
    long open_brackets_ = 0;
};

}  // namespace podlane
