// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/endpoints/adopted_pods.h"
#include "agent/endpoints/endpoint_store.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/socket.h"
#include "agent/observe/health.h"
#include "agent/state/macvlan_state.h"

namespace podlane {

// The macvlan networks of the configuration, as the kernel and the pods' records have them at the moment.
//
// A macvlan pod is gone when DEL says so, or when the path of its network namespace was there and is no more: nothing
// on the host's side goes with it. A path that this agent never saw is no proof (an agent in a container may not see
// the runtime's), unless the directory that it would be in is there; one in /proc proves nothing.
class MacvlanNetworks {
public:
    // `adopted`: the file for the pods that adopt() takes over.
    MacvlanNetworks(std::vector<MacvlanConfig> settings, std::filesystem::path adopted)
        : settings_(std::move(settings)), adopted_(std::move(adopted)) {}

    // At start: takes over the pods that an earlier agent's shims know and of which no record tells, when the records
    // were lost, then or before; what else a shim knows is of pods that were deleted while no agent ran. Without a
    // container ID: one goes when DEL names an attachment whose derived MAC it has, or when another pod gets its
    // address.
    [[nodiscard]] Result<void> adopt(netlink::Socket& socket, const std::vector<netlink::Link>& links,
                                     const EndpointStore& endpoints);
    // Whether there was one to forget.
    bool forget(const std::string& endpoint_id);
    // Writes again which were taken over, for a run directory that somebody removed.
    [[nodiscard]] Result<void> rewrite() const { return adopted_.rewrite(); }

    // Removes records of pods that are gone, and returns their IDs.
    std::vector<std::string> drop_gone(EndpointStore& endpoints);
    // Whether there are any.
    [[nodiscard]] bool has_gone(const EndpointStore& endpoints);

    using GateOf = std::function<DeviceGate(std::uint32_t ifindex)>;
    struct View {
        const std::vector<netlink::Link>& links;
        const EndpointStore& endpoints;
        const GateOf& gate_of;
        const std::set<std::string>& stay;  // networks whose host's address stays on the master, whatever is configured
    };
    // Afterwards all() is what there is now. An error: the addresses could not be read, all() is as before.
    [[nodiscard]] Result<void> look(netlink::Socket& socket, const View& view);
    // Those that are to have a shim: in bridge mode, and their master is there.
    [[nodiscard]] const std::vector<MacvlanNetwork>& all() const { return networks_; }
    [[nodiscard]] bool configured() const { return !settings_.empty(); }
    // Before the first look() that succeeded nobody knows which shims there are to be.
    [[nodiscard]] bool known() const { return settings_.empty() || looked_; }
    [[nodiscard]] bool has_closed_gate() const;

    [[nodiscard]] const std::vector<MacvlanConfig>& settings() const { return settings_; }
    // The host's address on the network's LAN; nothing: not known, or its master is not there.
    [[nodiscard]] std::optional<Ipv4Address> host_address(const std::string& network) const;
    // A master that came or went, or a shim's or master's address.
    [[nodiscard]] bool concerned_by(const netlink::LinkEvent& event) const;
    // Whether an endpoint needs a shim to be reached from this node, and has one.
    enum class Service { none_needed, served, not_served };
    [[nodiscard]] Service service_of(const Endpoint& endpoint) const;

    // What keeps pods from being reached though all of podlane's is as it should be.
    struct Obstacle {
        std::string reason;
        std::string action;
    };
    // `errors`: of the last pass, about shims.
    void report(HealthBoard& health, const std::vector<Error>& errors, const std::optional<Obstacle>& obstacle) const;

private:
    [[nodiscard]] MacvlanNetwork network_of(const MacvlanConfig& config, const netlink::Link& master, const View& view,
                                            const std::vector<netlink::InterfaceAddress>& addresses) const;
    // What of one network keeps its pods from being served, if anything does.
    [[nodiscard]] std::optional<Obstacle> problem_of(const MacvlanConfig& config) const;
    [[nodiscard]] std::string summary_of(const MacvlanConfig& config) const;
    void keep_adopted(std::set<AdoptedPod> pods);
    [[nodiscard]] std::vector<ShimPod> pods_of(const MacvlanConfig& network, const EndpointStore& endpoints) const;
    [[nodiscard]] bool is_gone(const Endpoint& endpoint);

    std::vector<MacvlanConfig> settings_;
    std::vector<MacvlanNetwork> networks_;
    std::map<std::string, Ipv4Address> host_addresses_;  // by the network's name
    std::set<std::string> missing_masters_;              // by the network's name
    AdoptedPods adopted_;
    bool looked_ = false;
    std::set<std::string> seen_;  // paths of network namespaces that were there
};

}  // namespace podlane
