// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/obstacles.h"

#include <algorithm>
#include <array>

#include <fmt/ranges.h>

namespace podlane::migrate {
namespace {

using doctor::Finding;
using doctor::Severity;
using Findings = std::vector<Finding>;

void find_gaps(const Facts& facts, Findings& findings) {
    for (const auto& gap : facts.gaps) {
        findings.push_back({.id = "looking",
                            .what = "something could not be looked at",
                            .evidence = gap,
                            .mend = "# mend what the message names, and run it again as root"});
    }
}

void find_agent(const Facts& facts, Findings& findings) {
    if (!facts.agent) {
        findings.push_back({.id = "agent",
                            .what = "podlane's agent does not answer",
                            .evidence = facts.agent_problem,
                            .mend = "systemctl start podlane-agent # or: kubectl label node NODE "
                                    "podlane.io/network=podlane"});
    } else if (!facts.agent->not_ready.empty()) {
        findings.push_back({.id = "agent",
                            .what = "podlane's agent is not in sync",
                            .evidence = facts.agent->not_ready,
                            .mend = "agentctl status # says what it waits for"});
    }
}

// One that is down has no socket, and the kernel has taken its routes.
void find_device_down(const Facts& facts, Findings& findings) {
    const auto& name = facts.flannel->device.name;
    if (facts.flannel_is_replaced()) {
        findings.push_back({.id = "flannel-device",
                            .severity = Severity::note,
                            .what = "flannel's device has made way already: commit deletes it",
                            .evidence = fmt::format("{} is down, {} is there", name, facts.config.overlay.device),
                            .mend = {}});
    } else {
        findings.push_back(
            {.id = "flannel-device",
             .what = "flannel's device is down, so that the agent cannot use it",
             .evidence = fmt::format("{} is down", name),
             .mend = fmt::format("ip link set {} up # its routes went with it: flanneld has to start once "
                                 "more to make them",
                                 name)});
    }
}

void find_device(const Facts& facts, Findings& findings) {
    if (facts.flannel && !facts.flannel_is_up) {
        find_device_down(facts, findings);
    }
    if (facts.flannel || facts.record) {
        return;
    }
    const auto& overlay = facts.config.overlay;
    findings.push_back({.id = "flannel-device",
                        .what = "there is no device of flannel's to take over",
                        .evidence = fmt::format("no VXLAN device with VNI {} and port {}", overlay.vni, overlay.port),
                        .mend = "# nothing to migrate where flannel never ran; otherwise name it: --flannel-device"});
}

// What pods get: all of them have to be able to send what the others take.
std::uint32_t configured_mtu(const Facts& facts) {
    if (facts.config.overlay.mtu != 0) {
        return facts.config.overlay.mtu;
    }
    return facts.agent && facts.config.overlay.mode != OverlayMode::host_gw ? facts.agent->mtu : 0;
}

void find_settings(const Facts& facts, Findings& findings) {
    if (!facts.flannel) {
        return;
    }
    const auto& device = facts.flannel->device;
    const auto& overlay = facts.config.overlay;
    const auto differs = [&](std::string_view what, std::uint32_t theirs, std::uint32_t ours) {
        if (theirs != ours) {
            findings.push_back(
                {.id = "vxlan-settings",
                 .what = fmt::format("{} and the agent's configuration differ in the {}", device.name, what),
                 .evidence = fmt::format("{} {} on {}, {} in the configuration", what, theirs, device.name, ours),
                 .mend = fmt::format("# set overlay.{} to {} in the agent's configuration", what, theirs)});
        }
    };
    differs("vni", device.vni, overlay.vni);
    differs("port", device.port, overlay.port);
    if (const auto mtu = configured_mtu(facts); mtu != 0) {
        differs("mtu", device.mtu, mtu);
    }
}

// It shares flannel's socket; podlane's device has one of another kind, on the same port.
void find_port(const Facts& facts, Findings& findings) {
    for (const auto& device : facts.port_sharers) {
        findings.push_back(
            {.id = "port",
             .what = "podlane's device could not have the overlay's UDP port",
             .evidence = fmt::format("{} has port {} as well", device, facts.config.overlay.port),
             .mend = fmt::format("ip link del {} # where nobody needs it; otherwise give it another port", device)});
    }
}

void find_configuration(const Facts& facts, Findings& findings) {
    if (!facts.config.overlay.flannel) {
        findings.push_back({.id = "configuration",
                            .what = "the agent does not do as flannel does, and flannel's nodes would not reach it",
                            .evidence = "overlay.flannel: false in the configuration",
                            .mend = "# set overlay.flannel to true in the agent's configuration"});
    }
}

bool within_cluster(const Facts& facts, const Ipv4Prefix& network) {
    return std::ranges::any_of(facts.config.cluster_cidrs,
                               [&](const Ipv4Prefix& cidr) { return cidr.contains(network); });
}

void find_net_conf(const Facts& facts, Findings& findings) {
    if (!facts.net_conf) {
        return;
    }
    const auto refuse = [&](std::string what, std::string evidence, std::string mend) {
        findings.push_back({.id = "net-conf",
                            .what = std::move(what),
                            .evidence = fmt::format("net-conf.json: {}", evidence),
                            .mend = std::move(mend)});
    };
    if (!within_cluster(facts, facts.net_conf->network)) {
        refuse("flannel's network is not the agent's",
               fmt::format("Network {}, clusterCIDRs [{}]", facts.net_conf->network,
                           fmt::join(facts.config.cluster_cidrs, ", ")),
               fmt::format("# add {} to clusterCIDRs in the agent's configuration", facts.net_conf->network));
    }
    if (facts.net_conf->backend != "vxlan") {
        refuse("only flannel's backend vxlan can be taken over", fmt::format("backend {}", facts.net_conf->backend),
               "# drain the node and let its pods be made anew: docs/install.md");
    }
    if (facts.net_conf->direct_routing) {
        refuse("flannel sends to adjacent nodes without the overlay, which the agent would not while it takes over",
               "DirectRouting: true", "# switch DirectRouting off in flannel's ConfigMap first");
    }
    if (facts.net_conf->ipv6) {
        refuse("podlane has no IPv6: pods would lose theirs", "EnableIPv6: true",
               "# switch EnableIPv6 off in flannel's ConfigMap first, and let the pods be made anew");
    }
}

void find_subnet(const Facts& facts, Findings& findings) {
    if (!facts.subnet_env) {
        return;
    }
    const auto* self = facts.agent ? facts.agent->self() : nullptr;
    if (self != nullptr && std::ranges::find(self->pod_cidrs, facts.subnet_env->subnet) == self->pod_cidrs.end()) {
        findings.push_back(
            {.id = "subnet-env",
             .what = "flannel's subnet is not this node's podCIDR",
             .evidence = fmt::format("subnet.env: FLANNEL_SUBNET {}, podCIDRs of {} [{}]", facts.subnet_env->subnet,
                                     self->name, fmt::join(self->pod_cidrs, ", ")),
             .mend = "kubectl get node NODE -o jsonpath='{.spec.podCIDRs}' # must be flannel's subnet"});
    }
    if (!facts.subnet_env->ip_masq && facts.config.snat.enabled) {
        // Of a pod on the bridge that the agent does not have nothing leaves untranslated, from the agent's start on.
        findings.push_back(
            {.id = "masquerade",
             .what = "flannel leaves the addresses of pods as they are; podlane translates them, and drops what leaves "
                     "from pods on the bridge that are not its own",
             .evidence = "subnet.env: FLANNEL_IPMASQ=false, snat.enabled: true",
             .mend = "# set snat.enabled to false in the agent's configuration"});
    }
}

void find_flanneld(const Facts& facts, Findings& findings) {
    if (!facts.flannelds.empty()) {
        findings.push_back({.id = "flanneld",
                            .what = "flanneld runs, and would make anew what is taken over",
                            .evidence = fmt::format("process {}", fmt::join(facts.flannelds, ", ")),
                            .mend =
                                "kubectl label node NODE podlane.io/network=podlane # flannel's DaemonSet must keep "
                                "off such nodes: docs/install.md"});
    }
}

void find_mac(const Facts& facts, Findings& findings) {
    const auto* self = facts.agent ? facts.agent->self() : nullptr;
    if (!facts.flannel || self == nullptr) {
        return;
    }
    const auto& device = facts.flannel->device;
    for (const auto& cidr : self->pod_cidrs) {
        const auto own = facts.nodes_by_pod_cidr.find(cidr);
        if (own != facts.nodes_by_pod_cidr.end() && own->second.mac != device.mac) {
            findings.push_back(
                {.id = "mac",
                 .what = "peers would lose this node: the agent's MAC is not that of flannel's device",
                 .evidence = fmt::format("{} has {}, the agent {}", device.name, device.mac, own->second.mac),
                 .mend = "# the Node's annotation flannel.alpha.coreos.com/backend-data must name flannel's MAC: let "
                         "flanneld start once more"});
            return;
        }
    }
}

// host-local keeps addresses in a folder of the network's name in its store.
void find_cni_network(const Facts& facts, Findings& findings) {
    const auto* ours = facts.podlane_cni();
    const auto wanted = facts.flannel_network_name();
    const auto refuse = [&](std::string evidence, std::string mend) {
        findings.push_back({.id = "cni-network",
                            .what = "addresses of pods that flannel attached would be given out again",
                            .evidence = fmt::format("{}: {}", ours->path.string(), evidence),
                            .mend = std::move(mend)});
    };
    if (ours == nullptr) {
        findings.push_back(
            {.id = "cni-network",
             .what = "the container runtime has no configuration of podlane's",
             .evidence = fmt::format("{} CNI configurations, none with the plugin podlane", facts.cni.size()),
             .mend = "# set cni.configFile in the agent's configuration"});
    } else if (ours->network != wanted) {
        refuse(fmt::format(R"(network name "{}", flannel's is "{}")", ours->network, wanted),
               fmt::format("# name the network \"{}\" in the file that cni.template names", wanted));
    } else if (ours->store != facts.flannel_store()) {
        refuse(fmt::format("host-local's store {}, flannel's is {}", ours->store, facts.flannel_store()),
               fmt::format("# in the file that cni.template names, give the plugin podlane \"ipam\": {{\"type\": "
                           "\"host-local\", \"dataDir\": \"{}\"}}",
                           facts.flannel_store()));
    }
}

void find_record(const Facts& facts, Findings& findings) {
    if (facts.record && facts.agent && facts.record->node != facts.agent->node) {
        findings.push_back({.id = "record",
                            .what = "the record of a migration is that of another node",
                            .evidence = fmt::format("{}: node {}, this one is {}", facts.record_file,
                                                    facts.record->node, facts.agent->node),
                            .mend = fmt::format("mv {0} {0}.other", facts.record_file)});
    }
    if (const auto change = facts.change_since_record(); !change.empty()) {
        findings.push_back(
            {.id = "record",
             .what = "the record is of an earlier migration: a rollback would not bring back what is here",
             .evidence = fmt::format("{} of {}: {}", facts.record_file, facts.record->time, change),
             .mend = mend_of_stale_record(facts)});
    }
}

// Some flannels take rules along when they end (flannel#2237), some their routes (flannel#1308). Once there is a record
// it is no news.
void find_taken_along(const Facts& facts, Findings& findings) {
    if (!facts.flannel || !facts.flannel_is_up || !facts.agent || facts.record) {
        return;
    }
    if (facts.subnet_env && facts.subnet_env->ip_masq && facts.rules.empty()) {
        findings.push_back({.id = "rules",
                            .severity = Severity::note,
                            .what =
                                "flannel took its rules along when it ended: what is on the bridge has no way to the "
                                "outside until it is podlane's",
                            .evidence = "subnet.env: FLANNEL_IPMASQ=true, and no rule of flannel's",
                            .mend = "agentctl migrate apply"});
    }
    if (peers_of(*facts.flannel).empty() && facts.agent->nodes.size() > 1) {
        findings.push_back(
            {.id = "routes",
             .severity = Severity::note,
             .what = "flannel took its routes along when it ended: this node itself, and pods on the bridge "
                     "that are not podlane's, reach no other node's pods until the commit",
             .evidence = fmt::format("no route by {}, {} nodes", facts.flannel->device.name, facts.agent->nodes.size()),
             .mend = "agentctl migrate apply # and verify, and commit"});
    }
}

void find_absent_files(const Facts& facts, Findings& findings) {
    for (const auto& file : facts.absent) {
        findings.push_back({.id = "files",
                            .severity = Severity::note,
                            .what = "a file of flannel's is not there, and was not compared",
                            .evidence = file,
                            .mend = {}});
    }
}

}  // namespace

std::string mend_of_stale_record(const Facts& facts) {
    return fmt::format("mv {0} {0}.old; agentctl migrate apply", facts.record_file);
}

std::vector<Finding> find_obstacles(const Facts& facts) {
    constexpr auto checks = std::to_array({&find_gaps, &find_agent, &find_device, &find_settings, &find_port,
                                           &find_configuration, &find_net_conf, &find_subnet, &find_flanneld, &find_mac,
                                           &find_cni_network, &find_record, &find_taken_along, &find_absent_files});
    Findings findings;
    for (const auto& check : checks) {
        check(facts, findings);
    }
    std::ranges::stable_sort(findings, {}, &Finding::severity);
    return findings;
}

}  // namespace podlane::migrate
