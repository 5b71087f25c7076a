// SPDX-License-Identifier: Apache-2.0
// The part of NodeAgent that has to do with macvlan networks.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "agent/doctor/checks.h"
#include "agent/log.h"
#include "agent/node/node_agent.h"

namespace podlane {

std::vector<WantedHook> NodeAgent::shim_hooks(std::uint32_t ifindex, const std::string& device) {
    return {{Hook::from_shim, ifindex, device}, {Hook::to_shim, ifindex, device}};
}

// Hooks take their time: those that a shim has in its master's place stand before the host comes, and the gates before
// it leaves. While it carries the host its hooks are those of any uplink.
std::vector<WantedHook> NodeAgent::hooks_of(const MacvlanNetwork& network) const {
    const auto shim = network.shim_ifindex;
    if (opening_shims_.contains(shim)) {
        const bool faces_peers = underlay_devices().contains(network.master_ifindex);
        return {{faces_peers ? Hook::from_underlay : Hook::from_uplink, shim, network.shim},
                {Hook::to_underlay, shim, network.shim}};
    }
    const bool gated = network.place == HostPlace::master || closing_shims_.contains(shim);
    return shim != 0 && gated ? shim_hooks(shim, network.shim) : std::vector<WantedHook>();
}

void NodeAgent::look_at_macvlans(const std::vector<netlink::Link>& links) {
    const auto gate_of = [this](std::uint32_t ifindex) {
        const auto hooks = datapath_.inspect(shim_hooks(ifindex, {}));
        const bool stand = std::ranges::all_of(hooks, [](const LinkItem& hook) { return hook.state == LinkState::ok; });
        return stand ? DeviceGate::open : DeviceGate::closed;
    };
    const MacvlanNetworks::GateOf gates = gate_of;
    const auto looked =
        macvlans_.look(socket_, {.links = links, .endpoints = endpoints_, .gate_of = gates, .stay = moves_.refused()});
    if (!looked) {
        health_.degraded("macvlan", looked.error().message, "it is tried again; what was known before is in use");
    }
}

// A shim that was just made has its number only now; hooks and maps go by it.
std::optional<std::vector<netlink::Link>> NodeAgent::look_at_new_shims() {
    if (!macvlans_.configured()) {
        return std::nullopt;
    }
    auto links = netlink::list_links(socket_);
    if (!links) {
        log::warning("{}", links.error().message);
        return std::nullopt;
    }
    look_at_macvlans(*links);
    return std::move(*links);
}

void NodeAgent::open_shims() {
    if (!macvlans_.has_closed_gate()) {
        return;
    }
    look_at_new_shims();
    if (apply_host_network()) {
        look_at_new_shims();
    }
}

// A shim that the host leaves is closed before, or it would answer the LAN's questions for the host beside the master.
bool NodeAgent::move_hosts() {
    bool touched = false;
    const auto networks = macvlans_.all();
    for (const auto& network : networks) {
        auto step = moves_.next(network);
        if (step == HostStep::ask) {
            moves_.ask_before(network);
            step = moves_.next(network);
        }
        if (step == HostStep::give_back) {
            closing_shims_.insert(network.shim_ifindex);
            reconcile_hooks();
        } else if (step == HostStep::move) {
            opening_shims_.insert(network.shim_ifindex);
            reconcile_hooks();
        }
        if (step == HostStep::move || step == HostStep::follow_up || step == HostStep::give_back) {
            moves_.carry_out(network, step);
            moves_.announce({});
            touched = true;
        }
    }
    opening_shims_.clear();
    if (touched) {
        peers_->take_over_again();
    }
    closing_shims_.clear();
    return touched;
}

void NodeAgent::drop_gone_macvlan_pods() {
    for (const auto& id : macvlans_.drop_gone(endpoints_)) {
        log::info("endpoint {}: its network namespace is gone", id);
    }
}

void NodeAgent::look_for_obstacles() {
    if (!macvlans_.configured()) {
        return;
    }
    if (!host_watch_) {
        auto opened = doctor::Watch::open(settings_.config);
        if (!opened) {
            log::warning("{}", opened.error().message);
            return;
        }
        host_watch_ = std::move(*opened);
    }
    std::vector<Endpoint> pods;
    for (const auto& [id, endpoint] : endpoints_.all()) {
        pods.push_back(endpoint);
    }
    const auto findings = doctor::check_status(host_watch_->look(std::move(pods)));
    obstacle_.reset();
    if (!findings.empty()) {
        const auto& first = findings.front();
        const auto more =
            findings.size() == 1 ? "" : fmt::format("; agentctl doctor names {} more", findings.size() - 1);
        obstacle_ = {.reason = fmt::format("{} ({})", first.what, first.evidence), .action = first.mend + more};
    }
    if (!moves_.report(health_)) {
        macvlans_.report(health_, shim_errors_, obstacle_);
    }
}

Result<void> NodeAgent::add_macvlan_endpoint(const Endpoint& endpoint) {
    drop_gone_macvlan_pods();
    if (auto stored = endpoints_.put(endpoint); !stored) {
        return stored;
    }
    reconcile();
    if (endpoints_.find(endpoint.id()) == nullptr) {
        return fail("its network namespace {} is gone", endpoint.netns);
    }
    if (macvlans_.service_of(endpoint) == MacvlanNetworks::Service::not_served) {
        [[maybe_unused]] const auto erased = endpoints_.erase(endpoint.id());
        reconcile();
        return fail("the shim of {} is not up: see agentctl status", endpoint.master);
    }
    return {};
}

}  // namespace podlane
