// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "agent/link/ownership.h"
#include "agent/reconcile/host_move.h"
#include "agent/reconcile/link_actual.h"
#include "agent/reconcile/link_overlay.h"
#include "agent/reconcile/link_plan.h"
#include "agent/reconcile/link_reconciler.h"
#include "agent/reconcile/link_shim.h"
#include "agent/reconcile/sysctl.h"

namespace podlane {
namespace {

std::string line_of(Ipv4Address address, const MoveEnds& ends) {
    return fmt::format("move {} from {} to {}", address, ends.from.name, ends.to.name);
}

Result<std::vector<Ipv4Address>> return_host(netlink::Socket& socket, const MoveEnds& ends, CleanupMode mode) {
    if (mode == CleanupMode::remove) {
        return move_host(socket, ends);
    }
    const auto rows = netlink::list_rows(socket);
    if (!rows) {
        return std::unexpected(rows.error());
    }
    const auto move = plan_host_move(*rows, ends);
    return move ? Result<std::vector<Ipv4Address>>(move->addresses) : std::unexpected(move.error());
}

// What a host has on shims goes back to their masters. The shims of which it could not are returned, by name.
Result<std::set<std::string>> return_hosts(netlink::Socket& socket, CleanupMode mode, CleanupReport& report) {
    const auto links = LinkTable::read(socket);
    if (!links) {
        return std::unexpected(links.error());
    }
    std::set<std::string> stuck;
    for (const auto* shim : links->own_shims()) {
        if (!may_carry_host(shim->alias)) {
            continue;
        }
        const auto ends = ends_back(*shim, *links);
        const auto moved = return_host(socket, ends, mode);
        if (!moved) {
            report.errors.push_back(moved.error());
            stuck.insert(shim->name);
            continue;
        }
        for (const auto address : *moved) {
            report.removed.push_back(line_of(address, ends));
        }
        if (!moved->empty() && mode == CleanupMode::remove) {
            report.returned.push_back({.ifindex = ends.to.ifindex, .addresses = *moved});
        }
    }
    return stuck;
}

// Removal of everything but the shims in `kept`, in an order in which no step takes away what a later one names.
Result<std::vector<netlink::Message>> removals(netlink::Socket& socket, const CleanupScope& scope,
                                               const std::set<std::string>& kept) {
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
        if (!kept.contains(shim->name)) {
            requests.push_back(netlink::delete_link(*shim));
        }
    }
    return requests;
}

void restore(const std::string& key, const std::string& value, CleanupMode mode, CleanupReport& report) {
    const auto actual = read_sysctl(key);
    const bool is_gone = !actual && actual.error().code == ENOENT;  // with its device
    if (is_gone || (actual && *actual == value)) {
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
    CleanupReport report;
    const auto stuck = return_hosts(socket_, mode, report);
    if (!stuck) {
        return std::unexpected(stuck.error());
    }
    auto requests = removals(socket_, scope, *stuck);
    if (!requests) {
        return std::unexpected(requests.error());
    }
    const auto recorded = record_.load();
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
