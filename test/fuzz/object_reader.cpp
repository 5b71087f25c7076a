// SPDX-License-Identifier: Apache-2.0
// Any text as cluster state: it is read or refused, what was read is decided, and what must hold does.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/source/object_reader.h"
#include "agent/state/cluster.h"

namespace podlane {
namespace {

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

bool is_one_line(std::string_view text) {
    return text.find('\n') == std::string_view::npos;
}

// No two nodes share an address or a podCIDR, whatever they claimed.
void check(const Cluster& cluster) {
    for (auto node = cluster.nodes.begin(); node != cluster.nodes.end(); ++node) {
        require(node->second.internal_ip.is_unicast() && node->second.vtep.is_unicast());
        for (auto other = std::next(node); other != cluster.nodes.end(); ++other) {
            require(node->second.internal_ip != other->second.internal_ip && node->second.vtep != other->second.vtep);
            for (const auto& one : node->second.pod_cidrs) {
                for (const auto& another : other->second.pod_cidrs) {
                    require(!one.overlaps(another));
                }
            }
        }
    }
    for (const auto& warning : cluster.warnings) {
        require(is_one_line(warning.to_string()));
    }
}

void run(std::string_view text, TextFormat format) {
    const auto read = read_objects(text, {.name = "fuzz", .node_name = "n1", .format = format});
    if (!read) {
        require(read.error().message.starts_with("fuzz:") && is_one_line(read.error().message));
        return;
    }
    ClusterObjects objects;
    for (const auto& node : read->nodes) {
        require(!node.name.empty());
        objects.nodes.try_emplace(node.name, node);
    }
    for (const auto& pod : read->pods) {
        require(!pod.name.empty() && !pod.name_space.empty() && pod.node_name == "n1");
    }
    for (const auto& warning : read->warnings) {
        require(is_one_line(warning.to_string()));
    }
    const ClusterRules rules{.node_name = "n1",
                             .cluster_cidrs = {Ipv4Prefix::masked(Ipv4Address::from_host(0x0af40000), 16)},
                             .flannel = true};
    const Cluster first = decide_cluster(objects, {}, rules);
    check(first);
    const Cluster again = decide_cluster(objects, first, rules);
    require(again.nodes == first.nodes && again.warnings == first.warnings);
}

}  // namespace
}  // namespace podlane

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    podlane::run(text, podlane::TextFormat::json);
    podlane::run(text, podlane::TextFormat::yaml);
    podlane::run(text, podlane::TextFormat::detect);
    return 0;
}
