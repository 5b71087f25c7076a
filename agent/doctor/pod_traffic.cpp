// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor/pod_traffic.h"

#include <netinet/in.h>

namespace podlane::doctor {
namespace {

using netfilter::Hook;

struct Sender {
    Ipv4Prefix addresses{};
    std::string name{};
};

Ipv4Prefix single(Ipv4Address address) {
    return Ipv4Prefix::masked(address, 32);
}

std::vector<Sender> macvlan_senders(const MacvlanFacts& network) {
    std::vector<Sender> senders;
    senders.reserve(network.pods.size());
    for (const auto& pod : network.pods) {
        senders.push_back({single(pod.ip), fmt::format("macvlan pod {}", pod.ip)});
    }
    if (senders.empty() && network.lan) {
        senders.push_back({*network.lan, fmt::format("macvlan pods of {}", network.settings.name)});
    }
    return senders;
}

void add_macvlan(const Facts& facts, const MacvlanFacts& network, std::vector<Traffic>& traffic) {
    const auto& shim = network.settings.shim;
    for (const auto& sender : macvlan_senders(network)) {
        if (network.host_address) {
            traffic.push_back({.hook = Hook::input,
                               .in = shim,
                               .source = sender.addresses,
                               .destination = single(*network.host_address),
                               .what = fmt::format("{} to this host", sender.name),
                               .accept_in = shim});
        }
        for (const auto& pods : facts.config.cluster_cidrs) {
            traffic.push_back({.hook = Hook::forward,
                               .in = shim,
                               .out = facts.config.overlay.device,
                               .source = sender.addresses,
                               .destination = pods,
                               .what = fmt::format("{} to pods in {}", sender.name, pods),
                               .accept_in = shim,
                               .accept_destination = pods});
            traffic.push_back({.hook = Hook::forward,
                               .in = facts.config.overlay.device,
                               .out = shim,
                               .source = pods,
                               .destination = sender.addresses,
                               .what = fmt::format("pods in {} to {}", pods, sender.name),
                               .accept_out = shim,
                               .accept_source = pods});
        }
    }
}

// Through the stack go Services, host ports and slow paths; the rest is redirected past it.
void add_veth(const Facts& facts, const Ipv4Prefix& pods, const Sender& sender, const std::string& device,
              std::vector<Traffic>& traffic) {
    traffic.push_back({.hook = Hook::input,
                       .in = device,
                       .source = sender.addresses,
                       .destination = facts.underlay ? single(facts.underlay->address) : Ipv4Prefix(),
                       .what = fmt::format("{} to this host", sender.name),
                       .accept_source = pods});
    traffic.push_back({.hook = Hook::forward,
                       .in = device,
                       .out = facts.config.overlay.device,
                       .source = sender.addresses,
                       .destination = pods,
                       .what = fmt::format("{} to other pods", sender.name),
                       .accept_source = pods});
    traffic.push_back({.hook = Hook::forward,
                       .in = facts.config.overlay.device,
                       .out = device,
                       .source = pods,
                       .destination = sender.addresses,
                       .what = fmt::format("other pods to {}", sender.name),
                       .accept_destination = pods});
}

// For pods BPF takes it off before the stack; what is for the host, or goes on to a shim, is the stack's.
void add_overlay(const Facts& facts, const UnderlayFacts& underlay, std::vector<Traffic>& traffic) {
    traffic.push_back({.hook = Hook::input,
                       .in = underlay.device,
                       .source = underlay.network,
                       .destination = single(underlay.address),
                       .port = Traffic::Port{IPPROTO_UDP, facts.config.overlay.port},
                       .what = "VXLAN from peers, which carries what other nodes' pods send to this host and its "
                               "macvlan pods",
                       .accept_in = underlay.device});
}

}  // namespace

std::vector<Traffic> pod_traffic(const Facts& facts) {
    std::vector<Traffic> traffic;
    if (facts.underlay && facts.config.overlay.mode != OverlayMode::host_gw) {
        add_overlay(facts, *facts.underlay, traffic);
    }
    for (const auto& network : facts.macvlans) {
        add_macvlan(facts, network, traffic);
    }
    for (const auto& pods : facts.config.cluster_cidrs) {
        for (const auto& pod : facts.veth_pods) {
            if (pods.contains(pod.ip)) {
                add_veth(facts, pods, {single(pod.ip), fmt::format("pod {}", pod.ip)}, pod.host_interface, traffic);
            }
        }
        if (facts.veth_pods.empty()) {
            add_veth(facts, pods, {pods, "pods"}, host_interface_name("doctor", "eth0"), traffic);
        }
    }
    return traffic;
}

}  // namespace podlane::doctor
