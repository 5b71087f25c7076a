// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor/checks.h"

#include <algorithm>
#include <array>

namespace podlane::doctor {

std::vector<Finding> check_all(const Facts& facts) {
    constexpr auto checks = std::to_array({&check_firewall, &check_reverse_paths, &check_foreign_macs, &check_dhcp,
                                           &check_pod_routes, &check_kube_proxy});
    std::vector<Finding> findings;
    for (const auto& check : checks) {
        auto found = check(facts);
        std::ranges::move(found, std::back_inserter(findings));
    }
    for (const auto& gap : facts.gaps) {
        findings.push_back({.id = "doctor", .severity = Severity::warning, .what = "not looked at", .evidence = gap});
    }
    std::ranges::stable_sort(findings, {}, &Finding::severity);
    return findings;
}

std::vector<Finding> check_status(const Facts& facts) {
    auto findings = check_firewall(facts);
    auto paths = check_reverse_paths(facts);
    std::ranges::move(paths, std::back_inserter(findings));
    std::erase_if(findings, [](const Finding& finding) { return finding.severity != Severity::problem; });
    return findings;
}

}  // namespace podlane::doctor
