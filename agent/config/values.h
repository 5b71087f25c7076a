// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/config/config.h"
#include "agent/config/config_tree.h"
#include "agent/text/printable.h"

namespace podlane {

// One value of the file, where it stands and what it is called.
struct ConfigValue {
    std::string_view file;
    std::string path;  // "overlay.vni"
    const ConfigNode& node;

    template <typename... Args>
    [[nodiscard]] std::unexpected<Error> refuse(fmt::format_string<Args...> format, Args&&... args) const {
        return fail("{}:{}: {}: {}", file, node.line, path, fmt::format(format, std::forward<Args>(args)...));
    }
};

// Checks a value and stores it where it belongs. The target must outlive the handler.
using ValueHandler = std::function<Result<void>(const ConfigValue&)>;
struct KnownKey {
    std::string_view key;
    ValueHandler handler;
};

// Hands each member of a map to its handler. A member without a value is left at its default; an unknown key is an
// error.
[[nodiscard]] Result<void> read_members(const ConfigValue& map, std::span<const KnownKey> known);

[[nodiscard]] ValueHandler text_into(std::string& target);
[[nodiscard]] ValueHandler absolute_path_into(std::string& target);
[[nodiscard]] ValueHandler flag_into(bool& target);
[[nodiscard]] ValueHandler texts_into(std::vector<std::string>& target);
[[nodiscard]] ValueHandler prefixes_into(std::vector<Ipv4Prefix>& target);
[[nodiscard]] ValueHandler port_range_into(PortRange& target);
[[nodiscard]] ValueHandler listen_into(std::optional<ListenAddress>& target);

[[nodiscard]] Result<std::uint64_t> whole_number(const ConfigValue& value);
[[nodiscard]] Result<std::string> text_of(const ConfigValue& value);
// Calls `each` with every element of a list.
[[nodiscard]] Result<void> read_elements(const ConfigValue& list, const ValueHandler& each);

template <typename Number>
[[nodiscard]] ValueHandler number_into(Number& target, std::uint64_t lowest, std::uint64_t highest) {
    return [&target, lowest, highest](const ConfigValue& value) -> Result<void> {
        const auto number = whole_number(value);
        if (!number) {
            return std::unexpected(number.error());
        }
        if (*number < lowest || *number > highest) {
            return value.refuse("{} is out of range ({} to {})", *number, lowest, highest);
        }
        target = static_cast<Number>(*number);
        return {};
    };
}

template <typename Enum>
struct Choice {
    std::string_view text;
    Enum value;
};

// `choices` must outlive the handler.
template <typename Enum>
[[nodiscard]] ValueHandler choice_into(Enum& target, std::span<const Choice<Enum>> choices) {
    return [&target, choices](const ConfigValue& value) -> Result<void> {
        const auto text = text_of(value);
        if (!text) {
            return std::unexpected(text.error());
        }
        const auto found = std::ranges::find(choices, *text, &Choice<Enum>::text);
        if (found == choices.end()) {
            std::vector<std::string_view> names;
            std::ranges::transform(choices, std::back_inserter(names), &Choice<Enum>::text);
            return value.refuse("\"{}\" is none of {}", printable(*text), fmt::join(names, ", "));
        }
        target = found->value;
        return {};
    };
}

}  // namespace podlane
