// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/agentctl.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <ostream>

#include <CLI/CLI.hpp>

#include "agent/ctl/agent_commands.h"
#include "agent/ctl/completion.h"
#include "agent/ctl/doctor_command.h"
#include "agent/ctl/map_commands.h"
#include "agent/ctl/migrate_command.h"
#include "agent/ctl/nat_commands.h"

namespace podlane::ctl {
namespace {

using Action = std::function<Outcome<ExitStatus>()>;

const std::map<std::string, OutputFormat> output_formats = {{"table", OutputFormat::table},
                                                            {"wide", OutputFormat::wide},
                                                            {"json", OutputFormat::json},
                                                            {"yaml", OutputFormat::yaml}};

// The command tree, and what was typed.
class CommandLine {
public:
    CommandLine(std::ostream& out, std::ostream& err) {
        context_.out = &out;
        context_.err = &err;
        app_.name("agentctl");
        app_.require_subcommand(1);
        add_global_flags();
        add_agent_commands();
        add_map_commands();
        add_nat_commands();
        add_doctor();
        add_migrate();
        add_completion();
    }
    CommandLine(const CommandLine&) = delete;
    CommandLine& operator=(const CommandLine&) = delete;
    ~CommandLine() = default;

    ExitStatus run(std::vector<std::string> arguments) {
        std::ranges::reverse(arguments);  // as CLI11 takes them
        try {
            app_.parse(std::move(arguments));
        } catch (const CLI::CallForHelp& help) {
            app_.exit(help, *context_.out, *context_.err);
            return ExitStatus::ok;
        } catch (const CLI::ParseError& error) {
            *context_.err << fmt::format("agentctl: {}; see agentctl --help\n", explain(error));
            return ExitStatus::usage;
        }
        const auto chosen = std::ranges::find_if(actions_, [](const auto& one) { return one.first->parsed(); });
        const auto outcome = chosen->second();
        if (!outcome) {
            *context_.err << fmt::format("agentctl: {}\n", outcome.error().message);
            return outcome.error().status;
        }
        return *outcome;
    }

private:
    // CLI11 says "a subcommand is required" also when there is one that it does not know.
    [[nodiscard]] std::string explain(const CLI::ParseError& error) const {
        const auto rest = app_.remaining(true);
        return rest.empty() ? error.what() : fmt::format("there is no command or option \"{}\"", rest.front());
    }

    // Flags of the whole program, before or after the subcommand (fallthrough).
    void add_global_flags() {
        run_dir_ = app_.add_option("--run-dir", context_.run_dir, "directory of the agent's socket")
                       ->envname("PODLANE_RUN_DIR")
                       ->capture_default_str();
        bpffs_ = app_.add_option("--bpffs", context_.bpffs, "directory of the pinned maps")
                     ->envname("PODLANE_BPFFS")
                     ->capture_default_str();
        app_.add_option_function<std::string>(
                "-o,--output", [this](const std::string& name) { context_.format = output_formats.at(name); },
                "table, wide, json or yaml")
            ->check(CLI::Validator([](const std::string& name) { return check_format(name); }, "FORMAT"));
        app_.add_flag_callback(
            "--no-headers", [this] { context_.headers = Headers::hidden; }, "tables without headers and titles");
        app_.add_option_function<std::string>(
                "--timeout", [this](const std::string& text) { context_.timeout = parse_timeout(text).value(); },
                "how long to wait for the agent: 5, 5s, 500ms")
            ->check(CLI::Validator([](const std::string& text) { return check_timeout(text); }, "TIME"));
    }

    static std::string check_format(const std::string& name) {
        return output_formats.contains(name) ? "" : fmt::format("\"{}\" is none of table, wide, json, yaml", name);
    }
    static std::string check_timeout(const std::string& text) {
        const auto timeout = parse_timeout(text);
        return timeout ? "" : timeout.error().message;
    }

    static CLI::App* group(CLI::App& parent, const std::string& name, const std::string& help) {
        CLI::App* command = parent.add_subcommand(name, help);
        command->fallthrough();
        return command;
    }
    CLI::App* command(CLI::App& parent, const std::string& name, const std::string& help, Action action) {
        CLI::App* leaf = group(parent, name, help);
        actions_.emplace_back(leaf, std::move(action));
        return leaf;
    }

    void add_agent_commands() {
        command(app_, "status", "how the node is doing (exit status 0 ok, 5 degraded, 3 no agent)",
                [this] { return status(context_); });
        CLI::App* node = group(app_, "node", "the nodes of the cluster");
        node->require_subcommand(1);
        command(*node, "list", "every node and the path to it", [this] { return node_list(context_); });
        CLI::App* pod = group(app_, "pod", "the pods of this node");
        pod->require_subcommand(1);
        command(*pod, "list", "every pod and its interface", [this] { return pod_list(context_); });
        CLI::App* link = group(app_, "link", "what podlane owns in the kernel");
        link->require_subcommand(1);
        command(*link, "list", "devices, routes and hooks: wanted against actual",
                [this] { return link_list(context_); });
        command(app_, "version", "versions of agentctl, of the maps' schema and of the agent",
                [this] { return version(context_); });
    }

