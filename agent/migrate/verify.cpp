// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/verify.h"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "agent/migrate/obstacles.h"
#include "agent/migrate/plan.h"
#include "maps/spec.h"

namespace podlane::migrate {
namespace {

class Verifier {
public:
    Verifier(const Facts& facts, Stage stage) : facts_(facts), stage_(stage) {}

    std::vector<Check> run() {
        check_gaps();
        check_record();
        check_agent();
        check_overlay();
        check_pods();
        check_peers();
        check_cni();
        check_flanneld();
        check_rules();
        return std::move(checks_);
    }

private:
    void ok(std::string id, std::string subject, std::string evidence) {
        checks_.push_back({std::move(id), std::move(subject), CheckState::ok, std::move(evidence), {}});
    }
    void note(std::string id, std::string subject, std::string evidence) {
        checks_.push_back({std::move(id), std::move(subject), CheckState::note, std::move(evidence), {}});
    }
    void failed(std::string id, std::string subject, std::string evidence, std::string mend) {
        checks_.push_back(
            {std::move(id), std::move(subject), CheckState::failed, std::move(evidence), std::move(mend)});
    }

    void check_gaps() {
        for (const auto& gap : facts_.gaps) {
            failed("looking", "", gap, "# mend what the message names, and run it again as root");
        }
    }

    void check_record() {
        if (!facts_.record) {
            failed("record", facts_.record_file, "there is none: there would be no way back", "agentctl migrate apply");
        } else if (facts_.agent && facts_.record->node != facts_.agent->node) {
            failed("record", facts_.record_file, fmt::format("it is that of node {}", facts_.record->node),
                   "agentctl migrate plan # says what to do about it");
        } else if (const auto change = facts_.change_since_record(); !change.empty()) {
            failed("record", facts_.record_file, fmt::format("of {}: {}", facts_.record->time, change),
                   mend_of_stale_record(facts_));
        } else {
            ok("record", facts_.record_file, fmt::format("of {}", facts_.record->time));
        }
    }

    // The overlay is degraded as long as it is flannel's device.
    [[nodiscard]] bool is_borrowing(const AgentSubsystem& subsystem) const {
        return stage_ == Stage::borrowed && subsystem.name == "overlay" && subsystem.state == "degraded" &&
               subsystem.reason.contains("borrowed");
    }
    void check_agent() {
        if (!facts_.agent) {
            failed("agent", "", facts_.agent_problem, "systemctl start podlane-agent # or the DaemonSet's pod");
            return;
        }
        if (!facts_.agent->not_ready.empty()) {
            failed("agent", facts_.agent->node, facts_.agent->not_ready, "agentctl status");
            return;
        }
        bool well = true;
        for (const auto& subsystem : facts_.agent->subsystems) {
            if (subsystem.state != "ok" && !is_borrowing(subsystem)) {
                well = false;
                failed("agent", subsystem.name, fmt::format("{}: {}", subsystem.state, subsystem.reason),
                       subsystem.action.empty() ? "agentctl status" : subsystem.action);
            }
        }
        if (well) {
            ok("agent", facts_.agent->node, "in sync");
        }
    }

    void check_overlay() {
        if (stage_ == Stage::borrowed) {
            check_borrowed();
        } else {
            check_own_overlay();
        }
    }
    void check_borrowed() {
        if (!facts_.flannel) {
            failed("overlay", "", "there is no device of flannel's", "agentctl migrate plan");
            return;
        }
        const auto& name = facts_.flannel->device.name;
        if (!facts_.flannel_is_up) {
            failed("overlay", name, "it is down", fmt::format("ip link set {} up", name));
            return;
        }
        const bool borrows = facts_.agent && std::ranges::any_of(facts_.agent->subsystems, [&](const auto& subsystem) {
                                 return is_borrowing(subsystem);
                             });
        if (borrows) {
            ok("overlay", name, fmt::format("borrowed by the agent, MAC {}", facts_.flannel->device.mac));
        } else {
            failed("overlay", name, "the agent does not use it", "agentctl migrate plan # says what differs");
        }
    }
    void check_own_overlay() {
        const auto& name = facts_.config.overlay.device;
        if (facts_.flannel && (facts_.flannel_is_up || stage_ == Stage::committed)) {
            failed("overlay", facts_.flannel->device.name, "it is still there", "agentctl migrate commit");
        } else if (!facts_.overlay_mac) {
            failed("overlay", name, "there is no such device", "agentctl status");
        } else if (facts_.record && *facts_.overlay_mac != facts_.record->network.device.mac) {
            failed("overlay", name,
                   fmt::format("MAC {}, peers send to {}", *facts_.overlay_mac, facts_.record->network.device.mac),
                   "agentctl migrate rollback");
        } else {
            ok("overlay", name, fmt::format("MAC {}", *facts_.overlay_mac));
        }
    }

