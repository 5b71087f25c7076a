// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/plugin.h"

#include <nlohmann/json.hpp>

#include "agent/cni/agent.h"
#include "agent/cni/commands.h"
#include "agent/cni/config.h"
#include "agent/cni/ipam.h"
#include "agent/cni/links.h"

namespace podlane::cni {
namespace {

using nlohmann::json;

std::string print(const json& object) {
    return object.dump(4, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace) + "\n";
}

Response respond(const Outcome<json>& outcome, Version version) {
    if (!outcome) {
        return {1, print(make_error(outcome.error(), version))};
    }
    return {0, outcome->is_null() ? std::string() : print(*outcome)};
}

Outcome<json> nothing_more(const Outcome<void>& outcome) {
    return outcome ? Outcome<json>(json()) : std::unexpected(outcome.error());
}

json versions(Version asked) {
    json supported = json::array();
    for (const auto version : supported_versions) {
        supported.push_back(version.text());
    }
    return {{"cniVersion", asked.text()}, {"supportedVersions", supported}};
}

Outcome<json> run_command(const Invocation& invocation, const NetworkConfig& config) {
    KernelLinks links;
    PluginIpam plugin_ipam(invocation, config);
    NoIpam no_ipam;
    Ipam& ipam = config.ipam_type.empty() || is_adopted(invocation, config) ? static_cast<Ipam&>(no_ipam) : plugin_ipam;
    SocketAgent agent(config.run_dir);
    const Ports ports{links, ipam, agent};
    switch (invocation.command) {
        case Command::add:
            return add(invocation, config, ports);
        case Command::del:
            return nothing_more(remove(invocation, config, ports));
        case Command::check:
            return nothing_more(check(invocation, config, ports));
        case Command::gc:
            return nothing_more(collect_garbage(config, ports));
        case Command::status:
            return nothing_more(status(ports));
        case Command::version:
            break;  // answered before there is a configuration
    }
    return versions(config.version);
}

}  // namespace

Response run_plugin(const Environment& environment, const std::function<Result<std::string>()>& read_input) {
    const auto invocation = parse_environment(environment);
    if (!invocation) {
        return respond(std::unexpected(invocation.error()), newest_version);
    }
    const auto input = read_input();
    const Version version = peek_version(input.value_or(std::string())).value_or(newest_version);
    if (invocation->command == Command::version) {
        return respond(versions(version), version);
    }
    if (!input) {
        return respond(refuse_because(Code::io_failure, input.error()), version);
    }
    const auto config = parse_config(*input, invocation->command);
    if (!config) {
        return respond(std::unexpected(config.error()), version);
    }
    return respond(run_command(*invocation, *config), version);
}

}  // namespace podlane::cni
