// SPDX-License-Identifier: Apache-2.0
#include "agent/config/values.h"

#include <arpa/inet.h>

#include <limits>

namespace podlane {
namespace {

std::string_view type_of(const ConfigNode& node) {
    switch (node.type) {
        case ConfigNode::Type::map:
            return "an object";
        case ConfigNode::Type::list:
            return "a list";
        case ConfigNode::Type::scalar:
            break;
    }
    switch (node.kind) {
        case ScalarKind::null:
            return "empty";
        case ScalarKind::boolean:
            return "a boolean";
        case ScalarKind::number:
            return "a number";
        case ScalarKind::text:
            break;
    }
    return "text";
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    const bool good = error == std::errc{} && end == text.data() + text.size() && port != 0;
    return good ? std::optional(port) : std::nullopt;
}

bool is_address(const std::string& host) {
    in6_addr ipv6{};
    return Ipv4Address::parse(host).has_value() || inet_pton(AF_INET6, host.c_str(), &ipv6) == 1;
}

std::optional<ListenAddress> parse_listen(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        return std::nullopt;
    }
    std::string host(text.substr(0, colon));
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) {
        host = host.substr(1, host.size() - 2);
    }
    const auto port = parse_port(text.substr(colon + 1));
    const bool ipv6 = host.find(':') != std::string::npos;
    if (!port || ipv6 != bracketed || !is_address(host)) {
        return std::nullopt;
    }
    return ListenAddress{host, *port};
}

std::optional<PortRange> parse_port_range(std::string_view text) {
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) {
        return std::nullopt;
    }
    const auto low = parse_port(text.substr(0, dash));
    const auto high = parse_port(text.substr(dash + 1));
    return low && high && *low <= *high ? std::optional(PortRange{*low, *high}) : std::nullopt;
}

}  // namespace

Result<void> read_members(const ConfigValue& map, std::span<const KnownKey> known) {
    if (map.node.type != ConfigNode::Type::map) {
        return map.refuse("must be an object, not {}", type_of(map.node));
    }
    for (const auto& member : map.node.members) {
        auto path = map.path.empty() ? member.key : fmt::format("{}.{}", map.path, member.key);
        const auto handled = std::ranges::find(known, member.key, &KnownKey::key);
        if (handled == known.end()) {
            std::vector<std::string_view> keys;
            std::ranges::transform(known, std::back_inserter(keys), &KnownKey::key);
            return fail("{}:{}: unknown key {} (known here: {})", map.file, member.line, printable(path),
                        fmt::join(keys, ", "));
        }
        if (member.value->is_null()) {
            continue;
        }
        if (auto stored = handled->handler({map.file, std::move(path), *member.value}); !stored) {
            return stored;
        }
    }
    return {};
}

Result<void> read_elements(const ConfigValue& list, const ValueHandler& each) {
    if (list.node.type != ConfigNode::Type::list) {
        return list.refuse("must be a list, not {}", type_of(list.node));
    }
    for (std::size_t i = 0; i < list.node.elements.size(); ++i) {
        if (auto read = each({list.file, fmt::format("{}[{}]", list.path, i), *list.node.elements[i]}); !read) {
            return read;
        }
    }
    return {};
}

Result<std::string> text_of(const ConfigValue& value) {
    if (value.node.type != ConfigNode::Type::scalar || value.node.kind != ScalarKind::text) {
        return value.refuse("must be text, not {}", type_of(value.node));
    }
    if (printable(value.node.text) != value.node.text) {
        return value.refuse("is too long, or has control characters in it");
    }
    return value.node.text;
}

Result<std::uint64_t> whole_number(const ConfigValue& value) {
    if (value.node.type != ConfigNode::Type::scalar || value.node.kind != ScalarKind::number) {
        return value.refuse("must be a whole number, not {}", type_of(value.node));
    }
    const std::string& text = value.node.text;
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return value.refuse("{} is not a whole number", printable(text));
    }
    return number;
}

ValueHandler text_into(std::string& target) {
    return [&target](const ConfigValue& value) -> Result<void> {
        auto text = text_of(value);
        if (!text) {
            return std::unexpected(text.error());
        }
        target = std::move(*text);
        return {};
    };
}

ValueHandler absolute_path_into(std::string& target) {
    return [&target](const ConfigValue& value) -> Result<void> {
        auto text = text_of(value);
        if (!text) {
            return std::unexpected(text.error());
        }
        if (!text->empty() && !text->starts_with('/')) {
            return value.refuse("\"{}\" is not an absolute path", *text);
        }
        target = std::move(*text);
        return {};
    };
}

ValueHandler flag_into(bool& target) {
    return [&target](const ConfigValue& value) -> Result<void> {
        if (value.node.type != ConfigNode::Type::scalar || value.node.kind != ScalarKind::boolean) {
            return value.refuse("must be true or false, not {}", type_of(value.node));
        }
        target = value.node.text.starts_with('t') || value.node.text.starts_with('T');
        return {};
    };
}

ValueHandler texts_into(std::vector<std::string>& target) {
    return [&target](const ConfigValue& value) {
        target.clear();
        return read_elements(value, [&target](const ConfigValue& element) -> Result<void> {
            return text_into(target.emplace_back())(element);
        });
    };
}

ValueHandler prefixes_into(std::vector<Ipv4Prefix>& target) {
    return [&target](const ConfigValue& value) {
        target.clear();
        return read_elements(value, [&target](const ConfigValue& element) -> Result<void> {
            const auto text = text_of(element);
            if (!text) {
                return std::unexpected(text.error());
            }
            const auto prefix = Ipv4Prefix::parse(*text);
            if (!prefix) {
                return element.refuse("{}", prefix.error().message);
            }
            target.push_back(*prefix);
            return {};
        });
    };
}

ValueHandler port_range_into(PortRange& target) {
    return [&target](const ConfigValue& value) -> Result<void> {
        const auto text = text_of(value);
        if (!text) {
            return std::unexpected(text.error());
        }
        const auto range = parse_port_range(*text);
        if (!range) {
            return value.refuse("\"{}\" is not LOW-HIGH with ports from 1 to 65535", *text);
        }
        target = *range;
        return {};
    };
}

ValueHandler listen_into(std::optional<ListenAddress>& target) {
    return [&target](const ConfigValue& value) -> Result<void> {
        const auto text = text_of(value);
        if (!text) {
            return std::unexpected(text.error());
        }
        if (text->empty()) {
            target.reset();
            return {};
        }
        const auto listen = parse_listen(*text);
        if (!listen) {
            return value.refuse("\"{}\" is not ADDRESS:PORT", *text);
        }
        target = listen;
        return {};
    };
}

}  // namespace podlane
