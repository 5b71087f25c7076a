// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_agent.h"

#include <sys/epoll.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/link/ownership.h"
#include "agent/log.h"

namespace podlane {
namespace {

// How often hooks, pins, maps and iptables-legacy's rules are looked at: nothing tells when somebody removes one.
constexpr auto audit_period = std::chrono::seconds(3);
// The same for settings of which the kernel tells no changes (accept_local).
constexpr auto settings_audit_period = std::chrono::milliseconds(700);
// A part of the table of translations at a time: all of it in 8 s at most.
constexpr auto nat_sweep_period = std::chrono::seconds(1);

std::filesystem::path in_run_dir(const Config& config, const char* name) {
    return std::filesystem::path(config.run_dir) / name;
}

}  // namespace

NodeAgent::NodeAgent(EventLoop& loop, Source& source, NodeSettings settings, Kernel kernel)
    : loop_(loop),
      source_(source),
      settings_(std::move(settings)),
      features_(kernel.features),
      pins_(settings_.config.bpffs),
      health_({"config", "state", "node", "underlay", "overlay", "peers", "firewall", "datapath", "guard", "maps",
               "snat", "pods", "macvlan", "publication", "repairs"}),
      endpoints_(in_run_dir(settings_.config, "endpoints")),
      socket_(std::move(kernel.socket)),
      monitor_(std::move(kernel.monitor)),
      links_(socket_, SysctlRecord(in_run_dir(settings_.config, "sysctls.json").string())),
      pod_links_(socket_),
      datapath_(pins_, features_),
      guard_(socket_, pins_, {.mode = settings_.config.underlay.xdp, .buffers = features_.xdp}),
      macvlans_(settings_.config.macvlan, in_run_dir(settings_.config, "macvlan-adopted.json")),
      moves_(loop_, socket_, settings_.config.macvlan, [this] { schedule_reconcile(); }) {
    health_.ok("config");
    health_.ok("publication", settings_.config.state.source == StateSource::kubernetes
                                  ? "the Node is written when pods can be added"
                                  : "no Node is written: the cluster's state is not of an API server");
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
    if (!settings_.config.underlay.device.empty()) {
        const auto link = netlink::find_link(socket_, settings_.config.underlay.device);
        if (!link || !*link) {
            return fail("underlay.device: there is no device {}", settings_.config.underlay.device);
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
    if (auto remembered = links_.record().remember(); !remembered) {
        log::warning("{}", remembered.error().message);
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
    auto swept = loop_.every(nat_sweep_period, [this] { sweep_translations(); });
    for (const auto* timer : {&audited, &settings_audited, &swept}) {
        if (!*timer) {
            return std::unexpected(timer->error());
        }
    }
    netlink_watch_ = std::move(*watched);
    audit_ = std::move(*audited);
    settings_audit_ = std::move(*settings_audited);
    nat_sweep_ = std::move(*swept);
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
    return macvlans_.adopt(socket_, *links, endpoints_);
}

void NodeAgent::on_source_change() {
    reconcile();
}

bool NodeAgent::concerns_underlay(const netlink::Event& event) const {
    if (const auto* link = std::get_if<netlink::LinkEvent>(&event)) {
        return link->link.ifindex == underlay_.ifindex || underlay_.ifindex == 0 ||
               peers_->uses_device(link->link.ifindex) || uplinks_.concerns(*link) || macvlans_.concerned_by(*link);
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
        moves_.observe(event);
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
    auto timer = loop_.after(pace_.delay(PassPace::Clock::now()), [this] {
        pending_.cancel();
        if (pace_.is_too_early(PassPace::Clock::now())) {  // another pass ran meanwhile
            schedule_reconcile();
        } else {
            reconcile();
        }
    });
    if (timer) {
        pending_ = std::move(*timer);
    } else {
        reconcile();
    }
}

void NodeAgent::reconcile() {
    const auto start = PassPace::Clock::now();
    pass();
    const auto end = PassPace::Clock::now();
    pace_.ran(start, end);
    pass_times_.add(end - start);
}

std::vector<std::pair<std::string_view, std::size_t>> NodeAgent::map_sizes() const {
    return maps_ ? maps_->sizes() : std::vector<std::pair<std::string_view, std::size_t>>();
}

std::optional<std::string> NodeAgent::not_ready() const {
    if (!source_.health().in_sync) {
        return "the cluster's state has not been read yet";
    }
    const Node* self = cluster_.self();
    if (self == nullptr) {
        return fmt::format("node {} is not in the cluster's state", settings_.config.node_name);
    }
    if (self->pod_cidrs.empty()) {
        return fmt::format("node {} has no podCIDR yet", settings_.config.node_name);
    }
    if (!forwarding_) {
        return "the datapath is not up yet: see agentctl status";
    }
    return std::nullopt;
}

Result<void> NodeAgent::add_endpoint(const Endpoint& endpoint) {
    if (endpoint.link == "macvlan") {
        return add_macvlan_endpoint(endpoint);
    }
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
    if (erased && !*erased) {
        erased = macvlans_.forget(id);
    }
    if (erased && *erased) {
        reconcile();
    }
    return erased;
}

Result<void> NodeAgent::restore_records(std::string_view what) {
    repairs_.record("control", what);
    health_.ok("repairs", repairs_.summary());
    if (auto written = endpoints_.rewrite(); !written) {
        return written;
    }
    if (auto written = macvlans_.rewrite(); !written) {
        return written;
    }
    return links_.record().restore();
}

void NodeAgent::report_config_problem(std::string problem) {
    config_problem_ = std::move(problem);
    report_config();
}

void NodeAgent::report_publication(const std::string& problem, std::string action) {
    if (problem.empty()) {
        health_.ok("publication", "the Node is as it should be");
    } else {
        health_.degraded("publication", "the Node cannot be written: " + problem, std::move(action));
    }
}

void NodeAgent::use_ip_masq_agent(const Result<IpMasqAgentConfig>& rules) {
    ip_masq_agent_problem_ = rules ? "" : rules.error().message;
    report_config();
    auto holds = rules ? std::optional(*rules) : ip_masq_agent_;
    if (!holds) {
        holds = read_ip_masq_agent(pins_);
        log::info("{} networks stay untranslated that an earlier agent left so", holds->non_masquerade_cidrs.size());
    }
    if (holds != ip_masq_agent_) {
        ip_masq_agent_ = std::move(holds);
        reconcile();
    }
}

void NodeAgent::report_config() {
    if (!config_problem_.empty()) {
        health_.degraded("config", config_problem_, "mend the configuration; the last good one is in use");
    } else if (!ip_masq_agent_problem_.empty()) {
        health_.degraded("config", ip_masq_agent_problem_, "mend the file; what it said before is in use");
    } else {
        health_.ok("config");
    }
}

Result<std::vector<LinkItem>> NodeAgent::inspect_links() {
    auto items = links_.inspect(wanted_network_);
    if (!items || overlay_ifindex_ == 0 || !forwarding_) {
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
