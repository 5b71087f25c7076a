// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/plan.h"

#include <algorithm>
#include <array>
#include <set>

#include <nlohmann/json.hpp>

#include "agent/migrate/obstacles.h"

namespace podlane::migrate {
namespace {

using doctor::Finding;
using doctor::Severity;

// Of a result: what the endpoint is, as far as the result says.
Endpoint endpoint_of(const CniAttachment& attachment) {
    Endpoint endpoint;
    endpoint.container_id = attachment.container_id;
    endpoint.if_name = attachment.if_name;
    endpoint.netns = attachment.netns;
    endpoint.name_space = attachment.name_space;
    endpoint.name = attachment.name;
    endpoint.uid = attachment.uid;
    endpoint.network = attachment.network;
    endpoint.ip = attachment.ip;
    endpoint.mac = attachment.mac;
    endpoint.host_interface = attachment.host_interface;
    return endpoint;
}

class PodPlanner {
public:
    explicit PodPlanner(const Facts& facts) : facts_(facts) {
        if (const auto* self = facts.agent ? facts.agent->self() : nullptr) {
            pod_cidrs_ = self->pod_cidrs;
        }
    }

    std::vector<PlannedPod> run() {
        std::vector<PlannedPod> pods;
        if (facts_.bridge) {
            for (const auto& port : facts_.bridge->ports) {
                pods.push_back(plan_port(port));
            }
        }
        for (const auto& attachment : facts_.results.attachments) {
            if (!is_port(attachment.host_interface) && !is_podlanes(attachment)) {
                pods.push_back(leave(attachment.host_interface, endpoint_of(attachment),
                                     fmt::format("its port {} is not on {}: it has no network, or is gone",
                                                 attachment.host_interface, facts_.bridge_name)));
            }
        }
        std::ranges::stable_sort(pods, {}, &PlannedPod::interface);
        return pods;
    }

private:
    static PlannedPod leave(std::string interface, Endpoint endpoint, std::string reason) {
        return {.state = PodState::restart,
                .interface = std::move(interface),
                .reason = std::move(reason),
                .endpoint = std::move(endpoint)};
    }
    [[nodiscard]] bool is_port(const std::string& name) const {
        return facts_.bridge &&
               std::ranges::find(facts_.bridge->ports, name, &BridgePort::name) != facts_.bridge->ports.end();
    }
    // Attached by podlane's plugin since: the two share the network's name.
    [[nodiscard]] bool is_podlanes(const CniAttachment& attachment) const {
        return facts_.agent && facts_.agent->endpoint(endpoint_of(attachment).id()) != nullptr;
    }

    [[nodiscard]] PlannedPod plan_port(const BridgePort& port) const {
        if (const auto* found = facts_.agent ? facts_.agent->endpoint_on(port.name) : nullptr) {
            return {.state = PodState::adopted, .interface = port.name, .reason = {}, .endpoint = *found};
        }
        std::vector<const CniAttachment*> named;
        for (const auto& attachment : facts_.results.attachments) {
            if (attachment.host_interface == port.name) {
                named.push_back(&attachment);
            }
        }
        if (named.size() != 1) {
            return leave(port.name, {}, named.empty() ? without_result() : "several CNI results name this port");
        }
        auto endpoint = endpoint_of(*named.front());
        endpoint.gateway = facts_.bridge->addresses.empty() ? Ipv4Address() : facts_.bridge->addresses.front();
        endpoint.host_mac = facts_.bridge->mac;
        endpoint.mtu = port.mtu;
        endpoint.mtu_fixed = true;
        auto reason = named.front()->has_ipv6 ? "it has an IPv6 address, which podlane drops" : objection_to(endpoint);
        return {.state = reason.empty() ? PodState::adoptable : PodState::restart,
                .interface = port.name,
                .reason = std::move(reason),
                .endpoint = std::move(endpoint)};
    }
    [[nodiscard]] std::string without_result() const {
        const auto& problems = facts_.results.problems;
        return problems.empty()
                   ? fmt::format("no CNI result of network {} names this port", facts_.flannel_network_name())
                   : fmt::format("no CNI result names this port, and one cannot be read: {}", problems.front().message);
    }
    // Empty: the pod can be taken over.
    [[nodiscard]] std::string objection_to(const Endpoint& endpoint) const {
        const auto in_cidr =
            std::ranges::any_of(pod_cidrs_, [&](const Ipv4Prefix& cidr) { return cidr.contains(endpoint.ip); });
        if (!in_cidr) {
            return fmt::format("its address {} is not within this node's podCIDR", endpoint.ip);
        }
        const auto same_ip = std::ranges::count(facts_.results.attachments, endpoint.ip, &CniAttachment::ip);
        if (same_ip > 1) {
            return fmt::format("{} CNI results have its address {}", same_ip, endpoint.ip);
        }
        if (facts_.bridge->addresses.empty()) {
            return fmt::format("{} has no address: the pod's gateway is not known", facts_.bridge->name);
        }
        // The agent takes packets from the pod's own MAC alone.
        if (const auto learned = facts_.learned.find(endpoint.host_interface); learned != facts_.learned.end()) {
            const auto& macs = learned->second;
            const auto other = std::ranges::find_if(macs, [&](const auto& mac) { return mac != endpoint.mac; });
            if (other != macs.end()) {
                return fmt::format("it sends from {}, its CNI result has {}", *other, endpoint.mac);
            }
        }
        const auto checked = Endpoint::from_json(endpoint.to_json());
        return checked ? "" : fmt::format("its CNI result: {}", checked.error().message);
    }

