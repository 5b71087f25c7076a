// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/state_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace podlane::net {
namespace {

nlohmann::json to_json(const NodeRecord& node) {
    nlohmann::json cidrs = nlohmann::json::array();
    for (const auto& cidr : node.pod_cidrs) {
        cidrs.push_back(cidr.to_string());
    }
    nlohmann::json spec = nlohmann::json::object();
    if (!node.pod_cidrs.empty()) {
        spec = {{"podCIDR", cidrs.front()}, {"podCIDRs", cidrs}};
    }
    const nlohmann::json addresses = {{{"type", "InternalIP"}, {"address", node.internal_ip.to_string()}},
                                      {{"type", "Hostname"}, {"address", node.name}}};
    return {{"apiVersion", "v1"},
            {"kind", "Node"},
            {"metadata", {{"name", node.name}, {"annotations", node.annotations}}},
            {"spec", spec},
            {"status", {{"addresses", addresses}}}};
}

nlohmann::json to_json(const PodRecord& pod) {
    nlohmann::json metadata = {{"name", pod.name}, {"namespace", "default"}, {"annotations", pod.annotations}};
    if (!pod.uid.empty()) {
        metadata["uid"] = pod.uid;
    }
    return {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", metadata}, {"spec", {{"nodeName", pod.node}}}};
}

}  // namespace

std::map<std::string, std::string> flannel_annotations(Ipv4Address public_ip, MacAddress vtep_mac) {
    return {{"flannel.alpha.coreos.com/kube-subnet-manager", "true"},
            {"flannel.alpha.coreos.com/backend-type", "vxlan"},
            {"flannel.alpha.coreos.com/backend-data", fmt::format(R"({{"VNI":1,"VtepMAC":"{}"}})", vtep_mac)},
            {"flannel.alpha.coreos.com/public-ip", public_ip.to_string()}};
}

std::string to_node_list(const std::vector<NodeRecord>& nodes) {
    return to_object_list(nodes, {});
}

std::string to_object_list(const std::vector<NodeRecord>& nodes, const std::vector<PodRecord>& pods) {
    nlohmann::json items = nlohmann::json::array();
    for (const auto& node : nodes) {
        items.push_back(to_json(node));
    }
    for (const auto& pod : pods) {
        items.push_back(to_json(pod));
    }
    return nlohmann::json{
        {"apiVersion", "v1"}, {"kind", "List"}, {"metadata", {{"resourceVersion", ""}}}, {"items", items}}
        .dump(2);
}

}  // namespace podlane::net
