// SPDX-License-Identifier: Apache-2.0
// The part of NodeAgent that has to do with translations.
#include "agent/log.h"
#include "agent/netlink/interface_address.h"
#include "agent/node/node_agent.h"

namespace podlane {
namespace {

// `agentctl status` warns when so much of the table of translations is in use.
constexpr double nat_pressure = 0.9;

}  // namespace

// The node's address on its underlay, elsewhere the first that the device has.
std::map<std::uint32_t, Ipv4Address> NodeAgent::uplink_addresses() {
    constexpr std::uint8_t global_scope = 0;  // RT_SCOPE_UNIVERSE
    std::map<std::uint32_t, Ipv4Address> found = {{underlay_.ifindex, cluster_.self()->internal_ip}};
    const auto addresses = netlink::list_addresses(socket_, 0);
    if (!addresses) {
        log::warning("{}", addresses.error().message);
        return found;
    }
    const auto devices = underlay_devices();
    for (const auto& address : *addresses) {
        if (devices.contains(address.ifindex) && address.scope == global_scope) {
            found.emplace(address.ifindex, address.address);
        }
    }
    return found;
}

Result<void> NodeAgent::start_sweeper() {
    const auto& snat = settings_.overlay.snat;
    if (!snat.enabled && !snat.macvlan) {
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
        fmt::format("{}{} of {} translations, ports {}-{}",
                    settings_.overlay.snat.enabled ? "" : "turned off but for macvlan pods; ", sweeper_->entries(),
                    spec::nat_by_flow::capacity, settings_.overlay.snat.port_low, settings_.overlay.snat.port_high);
    if (static_cast<double>(sweeper_->entries()) > nat_pressure * spec::nat_by_flow::capacity) {
        health_.degraded("snat", used, "find who opens them by `agentctl map dump nat_flows_by_pod`");
    } else {
        health_.ok("snat", used);
    }
}

}  // namespace podlane
