// SPDX-License-Identifier: Apache-2.0
// Any bytes as a state file: read as YAML or JSON, judged, and judged again with the outcome as what was before.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/source/object_reader.h"
#include "agent/state/cluster.h"

namespace podlane {
namespace {

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

// What decide_cluster promises of every input.
void check(const Cluster& cluster, const ClusterRules& rules) {
    std::vector<Ipv4Prefix> claimed;
    for (const auto& [name, node] : cluster.nodes) {
        require(node.self == (name == rules.node_name));
        for (const auto& cidr : node.pod_cidrs) {
            require(rules.cluster_cidrs.front().contains(cidr));
            for (const auto& other : claimed) {
                require(!cidr.overlaps(other));
            }
            claimed.push_back(cidr);
        }
    }
}

void fuzz(std::string_view text, TextFormat format) {
    const auto read = read_objects(text, {.name = "fuzz", .node_name = "n1", .format = format});
    if (!read) {
        require(read.error().message.find('\n') == std::string::npos);
        return;
    }
    ClusterObjects objects;
    for (const auto& node : read->nodes) {
        objects.nodes.insert_or_assign(node.name, node);
    }
    const ClusterRules rules{.node_name = "n1",
                             .cluster_cidrs = {Ipv4Prefix::masked(Ipv4Address::from_host(0x0af40000), 16)},
                             .flannel = true};
    const Cluster first = decide_cluster(objects, {}, rules);
    check(first, rules);
    require(decide_cluster(objects, first, rules) == first);
}

}  // namespace
}  // namespace podlane

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    podlane::fuzz(text, podlane::TextFormat::detect);
    podlane::fuzz(text, podlane::TextFormat::json);
    return 0;
}
