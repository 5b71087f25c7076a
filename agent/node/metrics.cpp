// SPDX-License-Identifier: Apache-2.0
#include "agent/node/metrics.h"

#include <array>
#include <map>
#include <string_view>

#include "agent/observe/exposition.h"
#include "agent/observe/process_use.h"
#include "agent/state/desired_state.h"
#include "maps/catalog.h"
#include "maps/names.h"
#include "maps/typed_map.h"

namespace podlane {
namespace {

using Type = Exposition::Type;

// Two families of one set of counters: a family's samples stand together.
struct CounterNames {
    std::string_view packets;
    std::string_view packets_help;
    std::string_view bytes;
    std::string_view bytes_help;
};

// Frames as the hooks see them.
template <typename Rows, typename Sample>
void write_counters(Exposition& out, const CounterNames& names, const Rows& rows, const Sample& sample) {
    out.family(names.packets, Type::counter, names.packets_help);
    for (const auto& [key, counter] : rows) {
        sample(key, static_cast<double>(counter.packets));
    }
    out.family(names.bytes, Type::counter, names.bytes_help);
    for (const auto& [key, counter] : rows) {
        sample(key, static_cast<double>(counter.bytes));
    }
}

// What all CPUs counted, by key; empty when the map cannot be read.
template <typename Spec>
std::vector<std::pair<typename Spec::Key, packet_counter>> totals(const PinDirectory& pins) {
    std::vector<std::pair<typename Spec::Key, packet_counter>> rows;
    const auto map = ReadOnlyMap<Spec>::open(pins.map(Spec::name));
    if (map) {
        [[maybe_unused]] const auto read =
            map->for_each([&](const auto& key, const auto& counters) { rows.emplace_back(key, sum(counters)); });
    }
    return rows;
}

void write_paths(Exposition& out, const PinDirectory& pins) {
    write_counters(out,
                   {.packets = "podlane_forwarded_packets_total",
                    .packets_help = "Packets that the programs forwarded, by path.",
                    .bytes = "podlane_forwarded_bytes_total",
                    .bytes_help = "Bytes of these packets, Ethernet header included."},
                   totals<spec::path_counters>(pins), [&](std::uint32_t path, double value) {
                       out.sample({{"path", name_of(names::forward_paths, path)}}, value);
                   });
}

template <typename Spec>
void write_reasons(Exposition& out, const CounterNames& names, Names reasons, const PinDirectory& pins) {
    write_counters(out, names, totals<Spec>(pins), [&](const reason_key& key, double value) {
        out.sample({{"reason", name_of(reasons, key.reason)}, {"direction", name_of(names::directions, key.direction)}},
                   value);
    });
}

void write_datapath(Exposition& out, const NodeAgent& agent) {
    const PinDirectory pins(agent.settings().config.bpffs);
    write_paths(out, pins);
    write_reasons<spec::drop_counters>(out,
                                       {.packets = "podlane_dropped_packets_total",
                                        .packets_help = "Packets that the programs dropped, by reason and direction.",
                                        .bytes = "podlane_dropped_bytes_total",
                                        .bytes_help = "Bytes of these packets, Ethernet header included."},
                                       names::drop_reasons, pins);
    write_reasons<spec::handover_counters>(
        out,
        {.packets = "podlane_handed_over_packets_total",
         .packets_help = "Packets that the programs left to the host's stack, by reason and direction.",
         .bytes = "podlane_handed_over_bytes_total",
         .bytes_help = "Bytes of these packets, Ethernet header included."},
        names::handover_reasons, pins);
}

void write_maps(Exposition& out, const NodeAgent& agent, const MapCensus& census) {
    std::map<std::string_view, std::size_t> sizes = census.entries();
    for (const auto& [name, size] : agent.map_sizes()) {
        sizes[name] = size;
    }
    out.family("podlane_map_entries", Type::gauge, "Entries of a BPF map, counted within the last half minute.");
    for (const auto& [name, size] : sizes) {
        out.sample({{"map", name}}, static_cast<double>(size));
    }
    out.family("podlane_map_capacity", Type::gauge, "Entries that a BPF map has room for.");
    for (const auto& map : map_catalog()) {
        out.sample({{"map", map.shape.name}}, map.shape.capacity);
    }
}

struct Bounded {
    std::string_view name;
    std::string_view help;
    std::size_t value;
};

void write_translations(Exposition& out, const NodeAgent& agent) {
    const auto use = agent.nat_use();
    const auto config = desired_nat(agent.settings().overlay.snat);
    const auto rows = std::to_array<Bounded>({
        {"podlane_nat_flows", "Translations that are alive.", use ? use->translations : 0},
        {"podlane_nat_flows_limit", "Translations that there is room for.", spec::nat_by_flow::capacity},
        {"podlane_nat_ports_in_use",
         "Ports of snat.portRange in use towards that destination and protocol which takes most.",
         use ? use->ports : 0},
        {"podlane_nat_ports_limit", "Ports of snat.portRange: what one destination and protocol can take.",
         config.port_count},
        {"podlane_nat_pod_flows", "Translations of that pod which holds most.", use ? use->flows : 0},
        {"podlane_nat_pod_flows_limit", "Translations that one pod may hold.", config.flows_per_pod},
    });
    for (const auto& row : rows) {
        out.family(row.name, Type::gauge, row.help);
        if (use) {
            out.sample(static_cast<double>(row.value));
        }
    }
}

void write_peers(Exposition& out, const NodeAgent& agent) {
    std::map<std::string, std::size_t> by_path;
    for (const auto path : {NODE_PATH_DIRECT, NODE_PATH_VXLAN, NODE_PATH_UNREACHABLE}) {
        by_path[name_of(path)] = 0;
    }
    out.family("podlane_peer_path", Type::gauge, "1 for the path that packets take to a peer.");
    for (const auto& [peer, path] : agent.peers().all()) {
        const auto name = name_of(path.path);
        ++by_path[name];
        out.sample({{"peer", peer}, {"path", name}}, 1);
    }
    out.family("podlane_peers", Type::gauge, "Other nodes, by the path that packets take to them.");
    for (const auto& [path, count] : by_path) {
        out.sample({{"path", path}}, static_cast<double>(count));
    }
    out.family("podlane_peer_path_changes_total", Type::counter, "Paths to peers that changed.");
    out.sample(static_cast<double>(agent.peers().switches()));
}

void write_passes(Exposition& out, const NodeAgent& agent) {
    const auto& passes = agent.pass_times();
    out.family("podlane_reconcile_duration_seconds", Type::histogram,
               "How long passes took that compare the node with what is wanted, and put it right.");
    for (std::size_t i = 0; i < PassTimes::bounds.size(); ++i) {
        out.part("_bucket", {{"le", fmt::format("{}", PassTimes::bounds.at(i))}}, static_cast<double>(passes.up_to(i)));
    }
    out.part("_bucket", {{"le", "+Inf"}}, static_cast<double>(passes.count()));
    out.part("_sum", {}, passes.sum());
    out.part("_count", {}, static_cast<double>(passes.count()));
}

void write_repairs(Exposition& out, const NodeAgent& agent) {
    const auto& repaired = agent.repairs().by_subsystem();
    out.family("podlane_repairs_total", Type::counter,
               "Objects of podlane's that somebody had removed or changed, and that were put right.");
    for (const std::string kind : {"control", "datapath", "firewall", "guard", "macvlan", "maps", "overlay"}) {
        const auto found = repaired.find(kind);
        out.sample({{"subsystem", kind}}, found == repaired.end() ? 0 : static_cast<double>(found->second));
    }
    out.family("podlane_netlink_overruns_total", Type::counter,
               "How often the kernel's events came faster than they were read; all is read anew then.");
    out.sample(static_cast<double>(agent.netlink_overruns()));
}

void write_source(Exposition& out, const NodeAgent& agent) {
    const auto activity = agent.source().activity();
    out.family("podlane_source_lists_total", Type::counter, "Complete lists read from the API server, or etcd.");
    for (const auto& one : activity) {
        out.sample({{"resource", one.resource}}, static_cast<double>(one.lists));
    }
    out.family("podlane_source_watch_restarts_total", Type::counter,
               "Watches of the API server, or etcd, that were begun again, the first not counted.");
    for (const auto& one : activity) {
        out.sample({{"resource", one.resource}}, one.watches > 1 ? static_cast<double>(one.watches - 1) : 0);
    }
    out.family("podlane_source_failures_total", Type::counter,
               "Requests to the API server, or etcd, that failed or were refused.");
    for (const auto& one : activity) {
        out.sample({{"resource", one.resource}}, static_cast<double>(one.failures));
    }
    out.family("podlane_source_up", Type::gauge, "1 while the cluster's state can be read and is good.");
    out.sample(agent.source().health().in_sync && agent.source().health().problem.empty() ? 1 : 0);
    out.family("podlane_rejected_objects", Type::gauge, "Faults of Node and Pod objects that were left out for them.");
    out.sample(static_cast<double>(agent.source().health().warnings.size() + agent.cluster().warnings.size() +
                                   agent.pod_warnings().size()));
}

void write_node(Exposition& out, const NodeAgent& agent) {
    out.family("podlane_build_info", Type::gauge, "1. What runs: version, and how programs are attached.");
    out.sample({{"version", PODLANE_VERSION},
                {"attach", to_string(agent.features().attach)},
                {"encapsulation", to_string(agent.features().encapsulation)}},
               1);
    out.family("podlane_ready", Type::gauge, "1 when /readyz says so: the datapath has a state, pods can be added.");
    out.sample(agent.not_ready() ? 0 : 1);
    out.family("podlane_subsystem_state", Type::gauge, "1 for the state that a subsystem of agentctl status is in.");
    for (const auto& one : agent.health().subsystems()) {
        for (const auto state : {HealthState::ok, HealthState::degraded, HealthState::failed}) {
            out.sample({{"subsystem", one.name}, {"state", to_string(state)}}, one.state == state ? 1 : 0);
        }
    }
    std::size_t macvlan = 0;
    for (const auto& [id, endpoint] : agent.endpoints().all()) {
        macvlan += endpoint.link == "macvlan" ? 1 : 0;
    }
    out.family("podlane_pods", Type::gauge, "Pods attached to this node, by the kind of their link.");
    out.sample({{"link", "veth"}}, static_cast<double>(agent.endpoints().all().size() - macvlan));
    out.sample({{"link", "macvlan"}}, static_cast<double>(macvlan));
}

// The names that every Prometheus client library uses.
void write_process(Exposition& out) {
    const auto use = process_use();
    out.family("process_cpu_seconds_total", Type::counter, "CPU time of the agent, user and system.");
    out.sample(use.cpu_seconds);
    out.family("process_resident_memory_bytes", Type::gauge, "Resident memory of the agent.");
    out.sample(static_cast<double>(use.resident_bytes));
    out.family("process_start_time_seconds", Type::gauge, "When the agent started, since the Unix epoch.");
    out.sample(use.started);
}

}  // namespace

std::string metrics_text(const NodeAgent& agent, const MapCensus& census) {
    Exposition out;
    write_node(out, agent);
    write_datapath(out, agent);
    write_maps(out, agent, census);
    write_translations(out, agent);
    write_peers(out, agent);
    write_passes(out, agent);
    write_repairs(out, agent);
    write_source(out, agent);
    write_process(out);
    return out.text();
}

}  // namespace podlane
