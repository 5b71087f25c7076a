// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/config/config.h"
#include "agent/doctor/collect.h"
#include "agent/endpoints/endpoint_store.h"
#include "agent/event_loop.h"
#include "agent/netlink/link.h"
#include "agent/netlink/monitor.h"
#include "agent/netlink/socket.h"
#include "agent/node/firewall.h"
#include "agent/node/host_moves.h"
#include "agent/node/macvlan_networks.h"
#include "agent/node/nat_sweeper.h"
#include "agent/node/node_addresses.h"
#include "agent/node/pass_pace.h"
#include "agent/node/peer_paths.h"
#include "agent/node/pod_snat_policy.h"
#include "agent/node/underlay.h"
#include "agent/node/uplinks.h"
#include "agent/observe/health.h"
#include "agent/observe/pass_times.h"
#include "agent/observe/repairs.h"
#include "agent/reconcile/datapath_reconciler.h"
#include "agent/reconcile/guard_reconciler.h"
#include "agent/reconcile/link_reconciler.h"
#include "agent/reconcile/map_reconciler.h"
#include "agent/reconcile/pod_links.h"
#include "agent/source/source.h"
#include "agent/state/desired_state.h"

namespace podlane {

// Never changed: an agent whose configuration changes starts anew (agent/node/reload.h).
struct NodeSettings {
    Config config;            // valid
    OverlaySettings overlay;  // made of it
};

// One node of the pod network: follows the cluster's state, this node's pods and the kernel, and makes the kernel
// match. Every trigger leads to the same pass, reconcile(); a pass that finds all in order changes nothing.
class NodeAgent {
public:
    // Takes over what an earlier agent left behind. Nothing is changed in the kernel before the source is in sync,
    // but for the pin directory. `loop` and `source` must outlive the agent.
    [[nodiscard]] static Result<std::unique_ptr<NodeAgent>> create(EventLoop& loop, Source& source,
                                                                   NodeSettings settings,
                                                                   const KernelFeatures& features);
    NodeAgent(const NodeAgent&) = delete;
    NodeAgent& operator=(const NodeAgent&) = delete;
    ~NodeAgent() = default;

    // Why pods cannot be added now; nothing: they can.
    [[nodiscard]] std::optional<std::string> not_ready() const;
    // The endpoint forwards when this returns. Idempotent. On an error nothing is kept of it.
    [[nodiscard]] Result<void> add_endpoint(const Endpoint& endpoint);
    // False: there was none.
    [[nodiscard]] Result<bool> remove_endpoint(const std::string& id);

    // Writes again what stood in a run directory that somebody removed; `what` was done about it otherwise.
    [[nodiscard]] Result<void> restore_records(std::string_view what);

    // A change of configuration that was refused; empty when the configuration is good again.
    void report_config_problem(std::string problem);
    // Why this node's Node object cannot be written, and what to do; empty when it is as it should be.
    void report_publication(const std::string& problem, std::string action);
    // What ip-masq-agent's file says by now. An error: it is broken, what it said before holds, also to an earlier
    // agent. That is in the maps as long as the source is not in sync.
    void use_ip_masq_agent(const Result<IpMasqAgentConfig>& rules);

    [[nodiscard]] const NodeSettings& settings() const { return settings_; }
    [[nodiscard]] const Cluster& cluster() const { return cluster_; }
    [[nodiscard]] const PeerPaths& peers() const { return *peers_; }
    [[nodiscard]] const EndpointStore& endpoints() const { return endpoints_; }
    // Pods whose devices exist, and what of their annotations was refused, as of the last pass.
    [[nodiscard]] const std::vector<AttachedPod>& pods() const { return pods_; }
    [[nodiscard]] const std::vector<ObjectWarning>& pod_warnings() const { return pod_snat_.warnings(); }
    [[nodiscard]] const MacvlanNetworks& macvlans() const { return macvlans_; }
    [[nodiscard]] const HealthBoard& health() const { return health_; }
    [[nodiscard]] const RepairLog& repairs() const { return repairs_; }
    // How often the kernel's events came faster than they could be read; all was read anew then.
    [[nodiscard]] std::uint64_t netlink_overruns() const { return overruns_; }
    [[nodiscard]] const PassTimes& pass_times() const { return pass_times_; }
    [[nodiscard]] const Source& source() const { return source_; }
    // Entries of the maps that the agent fills; empty before they are there.
    [[nodiscard]] std::vector<std::pair<std::string_view, std::size_t>> map_sizes() const;
    // Nothing: pods are not translated, or the programs are not there yet.
    [[nodiscard]] std::optional<NatUse> nat_use() const;
    [[nodiscard]] std::uint32_t pod_mtu() const { return pod_mtu_; }
    // Which the overlay device had at the end of the last pass; nothing: there is no such device.
    [[nodiscard]] const std::optional<MacAddress>& overlay_mac() const { return overlay_mac_; }
    [[nodiscard]] const KernelFeatures& features() const { return features_; }
    // Everything podlane owns outside the maps: wanted against actual.
    [[nodiscard]] Result<std::vector<LinkItem>> inspect_links();

private:
    // What was opened of the kernel before anything could go wrong.
    struct Kernel {
        KernelFeatures features;
        netlink::Socket socket;
        netlink::Monitor monitor;
    };
    NodeAgent(EventLoop& loop, Source& source, NodeSettings settings, Kernel kernel);
    [[nodiscard]] Result<void> start();
    // Only at start: later on a device without a record is one that the plugin is still busy with.
    [[nodiscard]] Result<void> rebuild_endpoints();
    void on_source_change();
    void on_netlink();
    // For events, which may never cease: at the pace of pace_. What somebody waits for calls reconcile().
    void schedule_reconcile();
    void reconcile();

