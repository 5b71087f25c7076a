// SPDX-License-Identifier: Apache-2.0
// The pass of a NodeAgent: from the cluster's state to the kernel, step by step. What calls for one is in
// node_agent.cpp.
#include <arpa/inet.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "agent/log.h"
#include "agent/node/borrowed_overlay.h"
#include "agent/node/node_agent.h"
#include "agent/node/pod_bridges.h"
#include "agent/reconcile/sysctl.h"

namespace podlane {
namespace {

unsigned all_rp_filter() {
    const auto text = read_sysctl("net/ipv4/conf/all/rp_filter");
    return text && !text->empty() && text->front() >= '0' && text->front() <= '9'
               ? static_cast<unsigned>(text->front() - '0')
               : 0;
}

// What was left out of a state that is good otherwise.
std::string describe_warnings(const std::vector<ObjectWarning>& warnings) {
    if (warnings.empty()) {
        return {};
    }
    const auto& first = warnings.front();
    return fmt::format("{} warnings, the first: {}: {}: {}", warnings.size(), first.object, first.field, first.message);
}

// The first of several errors, and how many more there are.
std::string summary(const std::vector<Error>& errors) {
    return errors.size() == 1 ? errors.front().message
                              : fmt::format("{} (and {} more)", errors.front().message, errors.size() - 1);
}

using LinksByName = std::map<std::string_view, const netlink::Link*>;

// The overlay device and the pods' host sides.
std::set<std::uint32_t> own_devices(const LinksByName& links, const EndpointStore& endpoints,
                                    const std::string& overlay_device) {
    std::set<std::uint32_t> own;
    const auto add = [&](const std::string& name) {
        if (const auto link = links.find(name); link != links.end()) {
            own.insert(link->second->ifindex);
        }
    };
    add(overlay_device);
    for (const auto& [id, endpoint] : endpoints.all()) {
        add(endpoint.host_interface);
    }
    return own;
}

}  // namespace

void NodeAgent::audit() {
    if (!forwarding_ || peers_->is_stale() || macvlans_.has_gone(endpoints_)) {
        reconcile();
        return;
    }
    if (!restore_pins()) {
        return;
    }
    const auto differing = maps_->reread();
    if (!differing) {
        health_.degraded("maps", differing.error().message, "see the agent's log");
    } else if (*differing > 0) {
        repairs_.record("maps", fmt::format("{} entries that somebody changed", *differing));
        reconcile_maps();
    }
    firewall_->reconcile(health_, repairs_);
    reconcile_hooks();
    open_shims();
    look_for_obstacles();
    health_.ok("repairs", repairs_.summary());
}

bool NodeAgent::restore_pins() {
    const auto restored = datapath_.restore_pins();
    if (!restored) {
        health_.degraded("datapath", restored.error().message, "see the agent's log");
        return false;
    }
    repairs_.note("datapath", *restored, *restored);
    return true;
}

void NodeAgent::audit_settings() {
    if (!forwarding_) {
        return;
    }
    const auto report = links_.reconcile_sysctls(wanted_network_);
    repairs_.note("overlay", report.changes, report.repairs);
    health_.ok("repairs", repairs_.summary());
}

void NodeAgent::pass() {
    if (settle() && move_hosts()) {
        [[maybe_unused]] const bool whole = settle();  // what is not is reported
    }
    moves_.announce(std::exchange(returned_, {}));
}

bool NodeAgent::settle() {
    const auto links = netlink::list_links(socket_);
    if (!links) {
        health_.failed("overlay", links.error().message, "see the agent's log");
        return false;
    }
    look_for_flannel(*links);
    if (!refresh_cluster() || !find_underlay_device(*links) || !look_up_addresses() ||
        !reconcile_host_network(*links)) {
        return false;
    }
    firewall_->reconcile(health_, repairs_);
    if (!load_datapath()) {
        return false;
    }
    reconcile_maps();
    reconcile_hooks();
    open_shims();
    report_pods();
    if (!moves_.report(health_)) {
        macvlans_.report(health_, shim_errors_, obstacle_);
    }
    health_.ok("repairs", repairs_.summary());
    forwarding_ = true;
    return true;
}

void NodeAgent::look_for_flannel(const std::vector<netlink::Link>& links) {
    const auto& overlay = settings_.overlay;
    auto found = overlay.flannel ? find_flannel_overlay(links, settings_.config.overlay.vni, overlay.port)
                                 : std::optional<netlink::Link>();
    if (found && !borrowed_) {
        log::info("device {} has UDP port {}: it is borrowed until it goes", found->name, overlay.port);
    } else if (!found && borrowed_) {
        log::info("device {} no longer has UDP port {}: {} takes its place", borrowed_->name, overlay.port,
                  overlay.device);
        if (const auto released = datapath_.release(borrowed_->ifindex); !released) {
            log::warning("{}", released.error().message);
            overlay_ifindex_ = 0;  // the new device gets another number
        }
    }
    borrowed_ = std::move(found);
    if (borrowed_) {
        overlay_ifindex_ = borrowed_->ifindex;
    }
}

bool NodeAgent::refresh_cluster() {
    const auto& source = source_.health();
    if (!source.problem.empty()) {
        health_.degraded("state", source.problem, "mend the state; the last good one is in use");
    }
    if (!source.in_sync) {
        return false;
    }
    const bool first = cluster_.nodes.empty();
    auto decided = decide_cluster(source_.objects(),
                                  first ? recall_cluster(source_.objects(), read_pod_cidr_owners(pins_)) : cluster_,
                                  {.node_name = settings_.config.node_name,
                                   .cluster_cidrs = settings_.overlay.cluster_cidrs,
                                   .flannel = settings_.overlay.flannel,
                                   .vni = settings_.config.overlay.vni});
    for (const auto& warning : decided.warnings) {
        if (std::ranges::find(cluster_.warnings, warning) == cluster_.warnings.end()) {
            log::warning("{}: {}: {}", warning.object, warning.field, warning.message);
        }
    }
    if (source.problem.empty()) {
        auto warnings = source.warnings;
        warnings.insert(warnings.end(), decided.warnings.begin(), decided.warnings.end());
        health_.ok("state", describe_warnings(warnings));
    }
    const Node* self = decided.self();
    if (self == nullptr) {
        health_.degraded("node", fmt::format("node {} is not in the cluster's state", settings_.config.node_name),
                         "check nodeName, and the Node object's InternalIP");
        return false;
    }
    cluster_ = std::move(decided);
    if (cluster_.self()->pod_cidrs.empty()) {
        health_.degraded("node", fmt::format("node {} has no podCIDR", settings_.config.node_name),
                         "pods cannot be added before the cluster assigns one");
    } else {
        health_.ok("node", fmt::format("{} {} {}", settings_.config.node_name, cluster_.self()->internal_ip,
                                       fmt::join(cluster_.self()->pod_cidrs, " ")));
    }
    return true;
}

bool NodeAgent::find_underlay_device(const std::vector<netlink::Link>& links) {
    auto underlay = find_underlay(socket_, links,
                                  {.configured_device = settings_.config.underlay.device,
                                   .node_address = cluster_.self()->vtep,
                                   .overlay_device = overlay_device()});
    if (!underlay) {
        health_.failed("underlay", underlay.error().message, "set underlay.device, or give the device its address");
        return false;
    }
    underlay_ = std::move(*underlay);
    if (!underlay_.is_up() || !underlay_.is_running()) {
        health_.degraded("underlay", fmt::format("{} is down", underlay_.name), "bring the device or its cable up");
    } else {
        health_.ok("underlay", fmt::format("{} mtu {}", underlay_.name, underlay_.mtu));
    }
    return true;
}

std::vector<AttachedPod> NodeAgent::attached_pods(const std::vector<netlink::Link>& links) {
    LinksByName by_name;
    for (const auto& link : links) {
        by_name.emplace(link.name, &link);
    }
    std::vector<AttachedPod> pods;
    std::vector<std::string> gone;
    pod_snat_.begin(addresses_.all(), own_devices(by_name, endpoints_, overlay_device()), cluster_.self()->internal_ip);
    for (const auto& [id, endpoint] : endpoints_.all()) {
        if (endpoint.link != "veth") {
            continue;
        }
        const auto link = by_name.find(endpoint.host_interface);
        if (link == by_name.end()) {
            gone.push_back(id);
            continue;
        }
        const auto* bridge = bridge_of(*link->second, links);
        pods.push_back({.ip = endpoint.ip,
                        .gateway = endpoint.gateway,
                        .mac = endpoint.mac,
                        .host_mac = (bridge == nullptr ? link->second : bridge)->mac.value_or(endpoint.host_mac),
                        .host_interface = endpoint.host_interface,
                        .ifindex = link->second->ifindex,
                        .mtu = pod_links_.follow(endpoint, *link->second, pod_mtu_),
                        .snat = pod_snat_.decide(source_.objects(), endpoint),
                        .way = bridge == nullptr ? WayToPod::own_route : WayToPod::bridge});
    }
    pod_snat_.end();
    for (const auto& id : gone) {
        log::info("endpoint {}: its device is gone", id);
        [[maybe_unused]] const auto erased = endpoints_.erase(id);
        pod_links_.forget(id);
    }
    return pods;
}

void NodeAgent::look_for_pod_bridges(const std::vector<netlink::Link>& links) {
    pod_bridges_ = find_pod_bridges(links, addresses_.all(), cluster_.self()->pod_cidrs);
    std::erase(pod_bridges_, underlay_.name);
}

DesiredInputs NodeAgent::desired_inputs() const {
    return {.cluster = &cluster_,
            .paths = &peers_->all(),
            .pods = &pods_,
            .underlay_mtu = underlay_.mtu,
            .all_rp_filter = all_rp_filter(),
            .macvlans = &macvlans_.all(),
            .uplinks = nat_devices_,
            .ip_masq_agent = ip_masq_agent_ ? &*ip_masq_agent_ : nullptr,
            .pod_bridges = pod_bridges_,
            .overlay = borrowed_ ? OverlayUse::borrowed : OverlayUse::own,
            .overlay_ifindex = overlay_ifindex_};
}

bool NodeAgent::reconcile_host_network(const std::vector<netlink::Link>& links) {
    pod_mtu_ = podlane::pod_mtu(settings_.overlay, underlay_.mtu);
    pods_ = attached_pods(links);
    look_for_pod_bridges(links);
    drop_gone_macvlan_pods();
    look_at_macvlans(links);
    if (!macvlans_.known()) {
        schedule_reconcile();
        return false;
    }
    const auto refreshed = peers_->refresh(socket_, cluster_, links, overlay_ifindex_);
    peers_->report(health_);
    if (!refreshed || !apply_host_network()) {
        return false;
    }
    choose_uplinks(look_at_new_shims().value_or(links));
    return true;
}

bool NodeAgent::apply_host_network() {
    wanted_network_ = desired_host_network(settings_.overlay, desired_inputs());
    const auto report = links_.reconcile(wanted_network_, Sweep::remove);
    if (!report) {
        health_.failed("overlay", report.error().message, "see the agent's log");
        return false;
    }
    repairs_.note("overlay", report->changes, report->repairs);
    shim_errors_ = report->shim_errors;
    std::ranges::copy(report->returned, std::back_inserter(returned_));
    overlay_ifindex_ = borrowed_ ? borrowed_->ifindex : report->overlay_ifindex;
    const auto overlay = netlink::find_link(socket_, overlay_device());
    overlay_mac_ = overlay && *overlay ? (*overlay)->mac : std::nullopt;
    if (!report->errors.empty()) {
        health_.degraded("overlay", summary(report->errors), "compare `agentctl link list`");
    } else if (borrowed_) {
        health_.degraded("overlay",
                         fmt::format("{} is borrowed: it has UDP port {}, and carries what the host's stack sends to "
                                     "other nodes, by flannel's routes",
                                     borrowed_->name, settings_.overlay.port),
                         "`agentctl migrate verify`, then `agentctl migrate commit`; or remove the device");
    } else {
        health_.ok("overlay",
                   fmt::format("{} mtu {}", settings_.overlay.device, overlay_mtu(settings_.overlay, underlay_.mtu)));
    }
    return overlay_ifindex_ != 0;
}

datapath_config NodeAgent::wanted_config() const {
    const Node& self = *cluster_.self();
    datapath_config config{};
    config.node_address = self.vtep.wire();
    config.overlay_address = overlay_address(settings_.overlay, self).wire();
    config.vni = settings_.config.overlay.vni;
    config.overlay_ifindex = overlay_ifindex_;
    config.overlay_port = htons(settings_.overlay.port);
    std::ranges::copy(node_vtep_mac(settings_.overlay, self).bytes(), config.vtep_mac);
    config.encapsulation = features_.encapsulation;
    config.nat = desired_nat(settings_.overlay.snat);
    return config;
}

bool NodeAgent::load_datapath() {
    const auto loaded = datapath_.load(wanted_config());
    if (!loaded) {
        health_.failed("datapath", loaded.error().message, "see the agent's log");
        return false;
    }
    if (*loaded) {
        log::info("programs loaded");
        guard_.reload();
    } else if (!restore_pins()) {
        return false;
    }
    if (*loaded || !maps_) {
        auto maps = MapReconciler::open(pins_);
        if (!maps) {
            health_.failed("maps", maps.error().message, "see the agent's log");
            return false;
        }
        maps_ = std::move(*maps);
        if (const auto started = start_sweeper(); !started) {
            health_.degraded("snat", started.error().message, "see the agent's log");
        }
    }
    return true;
}

// New pods have no traffic before their programs are in place; those of a bridge have.
void NodeAgent::look_at_pod_hooks() {
    for (auto& pod : pods_) {
        pod.hooked = pod.way == WayToPod::own_route || datapath_.is_occupied(Hook::from_pod, pod.ifindex);
    }
}

void NodeAgent::reconcile_maps() {
    look_up_nat_devices();
    look_at_pod_hooks();
    const auto report = maps_->reconcile(desired_maps(settings_.overlay, desired_inputs()));
    if (report.updated + report.removed > 0) {
        log::info("maps: {} entries updated, {} removed", report.updated, report.removed);
    }
    if (!report.errors.empty()) {
        health_.degraded("maps", summary(report.errors), "compare `agentctl map stats`");
    } else {
        health_.ok("maps");
    }
}

std::map<std::uint32_t, std::string> NodeAgent::underlay_devices() const {
    std::map<std::uint32_t, std::string> devices = {{underlay_.ifindex, underlay_.name}};
    for (const auto& [name, path] : peers_->all()) {
        if (path.ifindex != 0) {
            devices.emplace(path.ifindex, path.device);
        }
    }
    return devices;
}

std::vector<WantedHook> NodeAgent::wanted_hooks() const {
    std::vector<WantedHook> hooks = {{Hook::from_overlay, overlay_ifindex_, overlay_device()},
                                     {Hook::to_overlay, overlay_ifindex_, overlay_device()}};
    for (const auto& pod : pods_) {
        hooks.push_back({Hook::from_pod, pod.ifindex, pod.host_interface});
        hooks.push_back({Hook::to_pod, pod.ifindex, pod.host_interface});
    }
    std::ranges::move(uplinks_.hooks(underlay_devices()), std::back_inserter(hooks));
    for (const auto& network : macvlans_.all()) {
        std::ranges::move(hooks_of(network), std::back_inserter(hooks));
    }
    return hooks;
}

void NodeAgent::reconcile_hooks() {
    const auto report = datapath_.reconcile(wanted_hooks(), Sweep::remove);
    repairs_.note("datapath", report.changes, report.repairs);
    if (!report.errors.empty()) {
        health_.degraded("datapath", summary(report.errors), "see the agent's log");
    } else {
        health_.ok("datapath",
                   fmt::format("programs attached by {}", features_.attach == AttachMethod::tcx ? "TCX" : "clsact"));
    }
    // A device is used once its hook stands.
    if (!report.changes.empty()) {
        reconcile_maps();
    }
    const auto guarded = guard_.reconcile(wanted_config(), wanted_hooks());
    repairs_.note("guard", guarded.changes, guarded.repairs);
    guard_.report(health_);
}

void NodeAgent::report_pods() {
    const auto macvlan = std::ranges::count(endpoints_.all(), std::string("macvlan"),
                                            [](const auto& entry) { return entry.second.link; });
    const auto warnings = describe_warnings(pod_snat_.warnings());
    health_.ok("pods", fmt::format("{} attached{}{}{}", pods_.size(),
                                   macvlan == 0 ? std::string() : fmt::format(", and {} by macvlan", macvlan),
                                   warnings.empty() ? "" : "; ", warnings));
}

}  // namespace podlane
