// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_agent.h"

#include <arpa/inet.h>
#include <sys/epoll.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "agent/link/ownership.h"
#include "agent/log.h"
#include "agent/reconcile/sysctl.h"

namespace podlane {
namespace {

// Events come in bursts (a flap flushes every route); one pass answers all of them.
constexpr auto reconcile_delay = std::chrono::milliseconds(20);
// How often hooks, pins, maps and iptables-legacy's rules are looked at: nothing tells when somebody removes one.
constexpr auto audit_period = std::chrono::seconds(3);
// The same for settings of which the kernel tells no changes (accept_local).
constexpr auto settings_audit_period = std::chrono::milliseconds(700);

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

}  // namespace

NodeAgent::NodeAgent(EventLoop& loop, Source& source, NodeSettings settings, Kernel kernel)
    : loop_(loop),
      source_(source),
      settings_(std::move(settings)),
      features_(kernel.features),
      pins_(settings_.bpffs),
      health_({"config", "state", "node", "underlay", "overlay", "peers", "firewall", "datapath", "guard", "maps", "pods",
               "repairs"}),
      endpoints_(settings_.run_dir / "endpoints"),
      socket_(std::move(kernel.socket)),
      monitor_(std::move(kernel.monitor)),
      links_(socket_, SysctlRecord((settings_.run_dir / "sysctls.json").string())),
      pod_links_(socket_),
      datapath_(pins_, features_),
      guard_(socket_, pins_, {.mode = settings_.guard, .buffers = features_.xdp}) {
    health_.ok("config");
    health_.ok("repairs", repairs_.summary());
}

Result<std::unique_ptr<NodeAgent>> NodeAgent::create(EventLoop& loop, Source& source, NodeSettings settings,
                                                     const KernelFeatures& features) {
    auto socket = netlink::Socket::open();
    if (!socket) {
        return std::unexpected(socket.error());
    }
    auto monitor = netlink::Monitor::open();
    if (!monitor) {
        return std::unexpected(monitor.error());
    }
    std::unique_ptr<NodeAgent> agent(
        new NodeAgent(loop, source, std::move(settings), Kernel{features, std::move(*socket), std::move(*monitor)}));
    if (auto started = agent->start(); !started) {
        return std::unexpected(started.error());
    }
    return agent;
}

Result<void> NodeAgent::start() {
    if (!settings_.underlay_device.empty()) {
        const auto link = netlink::find_link(socket_, settings_.underlay_device);
        if (!link || !*link) {
            return fail("underlay.device: there is no device {}", settings_.underlay_device);
        }
    }
    auto peers = PeerPaths::create(loop_, settings_.overlay.mode, [this] { schedule_reconcile(); });
    if (!peers) {
        return std::unexpected(peers.error());
    }
    peers_ = std::move(*peers);
    auto firewall = Firewall::create(loop_, settings_.overlay.cluster_cidrs, [this] { schedule_reconcile(); });
    if (!firewall) {
        return std::unexpected(firewall.error());
    }
    firewall_ = std::move(*firewall);
    if (auto created = pins_.create(); !created) {
        return created;
    }
    std::vector<std::string> problems;
    if (auto loaded = endpoints_.load(problems); !loaded) {
        return loaded;
    }
    for (const auto& problem : problems) {
        log::warning("endpoint record left out: {}", problem);
    }
    if (auto rebuilt = rebuild_endpoints(); !rebuilt) {
        return rebuilt;
    }
    auto watched = loop_.watch(monitor_.fd(), EPOLLIN, [this](std::uint32_t) { on_netlink(); });
    if (!watched) {
        return std::unexpected(watched.error());
    }
    auto audited = loop_.every(audit_period, [this] { audit(); });
    auto settings_audited = loop_.every(settings_audit_period, [this] { audit_settings(); });
    if (!audited || !settings_audited) {
        return std::unexpected(audited ? settings_audited.error() : audited.error());
    }
    netlink_watch_ = std::move(*watched);
    audit_ = std::move(*audited);
    settings_audit_ = std::move(*settings_audited);
    source_.on_change([this] { on_source_change(); });
    reconcile();
    return {};
}

Result<void> NodeAgent::rebuild_endpoints() {
    const auto links = netlink::list_links(socket_);
    if (!links) {
        return std::unexpected(links.error());
    }
    for (const auto& id : endpoints_.rebuild(*links)) {
        log::info("endpoint {}: rebuilt from its device", id);
    }
    return {};
}

void NodeAgent::on_source_change() {
    reconcile();
}

bool NodeAgent::concerns_underlay(const netlink::Event& event) const {
    if (const auto* link = std::get_if<netlink::LinkEvent>(&event)) {
        return link->link.ifindex == underlay_.ifindex || underlay_.ifindex == 0 ||
               peers_->uses_device(link->link.ifindex);
    }
    if (const auto* address = std::get_if<netlink::AddressEvent>(&event)) {
        return address->address.ifindex != overlay_ifindex_;
    }
    if (const auto* route = std::get_if<netlink::RouteEvent>(&event)) {
        return route->route.protocol != route_protocol;
    }
    return std::holds_alternative<netlink::Overrun>(event);
}

void NodeAgent::on_netlink() {
    bool disturbed = false;
    const auto drained = monitor_.drain([&](const netlink::Event& event) {
        disturbed = disturbed || concerns_underlay(event) || may_disturb(event, wanted_network_, overlay_ifindex_);
        if (std::holds_alternative<netlink::Overrun>(event)) {
            ++overruns_;
            log::warning("netlink events were lost: everything is read anew");
        }
    });
    if (!drained) {
        log::error("{}", drained.error().message);
    }
    if (disturbed) {
        schedule_reconcile();
    }
}

void NodeAgent::schedule_reconcile() {
    if (pending_.active()) {
        return;
    }
    auto timer = loop_.after(reconcile_delay, [this] {
        pending_.cancel();
        reconcile();
    });
    if (timer) {
        pending_ = std::move(*timer);
    } else {
        reconcile();
    }
}

void NodeAgent::audit() {
    if (!forwarding_) {
        reconcile();
        return;
    }
    if (const auto restored = datapath_.restore_pins(); !restored) {
        health_.degraded("datapath", restored.error().message, "see the agent's log");
        return;
    } else {
        repairs_.note("datapath", *restored, *restored);
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
    health_.ok("repairs", repairs_.summary());
}

void NodeAgent::audit_settings() {
    if (!forwarding_) {
        return;
    }
    const auto report = links_.reconcile_sysctls(wanted_network_);
    repairs_.note("overlay", report.changes, report.repairs);
    health_.ok("repairs", repairs_.summary());
}

void NodeAgent::reconcile() {
    const auto links = netlink::list_links(socket_);
    if (!links) {
        health_.failed("overlay", links.error().message, "see the agent's log");
        return;
    }
    if (!refresh_cluster() || !find_underlay_device(*links) || !reconcile_host_network(*links)) {
        return;
    }
    firewall_->reconcile(health_, repairs_);
    if (!load_datapath()) {
        return;
    }
    reconcile_maps();
    reconcile_hooks();
    report_pods();
    health_.ok("repairs", repairs_.summary());
    forwarding_ = true;
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
                                  {.node_name = settings_.node_name,
                                   .cluster_cidrs = settings_.overlay.cluster_cidrs,
                                   .flannel = settings_.overlay.flannel});
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
        health_.degraded("node", fmt::format("node {} is not in the cluster's state", settings_.node_name),
                         "check nodeName, and the Node object's InternalIP");
        return false;
    }
    cluster_ = std::move(decided);
    if (cluster_.self()->pod_cidrs.empty()) {
        health_.degraded("node", fmt::format("node {} has no podCIDR", settings_.node_name),
                         "pods cannot be added before the cluster assigns one");
    } else {
        health_.ok("node", fmt::format("{} {} {}", settings_.node_name, cluster_.self()->internal_ip,
                                       fmt::join(cluster_.self()->pod_cidrs, " ")));
    }
    return true;
}

