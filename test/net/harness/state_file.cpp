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

}  // namespace

std::map<std::string, std::string> flannel_annotations(Ipv4Address public_ip, MacAddress vtep_mac) {
    return {{"flannel.alpha.coreos.com/kube-subnet-manager", "true"},
            {"flannel.alpha.coreos.com/backend-type", "vxlan"},
            {"flannel.alpha.coreos.com/backend-data", fmt::format(R"({{"VNI":1,"VtepMAC":"{}"}})", vtep_mac)},
            {"flannel.alpha.coreos.com/public-ip", public_ip.to_string()}};
}

std::string to_node_list(const std::vector<NodeRecord>& nodes) {
    nlohmann::json items = nlohmann::json::array();
    for (const auto& node : nodes) {
        items.push_back(to_json(node));
    }
    return nlohmann::json{
        {"apiVersion", "v1"}, {"kind", "List"}, {"metadata", {{"resourceVersion", ""}}}, {"items", items}}
        .dump(2);
}

}  // namespace podlane::net
