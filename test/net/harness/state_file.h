// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "maps/base/address.h"

namespace podlane::net {

// A core/v1 Node with what podlane reads of it.
struct NodeRecord {
    std::string name;
    Ipv4Address internal_ip;
    std::vector<Ipv4Prefix> pod_cidrs;
    std::map<std::string, std::string> annotations;
};

// flannel's annotations for a VXLAN node.
[[nodiscard]] std::map<std::string, std::string> flannel_annotations(Ipv4Address public_ip, MacAddress vtep_mac);

// A core/v1 Pod with what podlane reads of it.
struct PodRecord {
    std::string name;  // in namespace default
    std::string node;
    std::map<std::string, std::string> annotations;
    std::string uid = {};  // empty: it has none
};

// A v1 List as `kubectl get nodes,pods -A -o json` prints it.
[[nodiscard]] std::string to_object_list(const std::vector<NodeRecord>& nodes, const std::vector<PodRecord>& pods);
[[nodiscard]] std::string to_node_list(const std::vector<NodeRecord>& nodes);

}  // namespace podlane::net
