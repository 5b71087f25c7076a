// SPDX-License-Identifier: Apache-2.0
#include "agent/node/macvlan_networks.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "agent/link/ownership.h"
#include "agent/log.h"
#include "agent/netlink/interface_address.h"
#include "agent/netlink/neighbour.h"
#include "agent/reconcile/sysctl.h"

namespace podlane {
namespace {

bool is_there(const std::filesystem::path& path) {
    std::error_code error;
    return std::filesystem::exists(path, error);
}

bool is_of(const Endpoint& endpoint, const MacvlanConfig& network) {
    return endpoint.link == "macvlan" && endpoint.mode == "bridge" && endpoint.master == network.master;
}

// An ID is "<containerID>-<ifName>", and both may have dashes.
bool has_derived_mac(const std::string& endpoint_id, MacAddress mac) {
    for (auto dash = endpoint_id.find('-'); dash != std::string::npos; dash = endpoint_id.find('-', dash + 1)) {
        if (derived_pod_mac(endpoint_id.substr(0, dash), endpoint_id.substr(dash + 1)) == mac) {
            return true;
        }
    }
    return false;
}

const netlink::Link* find(const std::vector<netlink::Link>& links, const std::string& name) {
    const auto found = std::ranges::find(links, name, &netlink::Link::name);
    return found == links.end() ? nullptr : &*found;
}

// The kernel lists a device's primary addresses first. That of a subnet says more of the LAN than one that fails over
// between hosts (a /32), and of several the one that is `known` stays: pods have routes by it.
std::optional<Ipv4Address> choose_address(const std::vector<netlink::InterfaceAddress>& addresses,
                                          std::uint32_t ifindex, std::optional<Ipv4Address> known) {
    constexpr std::uint8_t global_scope = 0;  // RT_SCOPE_UNIVERSE
    std::optional<Ipv4Address> chosen;
    unsigned best = 0;
    for (const auto& address : addresses) {
        const unsigned rank = 1U + (address.prefix_length < 32 ? 2U : 0U) + (address.address == known ? 1U : 0U);
        if (address.ifindex == ifindex && address.scope == global_scope && rank > best) {
            chosen = address.address;
            best = rank;
        }
    }
    return chosen;
}

std::optional<Ipv4Address> primary_address(const std::vector<netlink::InterfaceAddress>& addresses,
                                           std::uint32_t ifindex) {
    return choose_address(addresses, ifindex, std::nullopt);
}

}  // namespace

Result<void> MacvlanNetworks::adopt(netlink::Socket& socket, const std::vector<netlink::Link>& links,
                                    const EndpointStore& endpoints) {
    std::set<Ipv4Address> recorded;
    for (const auto& [id, endpoint] : endpoints.all()) {
        recorded.insert(endpoint.ip);
    }
    if (const auto loaded = adopted_.load(); !loaded) {
        log::warning("{}", loaded.error().message);
    }
    std::set<AdoptedPod> pods;
    for (const auto& network : settings_) {
        const auto* shim = find(links, network.shim);
        if (shim == nullptr || !shim->alias.starts_with(shim_alias)) {
            continue;
        }
        const auto neighbours = netlink::list_neighbours(socket, shim->ifindex);
        if (!neighbours) {
            return std::unexpected(neighbours.error());
        }
        for (const auto& neighbour : *neighbours) {
            const bool own = !may_carry_host(shim->alias) || neighbour.protocol == route_protocol;
            if (!own || (neighbour.state & NUD_PERMANENT) == 0 || !neighbour.mac ||
                recorded.contains(neighbour.address)) {
                continue;
            }
            const AdoptedPod pod{.network = network.name, .ip = neighbour.address, .mac = *neighbour.mac};
            if (endpoints.was_lost() || adopted_.all().contains(pod)) {
                pods.insert(pod);
                log::info("macvlan {}: pod {} has no record, and is kept", network.name, neighbour.address);
            }
        }
    }
    keep_adopted(std::move(pods));
    return {};
}

void MacvlanNetworks::keep_adopted(std::set<AdoptedPod> pods) {
    if (const auto kept = adopted_.keep(std::move(pods)); !kept) {
        log::warning("{}", kept.error().message);
    }
}

bool MacvlanNetworks::forget(const std::string& endpoint_id) {
    auto pods = adopted_.all();
    const auto forgotten =
        std::erase_if(pods, [&](const AdoptedPod& pod) { return has_derived_mac(endpoint_id, pod.mac); });
    keep_adopted(std::move(pods));
    return forgotten > 0;
}

bool MacvlanNetworks::is_gone(const Endpoint& endpoint) {
    // Numbers of processes are used again, and are others in another PID namespace.
    if (endpoint.link != "macvlan" || endpoint.netns.empty() || endpoint.netns.starts_with("/proc/")) {
        return false;
    }
    if (is_there(endpoint.netns)) {
        seen_.insert(endpoint.netns);
        return false;
    }
    return seen_.contains(endpoint.netns) || is_there(std::filesystem::path(endpoint.netns).parent_path());
}

bool MacvlanNetworks::has_gone(const EndpointStore& endpoints) {
    return std::ranges::any_of(endpoints.all(), [&](const auto& entry) { return is_gone(entry.second); });
}

std::vector<std::string> MacvlanNetworks::drop_gone(EndpointStore& endpoints) {
    std::vector<std::string> gone;
    for (const auto& [id, endpoint] : endpoints.all()) {
        if (is_gone(endpoint)) {
            seen_.erase(endpoint.netns);
            gone.push_back(id);
        }
    }
    for (const auto& id : gone) {
        [[maybe_unused]] const auto erased = endpoints.erase(id);
    }
    return gone;
}

std::vector<ShimPod> MacvlanNetworks::pods_of(const MacvlanConfig& network, const EndpointStore& endpoints) const {
    std::vector<ShimPod> pods;
    for (const auto& [id, endpoint] : endpoints.all()) {
        if (is_of(endpoint, network)) {
            pods.push_back({.ip = endpoint.ip, .mac = endpoint.mac});
        }
    }
    for (const auto& pod : adopted_.all()) {
        if (pod.network == network.name) {
            pods.push_back({.ip = pod.ip, .mac = pod.mac});
        }
    }
    return pods;
}

MacvlanNetwork MacvlanNetworks::network_of(const MacvlanConfig& config, const netlink::Link& master, const View& view,
                                           const std::vector<netlink::InterfaceAddress>& addresses) const {
    const auto* shim = find(view.links, config.shim);
    // Nothing of ours is attached to somebody else's device; one of ours has its alias by the pass that made it.
    const bool own = shim != nullptr && shim->kind == "macvlan" && shim->alias.starts_with(shim_alias);
    const auto on_shim =
        own && may_carry_host(shim->alias) ? primary_address(addresses, shim->ifindex) : std::optional<Ipv4Address>();
    auto known = host_address(config.name);
    if (!known && own) {
        known = primary_address(addresses, shim->ifindex);
    }
    const auto on_master = choose_address(addresses, master.ifindex, known);
    const bool wants_shim = config.host_address == HostAddress::move && !view.stay.contains(config.name);
    MacvlanNetwork network{.name = config.name,
                           .shim = config.shim,
                           .master = config.master,
                           .master_mtu = master.mtu,
                           .shim_ifindex = own ? shim->ifindex : 0,
                           .host_address = on_shim ? on_shim : on_master,
                           .place = on_shim ? HostPlace::shim : HostPlace::master,
                           .wanted = wants_shim ? HostPlace::shim : HostPlace::master,
                           .on_both = on_shim && on_master,
                           .master_ifindex = master.ifindex,
                           .pods = pods_of(config, view.endpoints)};
    if (on_shim || (own && view.gate_of(shim->ifindex) == DeviceGate::open)) {
        network.gate = DeviceGate::open;
    }
    network.ready = own && network.gate == DeviceGate::open && shim->is_up() && master.is_up() && master.is_running();
    if (const auto rp_filter = read_sysctl(fmt::format("net/ipv4/conf/{}/rp_filter", master.name))) {
        network.rp_filter = *rp_filter;
    }
    return network;
}

Result<void> MacvlanNetworks::look(netlink::Socket& socket, const View& view) {
    if (settings_.empty()) {
        return {};
    }
    const auto addresses = netlink::list_addresses(socket, 0);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    auto adopted = adopted_.all();
    std::erase_if(adopted, [&](const AdoptedPod& pod) {
        return std::ranges::any_of(view.endpoints.all(), [&](const auto& entry) { return entry.second.ip == pod.ip; });
    });
    keep_adopted(std::move(adopted));
    networks_.clear();
    std::map<std::string, Ipv4Address> host_addresses;
    missing_masters_.clear();
    for (const auto& config : settings_) {
        const auto* master = find(view.links, config.master);
        if (master == nullptr) {
            missing_masters_.insert(config.name);
            continue;
        }
        auto network = network_of(config, *master, view, *addresses);
        if (config.mode != MacvlanMode::bridge) {
            network.host_address = primary_address(*addresses, master->ifindex);
        }
        if (network.host_address) {
            host_addresses.emplace(config.name, *network.host_address);
        }
        if (config.mode == MacvlanMode::bridge) {
            networks_.push_back(std::move(network));
        }
    }
    host_addresses_ = std::move(host_addresses);
    looked_ = true;
    return {};
}

bool MacvlanNetworks::has_closed_gate() const {
    return std::ranges::any_of(networks_,
                               [](const MacvlanNetwork& network) { return network.gate == DeviceGate::closed; });
}

std::optional<Ipv4Address> MacvlanNetworks::host_address(const std::string& network) const {
    const auto found = host_addresses_.find(network);
    return found == host_addresses_.end() ? std::nullopt : std::optional(found->second);
}

bool MacvlanNetworks::concerned_by(const netlink::LinkEvent& event) const {
    return std::ranges::any_of(settings_, [&](const MacvlanConfig& network) {
        return event.link.name == network.master || event.link.name == network.shim;
    });
}

MacvlanNetworks::Service MacvlanNetworks::service_of(const Endpoint& endpoint) const {
    const auto configured =
        std::ranges::find_if(settings_, [&](const MacvlanConfig& network) { return is_of(endpoint, network); });
    if (configured == settings_.end() || configured->mode != MacvlanMode::bridge) {
        return Service::none_needed;
    }
    const auto network = std::ranges::find(networks_, configured->name, &MacvlanNetwork::name);
    const bool served = network != networks_.end() && network->shim_ifindex != 0 && network->host_address &&
                        network->gate == DeviceGate::open;
    return served ? Service::served : Service::not_served;
}

std::optional<MacvlanNetworks::Obstacle> MacvlanNetworks::problem_of(const MacvlanConfig& config) const {
    if (missing_masters_.contains(config.name)) {
        return Obstacle{.reason = fmt::format("{}: its master {} is not there", config.name, config.master),
                        .action = "bring the device up, or mend macvlan in the configuration"};
    }
    if (config.mode != MacvlanMode::bridge) {
        return std::nullopt;  // podlane has no part in it
    }
    if (!host_address(config.name)) {
        return Obstacle{.reason = fmt::format("{}: its master {} has no IPv4 address", config.name, config.master),
                        .action = "give the device the host's address on that LAN"};
    }
    const auto found = std::ranges::find(networks_, config.name, &MacvlanNetwork::name);
    if (found == networks_.end() || found->shim_ifindex == 0 || found->gate == DeviceGate::closed) {
        return Obstacle{
            .reason = fmt::format("{}: {} is down, its programs are not attached", config.name, config.shim),
            .action = "see `agentctl link list` and the agent's log"};
    }
    return std::nullopt;
}

std::string MacvlanNetworks::summary_of(const MacvlanConfig& config) const {
    const auto found = std::ranges::find(networks_, config.name, &MacvlanNetwork::name);
    if (found == networks_.end()) {
        return fmt::format("{}: no shim in this mode, on {}", config.name, config.master);
    }
    const auto pods = found->pods.size();
    return fmt::format("{}: {} {} {} {}, {} pod{}", config.name, config.shim, host_address(config.name).value(),
                       found->place == HostPlace::shim ? "moved from" : "on", config.master, pods,
                       pods == 1 ? "" : "s");
}

void MacvlanNetworks::report(HealthBoard& health, const std::vector<Error>& errors,
                             const std::optional<Obstacle>& obstacle) const {
    if (!errors.empty()) {
        health.degraded("macvlan", errors.front().message, "compare `agentctl link list`");
        return;
    }
    std::string summary = settings_.empty() ? "no networks configured" : "";
    for (const auto& network : settings_) {
        if (const auto problem = problem_of(network)) {
            health.degraded("macvlan", problem->reason, problem->action);
            return;
        }
        summary += (summary.empty() ? "" : "; ") + summary_of(network);
    }
    if (obstacle) {
        health.degraded("macvlan", obstacle->reason, obstacle->action);
        return;
    }
    health.ok("macvlan", summary);
}

}  // namespace podlane
