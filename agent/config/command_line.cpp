// SPDX-License-Identifier: Apache-2.0
#include "agent/config/command_line.h"

#include <algorithm>
#include <vector>

#include <CLI/CLI.hpp>

namespace podlane {
namespace {

std::string check_level(const std::string& text) {
    const auto level = log::parse_level(text);
    return level ? std::string() : level.error().message;
}

std::string check_format(const std::string& text) {
    const auto format = log::parse_format(text);
    return format ? std::string() : format.error().message;
}

void add_flags(CLI::App& app, Overrides& flags) {
    app.add_option("--config", flags.config, "Configuration file (default: /etc/podlane/podlane.yaml, if there)")
        ->type_name("FILE");
    app.add_option("--node-name", flags.node_name, "This node's name in the cluster")->type_name("NAME");
    app.add_option("--run-dir", flags.run_dir, "Socket and endpoint records")->type_name("DIR");
    app.add_option("--bpffs", flags.bpffs, "Where maps and programs are pinned")->type_name("DIR");
    app.add_option("--state-file", flags.state_file, "Cluster state from this file or directory")->type_name("PATH");
    app.add_option("--underlay", flags.underlay, "Device that carries the overlay")->type_name("DEV");
    app.add_option("--log-level", flags.log_level, "debug, info, warning or error")
        ->type_name("LEVEL")
        ->check(CLI::Validator(check_level, ""));
    app.add_option("--log-format", flags.log_format, "text or json")
        ->type_name("FORMAT")
        ->check(CLI::Validator(check_format, ""));
}

std::string check_feature(const std::string& text) {
    const auto feature = parse_feature(text);
    return feature ? std::string() : feature.error().message;
}

// A group without a name is not shown.
void add_hidden_flags(CLI::App& app, std::vector<std::string>& without) {
    app.add_option("--without-feature", without)
        ->group("")
        ->allow_extra_args(false)
        ->check(CLI::Validator(check_feature, ""));
}

FeatureSet features_of(const std::vector<std::string>& names) {
    FeatureSet features;
    for (const auto& name : names) {
        if (const auto feature = parse_feature(name)) {
            features.insert(*feature);
        }
    }
    return features;
}

// An empty value is as good as none, as in the environment.
void drop_empty(Overrides& flags) {
    for (auto* value : {&flags.config, &flags.node_name, &flags.run_dir, &flags.bpffs, &flags.state_file,
                        &flags.underlay, &flags.log_level, &flags.log_format}) {
        if (*value && (*value)->empty()) {
            value->reset();
        }
    }
}

}  // namespace

std::expected<Invocation, Exit> parse_command_line(std::span<const std::string> arguments) {
    CLI::App app("The agent of podlane, a pod network for Kubernetes: one per node.", "podlane-agent");
    Invocation invocation;
    bool check_config = false;
    std::vector<std::string> without;
    add_flags(app, invocation.flags);
    add_hidden_flags(app, without);
    auto* check = app.add_flag("--check-config", check_config, "Check the configuration and exit");
    app.set_version_flag("--version", "podlane-agent " PODLANE_VERSION);
    auto* cleanup = app.add_subcommand("cleanup", "Remove everything that podlane owns on this node, and exit");
    cleanup->add_flag("--dry-run", invocation.dry_run, "Only tell what would be removed");
    cleanup->fallthrough();
    app.require_subcommand(0, 1);

    // CLI11 takes the arguments from the back.
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    try {
        app.parse(reversed);
    } catch (const CLI::CallForHelp&) {
        return std::unexpected(Exit{0, (cleanup->parsed() ? cleanup : &app)->help()});
    } catch (const CLI::CallForVersion& version) {
        return std::unexpected(Exit{0, std::string(version.what()) + '\n'});
    } catch (const CLI::ParseError& error) {
        return std::unexpected(Exit{2, fmt::format("podlane-agent: {} (see --help)\n", error.what())});
    }
    if (check_config && cleanup->parsed()) {
        return std::unexpected(
            Exit{2, fmt::format("podlane-agent: {} does not go with cleanup (see --help)\n", check->get_name())});
    }
    drop_empty(invocation.flags);
    invocation.without = features_of(without);
    if (cleanup->parsed()) {
        invocation.command = AgentCommand::cleanup;
    } else if (check_config) {
        invocation.command = AgentCommand::check_config;
    }
    return invocation;
}

}  // namespace podlane
