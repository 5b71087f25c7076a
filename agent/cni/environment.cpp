// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/environment.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include <fmt/ranges.h>

#include "agent/cni/endpoint.h"

namespace podlane::cni {
namespace {

// Which variables a command cannot do without. CNI_PATH is where the IPAM plugin is looked for, so every command that
// delegates needs it.
struct CommandRule {
    std::string_view name;
    Command command;
    std::array<std::string_view, 4> required;
};

constexpr std::array command_rules{
    CommandRule{"ADD", Command::add, {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}},
    CommandRule{"DEL", Command::del, {"CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH", ""}},
    CommandRule{"CHECK", Command::check, {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}},
    CommandRule{"GC", Command::gc, {"CNI_PATH", "", "", ""}},
    CommandRule{"STATUS", Command::status, {"CNI_PATH", "", "", ""}},
    CommandRule{"VERSION", Command::version, {"", "", "", ""}},
};

std::string value_of(const Environment& environment, std::string_view name) {
    const auto found = environment.find(std::string(name));
    return found == environment.end() ? std::string() : found->second;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const auto end = std::min(text.find(separator), text.size());
        if (end > 0) {
            parts.emplace_back(text.substr(0, end));
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

Outcome<std::map<std::string, std::string>> parse_args(std::string_view text) {
    std::map<std::string, std::string> args;
    for (const auto& pair : split(text, ';')) {
        const auto equals = pair.find('=');
        if (equals == std::string::npos || equals == 0) {
            return refuse(Code::invalid_environment, "CNI_ARGS: \"{}\" is not KEY=VALUE", pair);
        }
        args[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    return args;
}

Outcome<void> check_required(const CommandRule& rule, const Environment& environment) {
    std::vector<std::string_view> missing;
    for (const auto name : rule.required) {
        if (!name.empty() && value_of(environment, name).empty()) {
            missing.push_back(name);
        }
    }
    if (!missing.empty()) {
        return refuse(Code::invalid_environment, "{} needs {}, not set", rule.name, fmt::join(missing, ", "));
    }
    return {};
}

Outcome<void> check_names(const Invocation& invocation) {
    if (!invocation.container_id.empty() && !is_valid_container_id(invocation.container_id)) {
        return refuse(Code::invalid_environment, "CNI_CONTAINERID \"{}\" is not a container ID of at most {} bytes",
                      invocation.container_id, max_container_id);
    }
    if (!invocation.if_name.empty() && !is_valid_interface_name(invocation.if_name)) {
        return refuse(Code::invalid_environment,
                      "CNI_IFNAME \"{}\" is not an interface name of at most 15 letters, digits or _.@-",
                      invocation.if_name);
    }
    return {};
}

}  // namespace

Outcome<Invocation> parse_environment(const Environment& environment) {
    const std::string command = value_of(environment, "CNI_COMMAND");
    if (command.empty()) {
        return refuse(Code::invalid_environment, "CNI_COMMAND is not set");
    }
    const auto* const rule = std::ranges::find(command_rules, command, &CommandRule::name);
    if (rule == command_rules.end()) {
        return refuse(Code::invalid_environment, "CNI_COMMAND \"{}\" is not a CNI command", command);
    }
    Invocation invocation;
    invocation.command = rule->command;
    invocation.environment = environment;
    if (rule->command == Command::version) {
        return invocation;
    }
    invocation.container_id = value_of(environment, "CNI_CONTAINERID");
    invocation.netns = value_of(environment, "CNI_NETNS");
    invocation.if_name = value_of(environment, "CNI_IFNAME");
    invocation.path = split(value_of(environment, "CNI_PATH"), ':');
    auto checked = check_required(*rule, environment);
    if (checked) {
        checked = check_names(invocation);
    }
    if (!checked) {
        return std::unexpected(checked.error());
    }
    auto args = parse_args(value_of(environment, "CNI_ARGS"));
    if (!args) {
        return std::unexpected(args.error());
    }
    invocation.args = std::move(*args);
    return invocation;
}

}  // namespace podlane::cni
