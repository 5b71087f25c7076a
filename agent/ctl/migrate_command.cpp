// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/migrate_command.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <ostream>

#include <nlohmann/json.hpp>

#include "agent/config/config.h"
#include "agent/ctl/output.h"
#include "agent/migrate/lock.h"
#include "agent/migrate/plan.h"
#include "agent/migrate/steps.h"
#include "agent/migrate/verify.h"
#include "agent/text/printable.h"

namespace podlane::ctl {
namespace {

using doctor::Finding;
using doctor::Severity;
using migrate::Check;
using migrate::CheckState;
using migrate::Place;
using migrate::Plan;
using migrate::Probe;
using migrate::Stage;

constexpr const char* default_record = "/var/lib/podlane/migration.json";

struct Job {
    Config config;
    Place place;
    Fd lock;  // of a job that changes the node: held as long as it lasts
};

Place place_of(const Context& context, const MigrateOptions& options) {
    Place place{.root = options.root,
                .record = {},
                .run_dir = {},
                .bpffs = {},
                .flannel_device = options.flannel_device,
                .bridge = options.bridge,
                .timeout = context.timeout};
    place.record = options.record ? std::filesystem::path(*options.record) : place.on_node(default_record);
    return place;
}

// What the paths are that the configuration names.
void take_paths(const MigrateOptions& options, const std::string& run_dir, const std::string& bpffs, Place& place) {
    place.run_dir = options.run_dir ? std::filesystem::path(*options.run_dir) : place.on_node(run_dir);
    place.bpffs = options.bpffs ? std::filesystem::path(*options.bpffs) : place.on_node(bpffs);
}

Outcome<void> check_root(const MigrateOptions& options) {
    std::error_code error;
    if (!std::filesystem::path(options.root).is_absolute() || !std::filesystem::is_directory(options.root, error)) {
        return failure(ExitStatus::usage, "--root: \"{}\" is no absolute path of a directory", options.root);
    }
    // In a container that sees the node's processes all would be looked for in the container's files.
    if (options.root == "/" && !std::filesystem::equivalent("/", "/proc/1/root", error) && !error) {
        return failure(ExitStatus::usage,
                       "--root: / is not the root directory of process 1; name where the node's is, "
                       "/host in a pod of kubectl debug");
    }
    // The node's, and not one of the container that this runs in: iptables there waits for the same.
    if (options.root != "/") {
        const auto lock = std::filesystem::path(options.root) / "run/xtables.lock";
        setenv("XTABLES_LOCKFILE", lock.c_str(), 0);
    }
    return {};
}

Outcome<Config> config_of(const MigrateOptions& options, const Place& place) {
    auto host = read_host_facts();
    host.default_config = place.on_node(host.default_config);
    auto config = load_config({.config = options.config}, host);
    if (!config) {
        return failure(ExitStatus::error, "{}", config.error().message);
    }
    return std::move(*config);
}

Outcome<Job> prepare(const Context& context, const MigrateOptions& options) {
    if (const auto checked = check_root(options); !checked) {
        return std::unexpected(checked.error());
    }
    Job job{.config = {}, .place = place_of(context, options), .lock = Fd()};
    auto config = config_of(options, job.place);
    if (!config) {
        return std::unexpected(config.error());
    }
    job.config = std::move(*config);
    take_paths(options, job.config.run_dir, job.config.bpffs, job.place);
    return job;
}

Outcome<Fd> lock_node(const Place& place) {
    auto lock = migrate::lock_out_others(place);
    if (!lock) {
        return failure(ExitStatus::error, "{}", lock.error().message);
    }
    return std::move(*lock);
}

Outcome<Job> prepare_change(const Context& context, const MigrateOptions& options) {
    auto job = prepare(context, options);
    if (!job) {
        return job;
    }
    auto lock = lock_node(job->place);
    if (!lock) {
        return std::unexpected(lock.error());
    }
    job->lock = std::move(*lock);
    return job;
}

bool wants_document(const Context& context) {
    return context.format == OutputFormat::json || context.format == OutputFormat::yaml;
}

migrate::Say sayer(const Context& context) {
    // At once: what comes next may take its time, and prints on stdout by other means.
    return [&context](const std::string& line) { *context.out << without_controls(line) << '\n' << std::flush; };
}

void print_findings(std::ostream& out, const std::vector<Finding>& findings) {
    for (const auto& finding : findings) {
        out << doctor::to_text(finding);
    }
}

void print_plan(const Context& context, const Plan& plan) {
    std::ostream& out = *context.out;
    Table pods({"NAMESPACE", "NAME", "IP", "INTERFACE", "ACTION", "REASON"});
    for (const auto& pod : plan.pods) {
        pods.add({pod.endpoint.name_space, pod.endpoint.name,
                  pod.endpoint.ip.is_unspecified() ? "" : pod.endpoint.ip.to_string(), pod.interface,
                  std::string(to_string(pod.state)), pod.reason});
    }
    pods.print(out, context.headers);
    out << '\n';
    for (const auto& step : plan.steps) {
        out << without_controls(step) << '\n';
    }
    print_findings(out, plan.findings);
    if (context.headers == Headers::shown) {
        const auto problems = std::ranges::count_if(
            plan.findings, [](const Finding& finding) { return finding.severity != Severity::note; });
        out << (problems == 0 ? "nothing stands in the way" : fmt::format("{} in the way", problems)) << '\n';
    }
}

void print_checks(const Context& context, const std::vector<Check>& checks) {
    Table table({"CHECK", "SUBJECT", "STATE", "EVIDENCE", "ACTION"});
    for (const auto& check : checks) {
        table.add({check.id, check.subject, std::string(to_string(check.state)), check.evidence, check.mend});
    }
    table.print(*context.out, context.headers);
}

std::vector<Check> failed_of(std::vector<Check> checks) {
    std::erase_if(checks, [](const Check& check) { return check.state != CheckState::failed; });
    return checks;
}

ExitStatus status_of(bool good) {
    return good ? ExitStatus::ok : ExitStatus::degraded;
}

}  // namespace

Outcome<ExitStatus> migrate_plan(const Context& context, const MigrateOptions& options) {
    const auto job = prepare(context, options);
    if (!job) {
        return std::unexpected(job.error());
    }
    const auto plan = migrate::make_plan(migrate::collect(job->config, job->place, Probe::off));
    if (wants_document(context)) {
        print_document(context, to_json(plan));
    } else {
        print_plan(context, plan);
    }
    return status_of(plan.is_clear());
}

Outcome<ExitStatus> migrate_apply(const Context& context, const MigrateOptions& options) {
    const auto job = prepare_change(context, options);
    if (!job) {
        return std::unexpected(job.error());
    }
    const auto facts = migrate::collect(job->config, job->place, Probe::peers);
    const auto plan = migrate::make_plan(facts);
    if (!plan.is_clear()) {
        print_findings(*context.out, plan.findings);
        return failure(ExitStatus::degraded, "nothing was changed: something stands in the way");
    }
    if (const auto applied = migrate::apply(facts, plan, job->place, sayer(context)); !applied) {
        return failure(ExitStatus::error, "{}", applied.error().message);
    }
    *context.out << "applied; next: agentctl migrate verify\n";
    return ExitStatus::ok;
}

Outcome<ExitStatus> migrate_verify(const Context& context, const MigrateOptions& options) {
    const auto job = prepare(context, options);
    if (!job) {
        return std::unexpected(job.error());
    }
    const auto facts = migrate::collect(job->config, job->place, Probe::peers);
    const auto stage = migrate::stage_of(facts);
    const auto checks = migrate::verify(facts, stage);
    if (wants_document(context)) {
        print_document(context, to_json(checks, stage));
    } else {
        print_checks(context, checks);
    }
    return status_of(have_passed(checks));
}

Outcome<ExitStatus> migrate_commit(const Context& context, const MigrateOptions& options) {
    const auto job = prepare_change(context, options);
    if (!job) {
        return std::unexpected(job.error());
    }
    const auto facts = migrate::collect(job->config, job->place, Probe::peers);
    // Behind the device's deletion the rules are what is left to do.
    const auto stage = migrate::stage_of(facts) == Stage::borrowed ? Stage::borrowed : Stage::switched;
    if (const auto checks = migrate::verify(facts, stage); !have_passed(checks)) {
        print_checks(context, failed_of(checks));
        return failure(ExitStatus::degraded, "nothing was changed: see agentctl migrate verify");
    }
    if (const auto plan = migrate::make_plan(facts); stage == Stage::borrowed && !plan.is_clear()) {
        print_findings(*context.out, plan.findings);
        return failure(ExitStatus::degraded, "nothing was changed: something stands in the way");
    }
    const auto checks = migrate::commit(facts, job->place, sayer(context));
    if (!checks) {
        return failure(ExitStatus::error, "{}", checks.error().message);
    }
    if (!have_passed(*checks)) {
        print_checks(context, failed_of(*checks));
        return failure(ExitStatus::degraded,
                       "the overlay is not as it should be; no rule was removed. Wait and run this again, or go back: "
                       "stop the agent, agentctl migrate rollback");
    }
    *context.out << "committed; the way back: stop the agent, agentctl migrate rollback\n";
    return ExitStatus::ok;
}

Outcome<ExitStatus> migrate_rollback(const Context& context, const MigrateOptions& options) {
    if (const auto checked = check_root(options); !checked) {
        return std::unexpected(checked.error());
    }
    migrate::WayBack way{.place = place_of(context, options), .record = {}, .agent = {}};
    auto record = migrate::read_record(way.place.record);
    if (!record) {
        return failure(ExitStatus::error, "{}", record.error().message);
    }
    way.record = std::move(*record);
    if (way.record) {
        way.agent = way.record->agent;
    } else {
        const auto config = config_of(options, way.place);
        if (!config) {
            return std::unexpected(config.error());
        }
        way.agent = {.run_dir = config->run_dir,
                     .bpffs = config->bpffs,
                     .overlay_device = config->overlay.device,
                     .cni_config_file = config->cni.config_file};
        take_paths(options, way.agent.run_dir, way.agent.bpffs, way.place);
        const auto facts = migrate::collect(*config, way.place, Probe::off);
        if (!facts.flannel) {
            return failure(ExitStatus::not_found,
                           "there is no record {}, and no device of flannel's: nothing to go back to",
                           way.place.record.string());
        }
        *context.out << "no record: nothing was applied; podlane's part goes\n";
    }
    take_paths(options, way.agent.run_dir, way.agent.bpffs, way.place);
    const auto lock = lock_node(way.place);
    if (!lock) {
        return std::unexpected(lock.error());
    }
    if (const auto now = migrate::read_record(way.place.record); !now || *now != way.record) {
        return failure(ExitStatus::error, "{} has changed meanwhile: run this again", way.place.record.string());
    }
    if (const auto done = migrate::roll_back(way, sayer(context)); !done) {
        return failure(ExitStatus::error, "{}", done.error().message);
    }
    return ExitStatus::ok;
}

}  // namespace podlane::ctl
