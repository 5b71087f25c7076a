// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "agent/reconcile/link_actual.h"
#include "agent/reconcile/link_overlay.h"
#include "agent/reconcile/link_plan.h"
#include "agent/reconcile/link_reconciler.h"
#include "agent/reconcile/sysctl.h"

namespace podlane {
namespace {

// Removal of everything, in an order in which no step takes away what a later one names.
Result<std::vector<netlink::Message>> removals(netlink::Socket& socket, const CleanupScope& scope) {
    const auto links = LinkTable::read(socket);
    if (!links) {
        return std::unexpected(links.error());
    }
    const auto* overlay = links->by_name(scope.overlay_device);
    if (overlay != nullptr && !is_own_overlay(*overlay)) {
        overlay = nullptr;
    }
    OwnDevices devices;
    if (overlay != nullptr) {
        devices.made.insert(overlay->ifindex);
    }
    for (const auto& name : scope.pod_devices) {
        if (const auto* link = links->by_name(name)) {
            devices.pods.insert(link->ifindex);
        }
    }
    const auto actual = read_host_objects(socket, devices);
    if (!actual) {
        return std::unexpected(actual.error());
    }
    auto requests = plan_objects(HostObjects{}, *actual, Sweep::remove, *links);
    if (overlay != nullptr) {
        requests.push_back(netlink::delete_link(*overlay));
    }
    for (const auto* other : links->own_overlays(scope.overlay_device)) {
        requests.push_back(netlink::delete_link(*other));
    }
    for (const auto* shim : links->own_shims()) {
        requests.push_back(netlink::delete_link(*shim));
    }
    return requests;
}

void restore(const std::string& key, const std::string& value, CleanupMode mode, CleanupReport& report) {
    const auto actual = read_sysctl(key);
    if (actual && *actual == value) {
        return;
    }
    if (mode == CleanupMode::remove) {
        if (const auto written = write_sysctl(key, value); !written) {
            report.errors.push_back(written.error());
            return;
        }
    }
    report.removed.push_back(fmt::format("set {} back to {}", key, value));
}

}  // namespace

Result<CleanupReport> LinkReconciler::cleanup(const CleanupScope& scope, CleanupMode mode) {
    auto requests = removals(socket_, scope);
    if (!requests) {
        return std::unexpected(requests.error());
    }
    const auto recorded = record_.load();
    CleanupReport report;
    const auto results =
        mode == CleanupMode::remove ? socket_.execute(*requests) : std::vector<Result<void>>(requests->size());
    for (std::size_t index = 0; index < results.size(); ++index) {
        if (results[index]) {
            report.removed.push_back((*requests)[index].label());
        } else {
            report.errors.push_back(results[index].error());
        }
    }
    if (!recorded) {
        report.errors.push_back(recorded.error());
        return report;
    }
    const auto problems = report.errors.size();
    for (const auto& [key, value] : *recorded) {
        restore(key, value, mode, report);
    }
    if (mode == CleanupMode::remove && report.errors.size() == problems) {
        if (const auto discarded = record_.discard(); !discarded) {
            report.errors.push_back(discarded.error());
        }
    }
    return report;
}

}  // namespace podlane