    // One pass, in steps that depend on one another; each step reports to the health board and says whether the next
    // one makes sense.
    void pass();
    // All steps but the last: what may change the ground that they stand on. False: one of them made no sense.
    [[nodiscard]] bool settle();
    // Hosts' addresses, between macvlan networks' masters and shims. True: something was done, and settle() is due.
    [[nodiscard]] bool move_hosts();
    // Whether flannel's overlay device is here and must be used in place of podlane's.
    void look_for_flannel(const std::vector<netlink::Link>& links);
    // The name of the one in use.
    [[nodiscard]] const std::string& overlay_device() const {
        return borrowed_ ? borrowed_->name : settings_.overlay.device;
    }
    [[nodiscard]] bool refresh_cluster();
    [[nodiscard]] bool find_underlay_device(const std::vector<netlink::Link>& links);
    [[nodiscard]] bool reconcile_host_network(const std::vector<netlink::Link>& links);
    // Makes the host's network as wanted_network_ is to be now; false: there is no overlay device.
    [[nodiscard]] bool apply_host_network();
    [[nodiscard]] bool load_datapath();
    void look_at_pod_hooks();
    void reconcile_maps();
    void reconcile_hooks();
    void report_pods();
    void report_config();
    // Macvlan networks: what there is, before and after the pass made shims; and the second half of a pass that made
    // one, which is up only behind its programs. The devices that there are then; nothing: no networks, or unreadable.
    void look_at_macvlans(const std::vector<netlink::Link>& links);
    std::optional<std::vector<netlink::Link>> look_at_new_shims();
    void open_shims();
    void drop_gone_macvlan_pods();
    // What of the host's, not podlane's, keeps macvlan pods from being reached (agent/doctor).
    void look_for_obstacles();
    [[nodiscard]] Result<void> add_macvlan_endpoint(const Endpoint& endpoint);
    [[nodiscard]] std::vector<WantedHook> hooks_of(const MacvlanNetwork& network) const;
    [[nodiscard]] static std::vector<WantedHook> shim_hooks(std::uint32_t ifindex, const std::string& device);
    // Once a second: a part of the table of translations.
    void sweep_translations();
    void report_translations(const Result<std::size_t>& swept);
    [[nodiscard]] Result<void> start_sweeper();

    // What no event tells of.
    void audit();
    void audit_settings();
    [[nodiscard]] bool restore_pins();

    [[nodiscard]] std::vector<AttachedPod> attached_pods(const std::vector<netlink::Link>& links);
    [[nodiscard]] DesiredInputs desired_inputs() const;
    [[nodiscard]] datapath_config wanted_config() const;
    // Devices that carry traffic between nodes, by ifindex.
    [[nodiscard]] std::map<std::uint32_t, std::string> underlay_devices() const;
    void look_for_pod_bridges(const std::vector<netlink::Link>& links);
    void choose_uplinks(const std::vector<netlink::Link>& links);
    // False: there are none to go by, and nothing of the datapath may be touched.
    [[nodiscard]] bool look_up_addresses();
    void look_up_nat_devices();
    [[nodiscard]] std::vector<WantedHook> wanted_hooks() const;
    [[nodiscard]] bool concerns_underlay(const netlink::Event& event) const;

    EventLoop& loop_;
    Source& source_;
    NodeSettings settings_;
    KernelFeatures features_;
    PinDirectory pins_;
    HealthBoard health_;
    RepairLog repairs_;
    std::uint64_t overruns_ = 0;
    EndpointStore endpoints_;

    netlink::Socket socket_;
    netlink::Monitor monitor_;
    LinkReconciler links_;
    PodLinks pod_links_;
    DatapathReconciler datapath_;
    GuardReconciler guard_;
    std::optional<MapReconciler> maps_;

    Cluster cluster_;
    netlink::Link underlay_;
    std::optional<netlink::Link> borrowed_;  // flannel's overlay device
    std::vector<std::string> pod_bridges_;
    std::uint32_t overlay_ifindex_ = 0;
    std::optional<MacAddress> overlay_mac_;
    std::uint32_t pod_mtu_ = 0;
    NodeAddresses addresses_;
    Uplinks uplinks_;
    std::map<std::uint32_t, nat_device> nat_devices_;
    MacvlanNetworks macvlans_;
    HostMoves moves_;
    std::vector<ReturnedHost> returned_;     // of the pass, to be announced
    std::set<std::uint32_t> closing_shims_;  // ifindex: the host is about to leave them
    std::set<std::uint32_t> opening_shims_;  // ifindex: the host is about to come
    std::vector<Error> shim_errors_;         // of the last pass
    std::optional<doctor::Watch> host_watch_;
    std::optional<MacvlanNetworks::Obstacle> obstacle_;  // of the last audit
    std::optional<NatSweeper> sweeper_;
    std::vector<AttachedPod> pods_;
    PodSnatPolicy pod_snat_;
    std::optional<IpMasqAgentConfig> ip_masq_agent_;
    std::string ip_masq_agent_problem_;
    std::string config_problem_;
    std::unique_ptr<PeerPaths> peers_;
    std::unique_ptr<Firewall> firewall_;
    WantedHostNetwork wanted_network_;
    bool forwarding_ = false;  // programs are attached and maps are filled

    EventLoop::Watch netlink_watch_;
    PassPace pace_;
    PassTimes pass_times_;
    EventLoop::Watch pending_;
    EventLoop::Watch audit_;
    EventLoop::Watch settings_audit_;
    EventLoop::Watch nat_sweep_;
};

}  // namespace podlane
