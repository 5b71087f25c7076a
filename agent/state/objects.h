// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace podlane {

// Of a Node or Pod: values by key.
using Annotations = std::map<std::string, std::string>;

// What podlane reads of a core/v1 Node, as written: nothing here is parsed or judged yet.
struct NodeObject {
    std::string name;
    Annotations annotations;                // only those that podlane reads: see is_relevant_annotation
    std::vector<std::string> pod_cidrs;     // spec.podCIDRs, or spec.podCIDR where that is absent
    std::vector<std::string> internal_ips;  // status.addresses[type=InternalIP], in order
    bool deleting = false;                  // metadata.deletionTimestamp is set
    std::string origin;                     // where it was read, for messages: "cluster.yaml:12"

    bool operator==(const NodeObject&) const = default;
};

// What podlane reads of a core/v1 Pod.
struct PodObject {
    std::string name_space;
    std::string name;
    std::string uid;
    Annotations annotations;
    std::string node_name;
    bool host_network = false;
    std::string phase;
    std::vector<std::string> pod_ips;  // status.podIPs, or status.podIP where that is absent
    bool deleting = false;
    std::string origin;

    bool operator==(const PodObject&) const = default;
};

// Something that was left out, in words: "node n7: spec.podCIDRs: "10.244.9.7/24" has host bits set (x.yaml:12)".
struct ObjectWarning {
    std::string object;  // "node n7"
    std::string field;   // "spec.podCIDRs"
    std::string message;
    std::string origin;  // where the object was read, as in NodeObject; may be empty

    [[nodiscard]] std::string to_string() const;
    // The same warning, wherever its object stands in the file by now.
    bool operator==(const ObjectWarning& other) const {
        return object == other.object && field == other.field && message == other.message;
    }
};

// Annotations outside podlane.io/ and flannel.alpha.coreos.com/ are not kept.
[[nodiscard]] bool is_relevant_annotation(std::string_view key);

// Everything a source knows. Nodes by name; pods of this node only, by "namespace/name".
struct ClusterObjects {
    std::map<std::string, NodeObject> nodes;
    std::map<std::string, PodObject> pods;

    bool operator==(const ClusterObjects&) const = default;
};

}  // namespace podlane
