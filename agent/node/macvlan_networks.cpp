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

// The kernel lists a device's primary addresses first.
std::optional<Ipv4Address> primary_address(const std::vector<netlink::InterfaceAddress>& addresses,
                                           std::uint32_t ifindex) {
    constexpr std::uint8_t global_scope = 0;  // RT_SCOPE_UNIVERSE
    const auto found = std::ranges::find_if(addresses, [&](const netlink::InterfaceAddress& address) {
        return address.ifindex == ifindex && address.scope == global_scope;
    });
    return found == addresses.end() ? std::nullopt : std::optional(found->address);
}

}  // namespace

Result<void> MacvlanNetworks::adopt(netlink::Socket& socket, const std::vector<netlink::Link>& links,
                                    const EndpointStore& endpoints) {
    std::set<Ipv4Address> recorded;
    for (const auto& [id, endpoint] : endpoints.all()) {
        recorded.insert(endpoint.ip);
    }
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
            if (own && (neighbour.state & NUD_PERMANENT) != 0 && neighbour.mac &&
                !recorded.contains(neighbour.address)) {
                adopted_[network.name].push_back({.ip = neighbour.address, .mac = *neighbour.mac});
                log::info("macvlan {}: pod {} has no record, and is kept", network.name, neighbour.address);
            }
        }
    }
    return {};
}

bool MacvlanNetworks::forget(const std::string& endpoint_id) {
    std::size_t forgotten = 0;
    for (auto& [network, pods] : adopted_) {
        forgotten += std::erase_if(pods, [&](const ShimPod& pod) { return has_derived_mac(endpoint_id, pod.mac); });
    }
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
    const auto adopted = adopted_.find(network.name);
    if (adopted != adopted_.end()) {
        std::ranges::copy(adopted->second, std::back_inserter(pods));
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
    const auto on_master = primary_address(addresses, master.ifindex);
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
    for (auto& [network, pods] : adopted_) {
        std::erase_if(pods, [&](const ShimPod& pod) {
            return std::ranges::any_of(view.endpoints.all(),
                                       [&](const auto& entry) { return entry.second.ip == pod.ip; });
        });
    }
    networks_.clear();
    host_addresses_.clear();
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
            host_addresses_.emplace(config.name, *network.host_address);
        }
        if (config.mode == MacvlanMode::bridge) {
            networks_.push_back(std::move(network));
        }
    }
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

void MacvlanNetworks::report(HealthBoard& health, const std::vector<Error>& errors,
                             const std::optional<Obstacle>& obstacle) const {
    if (!errors.empty()) {
        health.degraded("macvlan", errors.front().message, "compare `agentctl link list`");
        return;
    }
    std::string summary = settings_.empty() ? "no networks configured" : "";
    for (const auto& network : settings_) {
        if (missing_masters_.contains(network.name)) {
            health.degraded("macvlan", fmt::format("{}: its master {} is not there", network.name, network.master),
                            "bring the device up, or mend macvlan in the configuration");
            return;
        }
        const auto address = host_address(network.name);
        if (!address) {
            health.degraded("macvlan",
                            fmt::format("{}: its master {} has no IPv4 address", network.name, network.master),
                            "give the device the host's address on that LAN");
            return;
        }
        const auto found = std::ranges::find(networks_, network.name, &MacvlanNetwork::name);
        const bool has_shim = found != networks_.end();
        const bool moved = has_shim && found->place == HostPlace::shim;
        summary += fmt::format("{}{}: {} {} {} {}, {} pods", summary.empty() ? "" : "; ", network.name,
                               has_shim ? network.shim : "no shim in this mode,", *address, moved ? "moved from" : "on",
                               network.master, has_shim ? found->pods.size() : 0);
    }
    if (obstacle) {
        health.degraded("macvlan", obstacle->reason, obstacle->action);
        return;
    }
    health.ok("macvlan", summary);
}

}  // namespace podlane