    [[nodiscard]] bool has_hook(const std::string& device, std::string_view hook) const {
        return std::ranges::any_of(facts_.agent->links, [&](const AgentLink& link) {
            return link.kind == "hook" && link.name == fmt::format("{} {}", device, hook) && link.state == "ok";
        });
    }
    void check_pods() {
        if (!facts_.agent) {
            return;
        }
        for (const auto& pod : make_plan(facts_).pods) {
            const auto& name = pod.endpoint.name;
            const auto subject = name.empty() ? pod.interface : fmt::format("{}/{}", pod.endpoint.name_space, name);
            if (pod.state == PodState::restart) {
                // Its port is on the bridge or nowhere: the host's stack goes on forwarding it, through the overlay.
                note("pod", subject, fmt::format("must be restarted: {}", pod.reason));
            } else if (pod.state == PodState::adoptable) {
                failed("pod", subject, fmt::format("on {} without an endpoint of the agent's", pod.interface),
                       "agentctl migrate apply");
            } else if (!has_hook(pod.interface, "from-pod") || !has_hook(pod.interface, "to-pod")) {
                failed("pod", subject, fmt::format("a hook is missing on {}", pod.interface),
                       "agentctl link list # and the agent's log");
            } else {
                ok("pod", subject, fmt::format("{} on {}, both hooks", pod.endpoint.ip, pod.interface));
            }
        }
    }

    // What is wrong with a peer. `changed`: it is not what flannel knew. Before flannel's device goes that is an error;
    // after, nodes come and go, and what flannel knew is old.
    struct Objection {
        std::string evidence;
        bool changed = false;
    };
    [[nodiscard]] std::optional<Objection> objection_to(const FlannelPeer& peer) const {
        const auto& nodes = facts_.agent->nodes;
        const auto node = std::ranges::find_if(nodes, [&](const AgentNode& one) {
            return std::ranges::find(one.pod_cidrs, peer.pod_cidr) != one.pod_cidrs.end();
        });
        if (node == nodes.end()) {
            return Objection{"no node of the cluster has this podCIDR", true};
        }
        const auto entry = facts_.nodes_by_pod_cidr.find(peer.pod_cidr);
        if (entry == facts_.nodes_by_pod_cidr.end()) {
            return Objection{fmt::format("node {}: not in the map nodes_by_pod_cidr", node->name)};
        }
        if (node->path == "unreachable" || entry->second.path == NODE_PATH_UNREACHABLE) {
            return Objection{fmt::format("node {} is unreachable: {}", node->name, node->reason)};
        }
        if (peer.vtep && entry->second.vtep != *peer.vtep) {
            return Objection{fmt::format("VTEP {} in the map, flannel's entry has {}", entry->second.vtep, *peer.vtep),
                             true};
        }
        if (!peer.mac.is_zero() && entry->second.mac != peer.mac) {
            return Objection{fmt::format("MAC {} in the map, flannel's entry has {}", entry->second.mac, peer.mac),
                             true};
        }
        return std::nullopt;
    }
    void check_peers() {
        const auto* network = facts_.known_network();
        if (network == nullptr || !facts_.agent) {
            return;
        }
        for (const auto& peer : peers_of(*network)) {
            const auto subject = peer.pod_cidr.to_string();
            const auto objection = objection_to(peer);
            if (!objection) {
                const auto& entry = facts_.nodes_by_pod_cidr.at(peer.pod_cidr);
                ok("peer", subject, fmt::format("{} {}, as flannel has it", entry.vtep, entry.mac));
            } else if (objection->changed && stage_ != Stage::borrowed) {
                note("peer", subject, fmt::format("changed since: {}", objection->evidence));
                continue;  // what was behind it may be gone
            } else {
                failed("peer", subject, objection->evidence, mend_of(peer, *network));
            }
            check_echo(peer.pod_cidr.address());
        }
    }
    [[nodiscard]] std::string mend_of(const FlannelPeer& peer, const FlannelNetwork& network) const {
        return stage_ == Stage::borrowed
                   ? fmt::format(
                         "ip route del {} dev {} # where the node has gone or changed since flanneld ended; "
                         "otherwise agentctl node list",
                         peer.pod_cidr, network.device.name)
                   : "agentctl node list";
    }
    void check_echo(Ipv4Address address) {
        const auto subject = address.to_string();
        if (!facts_.silent.contains(address)) {
            ok("echo", subject, "answers");
        } else if (facts_.record && facts_.record->silent_peers.contains(address)) {
            note("echo", subject, "silent, as it was at apply");
        } else {
            failed(
                "echo", subject, "answers no ICMP echo",
                fmt::format("ping {} # nothing: look at that node, and at agentctl map dump drop_counters", subject));
        }
    }

