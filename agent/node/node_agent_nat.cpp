// SPDX-License-Identifier: Apache-2.0
// The part of NodeAgent that has to do with translations.
#include <set>
#include <vector>

#include "agent/log.h"
#include "agent/netlink/interface_address.h"
#include "agent/node/node_agent.h"

namespace podlane {
namespace {

// `agentctl status` warns when so much of the table of translations is in use.
constexpr double nat_pressure = 0.9;

}  // namespace

void NodeAgent::choose_uplinks(const std::vector<netlink::Link>& links) {
    std::set<std::uint32_t> own = {overlay_ifindex_};
    for (const auto& pod : pods_) {
        own.insert(pod.ifindex);
    }
    if (settings_.overlay.snat.enabled) {
        uplinks_.choose(links, own);
    }
}

void NodeAgent::look_up_nat_devices() {
    const auto addresses = netlink::list_addresses(socket_, 0);
    if (!addresses) {
        log::warning("{}", addresses.error().message);
        return;
    }
    nat_devices_ = uplinks_.devices(
        {.underlay = underlay_.ifindex, .node = cluster_.self()->internal_ip, .all = *addresses}, underlay_devices(),
        [this](Hook hook, std::uint32_t ifindex) { return datapath_.is_occupied(hook, ifindex); });
    if (!sweeper_) {
        return;
    }
    std::set<std::uint32_t> known;
    for (const auto& address : *addresses) {
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
    if (!settings_.overlay.snat.enabled) {
        sweeper_.reset();
        health_.ok("snat", "turned off: pods reach the outside with their own addresses");
        return {};
    }
    auto table = ReadOnlyMap<spec::nat_by_flow>::open(pins_.map(spec::nat_by_flow::name));
    if (!table) {
        return std::unexpected(table.error());
    }
    sweeper_.emplace(std::move(*table), desired_nat(settings_.overlay.snat));
    sweep_translations();
    return {};
}

void NodeAgent::sweep_translations() {
    if (!sweeper_ || !datapath_.is_loaded()) {
        return;
    }
    if (const auto swept = sweeper_->sweep(datapath_.nat_sweep_fd()); !swept) {
        health_.degraded("snat", swept.error().message, "see the agent's log");
        return;
    }
    const auto used =
        fmt::format("{} of {} translations, ports {}-{}", sweeper_->entries(), spec::nat_by_flow::capacity,
                    settings_.overlay.snat.port_low, settings_.overlay.snat.port_high);
    if (static_cast<double>(sweeper_->entries()) > nat_pressure * spec::nat_by_flow::capacity) {
        health_.degraded("snat", used, "find who opens them by `agentctl map dump nat_flows_by_pod`");
    } else {
        health_.ok("snat", used);
    }
}

}  // namespace podlane