bool NodeAgent::find_underlay_device(const std::vector<netlink::Link>& links) {
    auto underlay = find_underlay(socket_, links,
                                  {.configured_device = settings_.underlay_device,
                                   .node_address = cluster_.self()->vtep,
                                   .overlay_device = settings_.overlay.device});
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
    std::map<std::string_view, const netlink::Link*> by_name;
    for (const auto& link : links) {
        by_name.emplace(link.name, &link);
    }
    std::vector<AttachedPod> pods;
    std::vector<std::string> gone;
    for (const auto& [id, endpoint] : endpoints_.all()) {
        const auto link = by_name.find(endpoint.host_interface);
        if (link == by_name.end()) {
            gone.push_back(id);
            continue;
        }
        pods.push_back({.ip = endpoint.ip,
                        .gateway = endpoint.gateway,
                        .mac = endpoint.mac,
                        .host_mac = link->second->mac.value_or(endpoint.host_mac),
                        .host_interface = endpoint.host_interface,
                        .ifindex = link->second->ifindex,
                        .mtu = pod_links_.follow(endpoint, *link->second, pod_mtu_)});
    }
    for (const auto& id : gone) {
        log::info("endpoint {}: its device is gone", id);
        [[maybe_unused]] const auto erased = endpoints_.erase(id);
        pod_links_.forget(id);
    }
    return pods;
}

DesiredInputs NodeAgent::desired_inputs() const {
    return {.cluster = &cluster_,
            .paths = &peers_->all(),
            .pods = &pods_,
            .underlay_mtu = underlay_.mtu,
            .all_rp_filter = all_rp_filter()};
}

