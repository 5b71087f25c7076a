// SPDX-License-Identifier: Apache-2.0
// podlane-agent: the daemon of one node. Wiring only.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "agent/config/command_line.h"
#include "agent/config/config.h"
#include "agent/link/host_network.h"
#include "agent/log.h"
#include "agent/node/announcement.h"
#include "agent/node/cleanup.h"
#include "agent/node/control_socket.h"
#include "agent/node/masquerade_file.h"
#include "agent/node/monitoring.h"
#include "agent/node/node_agent.h"
#include "agent/node/own_address.h"
#include "agent/node/publication.h"
#include "agent/node/reload.h"
#include "agent/node/requirements.h"
#include "agent/node/signals.h"
#include "agent/service_manager.h"
#include "agent/source/etcd/etcd_source.h"
#include "agent/source/file_source.h"
#include "agent/source/kube/kubernetes_source.h"
#include "agent/source/kube/node_status.h"

namespace podlane {
namespace {

PathMode path_mode(OverlayMode mode) {
    switch (mode) {
        case OverlayMode::automatic:
            return PathMode::automatic;
        case OverlayMode::vxlan:
            return PathMode::vxlan;
        case OverlayMode::host_gw:
            return PathMode::host_gw;
    }
    return PathMode::automatic;
}

NodeSettings settings_of(const Config& config) {
    return {.config = config,
            .overlay = {.mode = path_mode(config.overlay.mode),
                        .device = config.overlay.device,
                        .port = config.overlay.port,
                        .mtu = config.overlay.mtu,
                        .flannel = config.overlay.flannel,
                        .cluster_cidrs = config.cluster_cidrs,
                        .snat = {.enabled = config.snat.enabled,
                                 .macvlan = !config.macvlan.empty(),
                                 .non_masquerade_cidrs = config.snat.non_masquerade_cidrs,
                                 .service_cidrs = config.service_cidrs,
                                 .port_low = config.snat.port_range.low,
                                 .port_high = config.snat.port_range.high}}};
}

// Others read subnet.env in it: only the records and the socket are private.
Result<void> make_run_directory(const std::string& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) {
        return fail_errno(error.value(), "create directory {}", path);
    }
    return {};
}

// Null: there is none to follow.
Result<std::unique_ptr<FollowedFile>> follow_masquerade_file(EventLoop& loop, NodeAgent& agent,
                                                             const SnatConfig& snat) {
    if (!snat.enabled || snat.ip_masq_agent_file.empty()) {
        return nullptr;
    }
    return follow_ip_masq_agent(loop, agent, snat.ip_masq_agent_file);
}

KubeAccessSource access_of(const Config& config) {
    return {.kubeconfig = config.state.kubeconfig, .environment = read_host_facts().environment};
}

// What would end an agent as it starts, though its configuration is good.
Result<void> check_start(const Config& config) {
    if (config.state.source != StateSource::kubernetes) {
        return {};
    }
    const auto access = read_access(access_of(config));
    return access ? Result<void>() : std::unexpected(access.error());
}

Result<std::unique_ptr<Source>> make_etcd_source(EventLoop& loop, const Config& config) {
    const auto& etcd = config.state.etcd;
    using Mac = etcd::Claim::Options::Mac;
    return EtcdSource::create(loop,
                              {.access = {.endpoints = etcd.endpoints,
                                          .ca_file = etcd.ca_file,
                                          .cert_file = etcd.cert_file,
                                          .key_file = etcd.key_file},
                               .prefix = etcd.prefix,
                               .node_name = config.node_name,
                               .cache_file = config.state.cache_file,
                               .cluster_cidrs = config.cluster_cidrs,
                               .vni = config.overlay.vni,
                               .port = config.overlay.port,
                               .mac = config.overlay.flannel ? Mac::keep : Mac::own,
                               .own_address = [device = config.underlay.device] { return find_own_address(device); },
                               .vtep_mac = &vtep_mac});
}

Result<std::unique_ptr<Source>> make_source(EventLoop& loop, const Config& config) {
    if (config.state.source == StateSource::etcd) {
        return make_etcd_source(loop, config);
    }
    if (config.state.source == StateSource::kubernetes) {
        return KubernetesSource::create(
            loop, {.access = access_of(config), .node_name = config.node_name, .cache_file = config.state.cache_file});
    }
    return FileSource::create(loop, {.path = config.state.file, .node_name = config.node_name});
}

// Who is told of the node, besides agentctl and the plugin.
struct Outside {
    std::unique_ptr<Monitoring> monitoring;  // null: turned off
    std::unique_ptr<NodeStatus> status;      // null: there is no API server
    std::unique_ptr<Announcement> announcement;
};

Result<Outside> tell_outside(EventLoop& loop, NodeAgent& agent, const Config& config) {
    Outside outside;
    if (config.listen) {
        auto monitoring = Monitoring::start(loop, agent, *config.listen);
        if (!monitoring) {
            return std::unexpected(monitoring.error());
        }
        outside.monitoring = std::move(*monitoring);
    }
    if (config.state.source == StateSource::kubernetes) {
        auto status = NodeStatus::create(loop, {.access = access_of(config),
                                                .node_name = config.node_name,
                                                .startup_taint = config.kubernetes.startup_taint,
                                                .report = [&agent](const NodeStatus::Trouble& trouble) {
                                                    agent.report_publication(trouble.reason, trouble.action);
                                                }});
        if (!status) {
            return std::unexpected(status.error());
        }
        outside.status = std::move(*status);
    }
    auto announcement = Announcement::start(loop, agent, config.cni, [&agent, status = outside.status.get()] {
        const auto wanted = wanted_annotations(agent);
        if (status != nullptr && !wanted.empty()) {
            status->publish(wanted, present_annotations(agent));
        }
    });
    if (!announcement) {
        return std::unexpected(announcement.error());
    }
    outside.announcement = std::move(*announcement);
    return outside;
}

// The control socket's name, which goes when the agent ends: nobody answers on it then.
class SocketName {
public:
    explicit SocketName(std::filesystem::path path) : path_(std::move(path)) {}
    SocketName(const SocketName&) = delete;
    SocketName& operator=(const SocketName&) = delete;
    ~SocketName() {
        std::error_code error;
        std::filesystem::remove(path_, error);
    }

private:
    std::filesystem::path path_;
};

// Runs until SIGTERM or SIGINT. Members are destroyed in reverse order: the loop goes last.
Result<void> run_agent(const Invocation& invocation, const Config& config, char** arguments) {
    const auto features = probe_node(invocation.without);
    if (!features) {
        return std::unexpected(features.error());
    }
    if (auto made = make_run_directory(config.run_dir); !made) {
        return made;
    }
    auto loop = EventLoop::create();
    if (!loop) {
        return std::unexpected(loop.error());
    }
    const auto socket = std::filesystem::path(config.run_dir) / "agent.sock";
    auto listener = listen_unix(socket);
    if (!listener) {
        return std::unexpected(listener.error());
    }
    const SocketName socket_name(socket);
    auto source = make_source(**loop, config);
    if (!source) {
        return std::unexpected(source.error());
    }
    auto agent = NodeAgent::create(**loop, **source, settings_of(config), *features);
    if (!agent) {
        return std::unexpected(agent.error());
    }
    const auto masquerade = follow_masquerade_file(**loop, **agent, config.snat);
    if (!masquerade) {
        return std::unexpected(masquerade.error());
    }
    const auto control = ControlSocket::serve(**loop, **agent, socket, std::move(*listener));
    if (!control) {
        return std::unexpected(control.error());
    }
    const auto outside = tell_outside(**loop, **agent, config);
    if (!outside) {
        return std::unexpected(outside.error());
    }
    const auto service =
        ServiceManager::create(**loop, read_host_facts().environment, [&agent] { return (*agent)->not_ready(); });
    if (!service) {
        return std::unexpected(service.error());
    }
    const auto reload = Reload::create(**loop, {invocation.flags, arguments, &check_start}, **agent, **service);
    if (!reload) {
        return std::unexpected(reload.error());
    }
    const auto stop = [&] {
        (*service)->stopping();
        (*loop)->stop();
    };
    const auto signals =
        SignalWatch::create(**loop, {{SIGTERM, stop}, {SIGINT, stop}, {SIGHUP, [&] { (*reload)->now(); }}});
    if (!signals) {
        return std::unexpected(signals.error());
    }
    if (auto started = (*source)->start(); !started) {
        return started;
    }
    log::info("podlane-agent {} runs for node {}", PODLANE_VERSION, config.node_name);
    if (auto ran = (*loop)->run(); !ran) {
        return ran;
    }
    log::info("stopped; the datapath goes on forwarding");
    return {};
}

Result<void> execute(const Invocation& invocation, char** arguments) {
    const auto config = load_config(invocation.flags, read_host_facts());
    if (!config) {
        return std::unexpected(config.error());
    }
    log::configure(config->log_level, config->log_format);
    if (invocation.command == AgentCommand::cleanup) {
        return clean_up({.run_dir = config->run_dir, .bpffs = config->bpffs, .overlay_device = config->overlay.device},
                        invocation.dry_run ? CleanupMode::dry_run : CleanupMode::remove);
    }
    if (invocation.command == AgentCommand::check_config) {
        fmt::print("configuration is good\n");
        return {};
    }
    return run_agent(invocation, *config, arguments);
}

}  // namespace
}  // namespace podlane

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const auto invocation = podlane::parse_command_line(arguments);
    if (!invocation) {
        std::fputs(invocation.error().text.c_str(), invocation.error().status == 0 ? stdout : stderr);
        return invocation.error().status;
    }
    const auto done = podlane::execute(*invocation, argv);
    if (!done) {
        fmt::print(stderr, "podlane-agent: {}\n", done.error().message);
        return 1;
    }
    return 0;
}
