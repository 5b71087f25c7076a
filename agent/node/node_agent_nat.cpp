// SPDX-License-Identifier: Apache-2.0
// The part of NodeAgent that has to do with translations.
#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "agent/netlink/interface_address.h"
#include "agent/node/node_agent.h"

namespace podlane {
namespace {

// What the programs go by, by ifindex.
Result<std::map<std::uint32_t, nat_device>> read_nat_devices(const PinDirectory& pins) {
    using Spec = spec::nat_address_by_device;
    const auto map = ReadOnlyMap<Spec>::open(pins.map(Spec::name));
    if (!map) {
        return std::unexpected(map.error());
    }
    const auto entries = map->entries();
    if (!entries) {
        return std::unexpected(entries.error());
    }
    return std::map<std::uint32_t, nat_device>(entries->begin(), entries->end());
}

}  // namespace

void NodeAgent::choose_uplinks(const std::vector<netlink::Link>& links) {
    std::set<std::uint32_t> own = {overlay_ifindex_};
    for (const auto& pod : pods_) {
        own.insert(pod.ifindex);
    }
    for (const auto& link : links) {
        if (std::ranges::find(pod_bridges_, link.name) != pod_bridges_.end()) {
            own.insert(link.ifindex);
        }
    }
    std::set<std::string> masters;
    for (const auto& network : macvlans_.settings()) {
        masters.insert(network.master);
    }
    if (settings_.overlay.snat.enabled) {
        uplinks_.choose(links, own, masters);
    }
}

bool NodeAgent::look_up_addresses() {
    addresses_.take(netlink::list_addresses(socket_, 0));
    if (!settings_.overlay.snat.enabled || addresses_.problem().empty()) {
        return true;
    }
    health_.degraded("snat", addresses_.problem(), "it is tried again at once; what was known before is in use");
    schedule_reconcile();
    return addresses_.known();
}

void NodeAgent::look_up_nat_devices() {
    const auto before = std::exchange(
        nat_devices_,
        uplinks_.devices({.underlay = underlay_.ifindex, .node = cluster_.self()->internal_ip, .all = addresses_.all()},
                         underlay_devices(),
                         [this](Hook hook, std::uint32_t ifindex) { return datapath_.is_occupied(hook, ifindex); }));
    if (!sweeper_) {
        return;
    }
    // What left by a device before its new address was known has the node's, or its old one.
    for (const auto& [ifindex, device] : before) {
        const auto now = nat_devices_.find(ifindex);
        if (device.address != 0 && now != nat_devices_.end() && now->second.address != device.address) {
            sweeper_->revise_unanswered(device.address);
        }
    }
    std::set<std::uint32_t> known;
    for (const auto& address : addresses_.all()) {
        known.insert(address.address.wire());
    }
    for (const auto& [ifindex, device] : nat_devices_) {
        known.insert(device.address);  // the node's InternalIP need not be on a device
    }
    for (const auto& pod : pods_) {
        known.insert(pod.snat.address.wire());
    }
    sweeper_->use_addresses({known.begin(), known.end()});
}

Result<void> NodeAgent::start_sweeper() {
    auto table = ReadOnlyMap<spec::nat_by_flow>::open(pins_.map(spec::nat_by_flow::name));
    if (!table) {
        return std::unexpected(table.error());
    }
    // What flows have been translated by so far, an earlier agent's too.
    if (nat_devices_.empty()) {
        const auto devices = read_nat_devices(pins_);
        if (!devices) {
            return std::unexpected(devices.error());
        }
        nat_devices_ = *devices;
    }
    sweeper_.emplace(std::move(*table), desired_nat(settings_.overlay.snat));
    report_translations(sweeper_->sweep_all(datapath_.nat_sweep_fd()));
    return {};
}

std::optional<NatUse> NodeAgent::nat_use() const {
    return sweeper_ && settings_.overlay.snat.enabled ? std::optional(sweeper_->use()) : std::nullopt;
}

void NodeAgent::sweep_translations() {
    if (sweeper_ && datapath_.is_loaded()) {
        report_translations(sweeper_->sweep(datapath_.nat_sweep_fd()));
    }
}

void NodeAgent::report_translations(const Result<std::size_t>& swept) {
    if (!swept) {
        health_.degraded("snat", swept.error().message, "see the agent's log");
        return;
    }
    if (!addresses_.problem().empty()) {
        return;  // look_up_addresses() has reported it
    }
    if (!settings_.overlay.snat.enabled) {
        health_.ok("snat", "turned off: pods reach the outside with their own addresses");
        return;
    }
    const auto health = nat_health(sweeper_->use(), desired_nat(settings_.overlay.snat));
    if (health.state == HealthState::ok) {
        health_.ok(health.name, health.reason);
    } else {
        health_.degraded(health.name, health.reason, health.action);
    }
}

}  // namespace podlane