bool NodeAgent::reconcile_host_network(const std::vector<netlink::Link>& links) {
    pod_mtu_ = podlane::pod_mtu(settings_.overlay, underlay_.mtu);
    pods_ = attached_pods(links);
    peers_->refresh(socket_, cluster_, links, overlay_ifindex_);
    peers_->report(health_);
    wanted_network_ = desired_host_network(settings_.overlay, desired_inputs());
    const auto report = links_.reconcile(wanted_network_, Sweep::remove);
    if (!report) {
        health_.failed("overlay", report.error().message, "see the agent's log");
        return false;
    }
    repairs_.note("overlay", report->changes, report->repairs);
    overlay_ifindex_ = report->overlay_ifindex;
    if (!report->errors.empty()) {
        health_.degraded("overlay", summary(report->errors), "compare `agentctl link list`");
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
    config.vni = settings_.vni;
    config.overlay_ifindex = overlay_ifindex_;
    config.overlay_port = htons(settings_.overlay.port);
    std::ranges::copy(node_vtep_mac(settings_.overlay, self).bytes(), config.vtep_mac);
    config.encapsulation = features_.encapsulation;
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
        auto maps = MapReconciler::open(pins_);
        if (!maps) {
            health_.failed("maps", maps.error().message, "see the agent's log");
            return false;
        }
        maps_ = std::move(*maps);
    }
    return true;
}

void NodeAgent::reconcile_maps() {
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

std::vector<WantedHook> NodeAgent::wanted_hooks() const {
    std::vector<WantedHook> hooks = {{Hook::from_overlay, overlay_ifindex_, settings_.overlay.device},
                                     {Hook::to_overlay, overlay_ifindex_, settings_.overlay.device}};
    for (const auto& pod : pods_) {
        hooks.push_back({Hook::from_pod, pod.ifindex, pod.host_interface});
        hooks.push_back({Hook::to_pod, pod.ifindex, pod.host_interface});
    }
    std::set<std::uint32_t> underlays = {underlay_.ifindex};
    for (const auto& [name, path] : peers_->all()) {
        if (path.ifindex != 0) {
            underlays.insert(path.ifindex);
        }
    }
    for (const auto ifindex : underlays) {
        const auto device = ifindex == underlay_.ifindex ? underlay_.name : fmt::format("device {}", ifindex);
        hooks.push_back({Hook::from_underlay, ifindex, device});
        hooks.push_back({Hook::to_underlay, ifindex, device});
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
    const auto guarded = guard_.reconcile(wanted_config(), wanted_hooks());
    repairs_.note("guard", guarded.changes, guarded.repairs);
    guard_.report(health_);
}

void NodeAgent::report_pods() {
    health_.ok("pods", fmt::format("{} attached", pods_.size()));
}

std::optional<std::string> NodeAgent::not_ready() const {
    if (!source_.health().in_sync) {
        return "the cluster's state has not been read yet";
    }
    const Node* self = cluster_.self();
    if (self == nullptr) {
        return fmt::format("node {} is not in the cluster's state", settings_.node_name);
    }
    if (self->pod_cidrs.empty()) {
        return fmt::format("node {} has no podCIDR yet", settings_.node_name);
    }
    if (!forwarding_) {
        return "the datapath is not up yet: see agentctl status";
    }
    return std::nullopt;
}

Result<void> NodeAgent::add_endpoint(const Endpoint& endpoint) {
    const auto link = netlink::find_link(socket_, endpoint.host_interface);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (!*link) {
        return fail("there is no device {}", endpoint.host_interface);
    }
    if (auto stored = endpoints_.put(endpoint); !stored) {
        return stored;
    }
    reconcile();
    const auto ifindex = (*link)->ifindex;
    const auto hooks = datapath_.inspect(
        {{Hook::from_pod, ifindex, endpoint.host_interface}, {Hook::to_pod, ifindex, endpoint.host_interface}});
    const bool forwards = std::ranges::all_of(hooks, [](const LinkItem& hook) { return hook.state == LinkState::ok; });
    if (!forwards) {
        [[maybe_unused]] const auto erased = endpoints_.erase(endpoint.id());
        return fail("the programs could not be attached to {}", endpoint.host_interface);
    }
    return {};
}

Result<bool> NodeAgent::remove_endpoint(const std::string& id) {
    auto erased = endpoints_.erase(id);
    if (erased && *erased) {
        reconcile();
    }
    return erased;
}

void NodeAgent::report_config_problem(std::string problem) {
    if (problem.empty()) {
        health_.ok("config");
    } else {
        health_.degraded("config", std::move(problem), "mend the configuration; the last good one is in use");
    }
}

Result<std::vector<LinkItem>> NodeAgent::inspect_links() {
    auto items = links_.inspect(wanted_network_);
    if (!items || overlay_ifindex_ == 0) {
        return items;
    }
    auto rules = firewall_->inspect();
    if (!rules) {
        return rules;
    }
    std::ranges::move(*rules, std::back_inserter(*items));
    std::ranges::move(datapath_.inspect(wanted_hooks()), std::back_inserter(*items));
    std::ranges::move(guard_.inspect(), std::back_inserter(*items));
    return items;
}

}  // namespace podlane
