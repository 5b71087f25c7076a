// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/doctor_command.h"

#include <algorithm>
#include <ostream>

#include <nlohmann/json.hpp>

#include "agent/ctl/output.h"
#include "agent/doctor/checks.h"

namespace podlane::ctl {
namespace {

using doctor::Finding;
using doctor::Severity;

std::string looked_at(const doctor::Facts& facts) {
    const auto pods = facts.veth_pods.size() + facts.pod_routes.size();
    return fmt::format(
        "{} packet filter tables, firewalld, reverse path filtering, DHCP clients, {} macvlan networks{}, routes and "
        "rules for {} pods, kube-proxy's cluster CIDR",
        facts.tables.size(), facts.macvlans.size(), facts.probes ? " and their LANs" : "", pods);
}

void print_text(const Context& context, const std::vector<Finding>& findings, const std::string& looked) {
    std::ostream& out = *context.out;
    for (const auto& finding : findings) {
        out << doctor::to_text(finding);
    }
    const auto problems =
        std::ranges::count_if(findings, [](const Finding& finding) { return finding.severity != Severity::note; });
    if (context.headers == Headers::shown) {
        out << (problems == 0 ? "nothing found" : fmt::format("{} found", problems)) << "; looked at: " << looked
            << '\n';
    }
}

}  // namespace

Outcome<ExitStatus> doctor_report(const Context& context, const DoctorOptions& options) {
    const auto config = load_config({.config = options.config, .run_dir = options.run_dir}, read_host_facts());
    if (!config) {
        return failure(ExitStatus::error, "{}", config.error().message);
    }
    const auto facts = doctor::collect(*config, options.probing);
    const auto findings = doctor::check_all(facts);
    if (context.format == OutputFormat::json || context.format == OutputFormat::yaml) {
        Json records = Json::array();
        std::ranges::transform(findings, std::back_inserter(records), &doctor::to_json);
        print_document(context, records);
    } else {
        print_text(context, findings, looked_at(facts));
    }
    const bool well =
        std::ranges::all_of(findings, [](const Finding& finding) { return finding.severity == Severity::note; });
    return well ? ExitStatus::ok : ExitStatus::degraded;
}

}  // namespace podlane::ctl