    void check_cni() {
        if (facts_.cni.empty()) {
            failed("cni", "", "the container runtime has no configuration", "agentctl migrate plan");
            return;
        }
        const auto& first = facts_.cni.front();
        if (!first.uses("podlane")) {
            failed("cni", first.path.string(),
                   fmt::format("is the first file, with the plugins {}", fmt::join(first.plugins, ", ")),
                   "# give podlane's file a name that sorts before it: cni.configFile");
        } else if (first.network != facts_.flannel_network_name()) {
            failed("cni", first.path.string(),
                   fmt::format(R"(its network is "{}", flannel's "{}")", first.network, facts_.flannel_network_name()),
                   "agentctl migrate plan # says where to change it");
        } else {
            ok("cni", first.path.string(), fmt::format("first of {}, network {}", facts_.cni.size(), first.network));
        }
    }

    void check_flanneld() {
        if (facts_.flannelds.empty()) {
            ok("flanneld", "", "does not run");
        } else {
            failed("flanneld", "", fmt::format("runs: process {}", fmt::join(facts_.flannelds, ", ")),
                   "kubectl label node NODE podlane.io/network=podlane # and look at flannel's DaemonSet");
        }
    }

    void check_rules() {
        if (stage_ != Stage::committed) {
            return;
        }
        const auto lines = facts_.rules.lines();
        if (lines.empty()) {
            ok("rules", "", "none of flannel's");
        } else if (const auto pods = facts_.ports_of_flannel(); pods > 0) {
            note("rules", "",
                 fmt::format("{} of flannel's, which {} pods on {} need until they are restarted", lines.size(), pods,
                             facts_.bridge_name));
        } else {
            failed("rules", "", fmt::format("{} of flannel's: {}", lines.size(), lines.front()),
                   "agentctl migrate commit");
        }
    }

    const Facts& facts_;
    Stage stage_;
    std::vector<Check> checks_;
};

}  // namespace

std::string_view to_string(Stage stage) {
    constexpr auto names = std::to_array<std::string_view>({"borrowed", "switched", "committed"});
    return names.at(static_cast<std::size_t>(stage));
}

std::string_view to_string(CheckState state) {
    constexpr auto names = std::to_array<std::string_view>({"ok", "failed", "note"});
    return names.at(static_cast<std::size_t>(state));
}

Stage stage_of(const Facts& facts) {
    if (facts.flannel_is_replaced()) {
        return Stage::committed;
    }
    return facts.flannel || !facts.record ? Stage::borrowed : Stage::committed;
}

std::vector<Check> verify(const Facts& facts, Stage stage) {
    return Verifier(facts, stage).run();
}

bool have_passed(const std::vector<Check>& checks) {
    return std::ranges::none_of(checks, [](const Check& check) { return check.state == CheckState::failed; });
}

nlohmann::ordered_json to_json(const std::vector<Check>& checks, Stage stage) {
    using Json = nlohmann::ordered_json;
    Json records = Json::array();
    for (const auto& check : checks) {
        records.push_back({{"id", check.id},
                           {"subject", check.subject},
                           {"state", to_string(check.state)},
                           {"evidence", check.evidence},
                           {"mend", check.mend}});
    }
    return {{"stage", to_string(stage)}, {"passed", have_passed(checks)}, {"checks", records}};
}

}  // namespace podlane::migrate
