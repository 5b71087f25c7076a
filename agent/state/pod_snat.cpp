// SPDX-License-Identifier: Apache-2.0
#include "agent/state/pod_snat.h"

#include <fmt/format.h>

#include "agent/text/printable.h"

namespace podlane {
namespace {

// RT_SCOPE_LINK of rtnetlink(7): from here on addresses mean nothing beyond the link.
constexpr std::uint8_t link_scope = 253;

// Null: the pod does not have the annotation.
const std::string* annotation(const PodObject& pod, std::string_view key) {
    const auto found = pod.annotations.find(std::string(key));
    return found == pod.annotations.end() ? nullptr : &found->second;
}

ObjectWarning warning(const PodObject& pod, std::string_view key, std::string message) {
    return {.object = fmt::format("pod {}/{}", pod.name_space, pod.name),
            .field = fmt::format("metadata.annotations[{}]", key),
            .message = std::move(message),
            .origin = pod.origin};
}

// Why the value cannot be a pod's egress address; empty: it can.
std::string refusal(const std::string& text, const Result<Ipv4Address>& address,
                    const std::set<Ipv4Address>& node_addresses) {
    if (!address) {
        return fmt::format("\"{}\" is not an IPv4 address", printable(text));
    }
    return node_addresses.contains(*address) ? "" : fmt::format("{} is not an address of this node", *address);
}

}  // namespace

std::string PodSnat::to_string() const {
    switch (kind) {
        case Kind::node:
            return "node";
        case Kind::address:
            return address.to_string();
        case Kind::off:
            return "off";
    }
    return "node";
}

const PodObject* find_pod(const ClusterObjects& objects, const PodIdentity& identity) {
    const auto found = objects.pods.find(identity.name_space + '/' + identity.name);
    if (found == objects.pods.end()) {
        return nullptr;
    }
    const PodObject& pod = found->second;
    const bool another = !pod.uid.empty() && !identity.uid.empty() && pod.uid != identity.uid;
    return another ? nullptr : &pod;
}

PodSnatDecision decide_pod_snat(const PodObject& pod, const std::set<Ipv4Address>& node_addresses) {
    PodSnatDecision decision;
    if (pod.host_network) {
        return decision;
    }
    const std::string* wanted = annotation(pod, snat_annotation);
    if (wanted != nullptr && *wanted == "false") {
        decision.snat.kind = PodSnat::Kind::off;
    } else if (wanted != nullptr && *wanted != "true") {
        decision.warnings.push_back(warning(
            pod, snat_annotation,
            fmt::format("\"{}\" is neither \"true\" nor \"false\": the pod is translated", printable(*wanted))));
    }
    const std::string* egress = annotation(pod, egress_annotation);
    if (egress == nullptr) {
        return decision;
    }
    if (decision.snat.kind == PodSnat::Kind::off) {
        decision.warnings.push_back(
            warning(pod, egress_annotation,
                    fmt::format("\"{}\" has no effect beside {}: \"false\"", printable(*egress), snat_annotation)));
        return decision;
    }
    const auto address = Ipv4Address::parse(*egress);
    if (const auto reason = refusal(*egress, address, node_addresses); !reason.empty()) {
        decision.warnings.push_back(
            warning(pod, egress_annotation, reason + ": the pod's new connections leave with the node's"));
        return decision;
    }
    decision.snat = {.kind = PodSnat::Kind::address, .address = *address};
    return decision;
}

std::set<Ipv4Address> egress_addresses(const std::vector<netlink::InterfaceAddress>& addresses,
                                       const std::set<std::uint32_t>& own_devices, Ipv4Address internal_ip) {
    std::set<Ipv4Address> usable;
    for (const auto& one : addresses) {
        const bool own = own_devices.contains(one.ifindex) && one.address != internal_ip;
        if (!own && one.scope < link_scope && one.address.is_unicast()) {
            usable.insert(one.address);
        }
    }
    return usable;
}

}  // namespace podlane