    void add_map_commands() {
        CLI::App* map = group(app_, "map", "the pinned BPF maps; works without an agent");
        map->require_subcommand(1);
        command(*map, "list", "every map and what it is for", [this] { return map_list(context_); });
        CLI::App* dump = command(*map, "dump", "the entries of the named maps, or of all",
                                 [this] { return map_dump(context_, map_names_, decoding_); });
        dump->add_option("NAME", map_names_, "maps");
        CLI::App* get =
            command(*map, "get", "one entry", [this] { return map_get(context_, map_name_, map_key_, decoding_); });
        get->add_option("NAME", map_name_, "map")->required();
        get->add_option("KEY", map_key_, "as a table prints it, fields with \":\" between, or as JSON prints it")
            ->required();
        for (CLI::App* leaf : {dump, get}) {
            leaf->add_flag_callback("--raw", [this] { decoding_ = Decoding::raw; }, "bytes in hexadecimal");
        }
        command(*map, "stats", "entries, capacity and memory of every map", [this] { return map_stats(context_); });
    }

    void add_nat_commands() {
        CLI::App* nat = group(app_, "nat", "translations of what pods send to the outside; works without an agent");
        nat->require_subcommand(1);
        command(*nat, "list", "every live translation", [this] { return nat_list(context_); });
        command(*nat, "stats", "translations by pod, ports by destination", [this] { return nat_stats(context_); });
    }

    void add_doctor() {
        CLI::App* doctor =
            command(app_, "doctor", "what is wrong on this node, by what it shows, and what mends it", [this] {
                if (run_dir_->count() > 0) {  // or the variable; otherwise the configuration says
                    doctor_.run_dir = context_.run_dir.string();
                }
                return doctor_report(context_, doctor_);
            });
        doctor->footer(
            "Works without an agent, and changes nothing. Exit status 0 nothing or notes, 5 something found.");
        doctor->add_option("--config", doctor_.config, "the agent's configuration file")->type_name("FILE");
        doctor->add_flag_callback(
            "--probe", [this] { doctor_.probing = doctor::Probing::on; },
            "ask the LANs of macvlan networks as well: puts ARP requests on them");
    }

    void add_migrate() {
        CLI::App* migrate = group(app_, "migrate", "takes this node over from flannel with its pods running, or back");
        migrate->require_subcommand(1);
        const auto step = [&](const std::string& name, const std::string& help,
                              Outcome<ExitStatus> (*carry_out)(const Context&, const MigrateOptions&)) {
            add_migrate_options(
                *command(*migrate, name, help, [this, carry_out] { return carry_out(context_, given_migrate()); }));
        };
        step("plan", "what would be done, and what stands in the way; changes nothing", &migrate_plan);
        step("apply", "hands the pods of flannel's bridge to the agent", &migrate_apply);
        step("verify", "whether podlane forwards all that flannel did; changes nothing", &migrate_verify);
        step("commit", "removes flannel's device and rules", &migrate_commit);
        step("rollback", "puts flannel's device and rules back, and removes podlane's; needs a stopped agent",
             &migrate_rollback);
        migrate->footer(
            "In this order; docs/install.md tells the whole. Exit status 0 done or well, 5 something stands in the way "
            "or is not well.");
    }
    void add_migrate_options(CLI::App& step) {
        step.add_option("--config", migrate_.config, "the agent's configuration file")->type_name("FILE");
        step.add_option("--root", migrate_.root, "the node's root file system, in a container")
            ->type_name("DIR")
            ->capture_default_str();
        step.add_option("--record", migrate_.record, "what apply wrote (/var/lib/podlane/migration.json)")
            ->type_name("FILE");
        step.add_option("--flannel-device", migrate_.flannel_device, "the one with the configured VNI and port")
            ->type_name("NAME");
        step.add_option("--bridge", migrate_.bridge, "where flannel's pods are")
            ->type_name("NAME")
            ->capture_default_str();
    }
    // Directories that were not named, nor by variables, are the configuration's.
    MigrateOptions given_migrate() {
        if (run_dir_->count() > 0) {
            migrate_.run_dir = context_.run_dir.string();
        }
        if (bpffs_->count() > 0) {
            migrate_.bpffs = context_.bpffs.string();
        }
        return migrate_;
    }

    void add_completion() {
        CLI::App* completion = group(app_, "completion", "a completion script for a shell");
        completion->require_subcommand(1);
        command(*completion, "bash", "use: source <(agentctl completion bash)", [this] {
            *context_.out << bash_completion(app_);
            return ExitStatus::ok;
        });
    }

    CLI::App app_{"Looks into podlane on this node."};
    Context context_;
    std::vector<std::pair<CLI::App*, Action>> actions_;
    std::vector<std::string> map_names_;
    std::string map_name_;
    std::string map_key_;
    Decoding decoding_ = Decoding::named;
    CLI::Option* run_dir_ = nullptr;
    CLI::Option* bpffs_ = nullptr;
    DoctorOptions doctor_;
    MigrateOptions migrate_;
};

}  // namespace

Result<std::chrono::milliseconds> parse_timeout(std::string_view text) {
    std::string_view number = text;
    double unit = 1000;
    if (number.ends_with("ms")) {
        number.remove_suffix(2);
        unit = 1;
    } else if (number.ends_with('s')) {
        number.remove_suffix(1);
    }
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    constexpr double longest = 24 * 3600 * 1000.0;
    // Written so that "nan" is refused as well.
    if (error != std::errc{} || end != number.data() + number.size() ||
        !(value * unit >= 1 && value * unit <= longest)) {
        return fail("\"{}\" is no time from 1ms to 24 hours (5, 5s, 500ms)", text);
    }
    return std::chrono::milliseconds(static_cast<std::int64_t>(value * unit));
}

ExitStatus run_agentctl(std::vector<std::string> arguments, std::ostream& out, std::ostream& err) {
    CommandLine command_line(out, err);
    const ExitStatus status = command_line.run(std::move(arguments));
    out.flush();
    if (!out) {
        err << "agentctl: the output could not be written\n";
        return ExitStatus::error;
    }
    return status;
}

}  // namespace podlane::ctl