    const Facts& facts_;
    std::vector<Ipv4Prefix> pod_cidrs_;
};

void add_rule_steps(const Facts& facts, const std::vector<PlannedPod>& pods, std::vector<std::string>& steps) {
    const auto lines = facts.rules.lines();
    const auto needing = std::ranges::count_if(pods, [&](const PlannedPod& pod) {
        return pod.state == PodState::restart && facts.bridge &&
               std::ranges::find(facts.bridge->ports, pod.interface, &BridgePort::name) != facts.bridge->ports.end();
    });
    if (needing > 0 && !lines.empty()) {
        steps.push_back(fmt::format("commit: remove these rules once {} pods on {} have been restarted, not before",
                                    needing, facts.bridge_name));
    }
    for (const auto& line : lines) {
        steps.push_back(fmt::format("commit: remove rule {}", line));
    }
}

std::vector<std::string> steps_of(const Facts& facts, const std::vector<PlannedPod>& pods) {
    std::vector<std::string> steps;
    const auto count = [&](PodState state) { return std::ranges::count(pods, state, &PlannedPod::state); };
    if (!facts.record) {
        steps.push_back(fmt::format("apply: write {}", facts.record_file));
    }
    if (const auto waiting = count(PodState::adoptable); waiting > 0) {
        steps.push_back(fmt::format("apply: hand {} pods on {} to the agent", waiting, facts.bridge_name));
    }
    if (facts.flannel) {
        const auto& device = facts.flannel->device;
        steps.push_back(fmt::format("commit: delete {}, whose MAC {} and {} peers go to {}", device.name, device.mac,
                                    peers_of(*facts.flannel).size(), facts.config.overlay.device));
    }
    add_rule_steps(facts, pods, steps);
    if (facts.bridge) {
        steps.push_back(fmt::format("commit: delete {} once no pod is on it ({} now)", facts.bridge_name,
                                    facts.bridge->ports.size()));
    }
    return steps;
}

std::string text_of(Ipv4Address address) {
    return address.is_unspecified() ? "" : address.to_string();
}

}  // namespace

std::string_view to_string(PodState state) {
    constexpr auto names = std::to_array<std::string_view>({"adopted", "adopt", "restart"});
    return names.at(static_cast<std::size_t>(state));
}

bool Plan::is_clear() const {
    return std::ranges::none_of(findings, [](const Finding& finding) { return finding.severity != Severity::note; });
}

Plan make_plan(const Facts& facts) {
    Plan plan;
    plan.findings = find_obstacles(facts);
    plan.pods = PodPlanner(facts).run();
    plan.steps = steps_of(facts, plan.pods);
    return plan;
}

nlohmann::ordered_json to_json(const Plan& plan) {
    using Json = nlohmann::ordered_json;
    Json findings = Json::array();
    std::ranges::transform(plan.findings, std::back_inserter(findings), &doctor::to_json);
    Json pods = Json::array();
    for (const auto& pod : plan.pods) {
        pods.push_back({{"namespace", pod.endpoint.name_space},
                        {"name", pod.endpoint.name},
                        {"ip", text_of(pod.endpoint.ip)},
                        {"interface", pod.interface},
                        {"container", pod.endpoint.container_id},
                        {"action", to_string(pod.state)},
                        {"reason", pod.reason}});
    }
    return {{"clear", plan.is_clear()}, {"findings", findings}, {"pods", pods}, {"steps", plan.steps}};
}

}  // namespace podlane::migrate
