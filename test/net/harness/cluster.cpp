// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/cluster.h"

#include <fmt/format.h>

namespace podlane::net {

Cluster::Cluster(const ClusterOptions& options) : underlay_(options.underlay_mtu) {
    const bool flannel = options.flannel == FlannelNeighbours::yes;
    for (unsigned number = 1; number <= options.nodes; ++number) {
        const NodeOptions node{.name = fmt::format("n{}", number),
                               .internal_ip = node_address(number),
                               .pod_cidr = pod_cidr(number),
                               .flannel = flannel,
                               .extra_config = options.extra_config,
                               .without = options.without,
                               .mode = options.mode,
                               .xdp = options.xdp,
                               .agent = options.agent};
        nodes_.push_back(std::make_unique<Node>(underlay_, node));
        state_.push_back({node.name, node.internal_ip, {node.pod_cidr}, {}});
        if (flannel) {
            state_.back().annotations = flannel_annotations(node.internal_ip, flannel_mac(number));
        }
    }
    publish();
    for (auto& node : nodes_) {
        node->start_agent();
    }
    for (auto& node : nodes_) {
        node->wait_ready();
    }
}

Node& Cluster::node(unsigned number) {
    return *nodes_.at(number - 1);
}

void Cluster::publish() {
    const std::string content = to_node_list(state_);
    for (auto& node : nodes_) {
        node->write_state(content);
    }
}

Ipv4Address Cluster::node_address(unsigned number) {
    return Ipv4Address::from_host(0xc0a80000U + number);
}

Ipv4Prefix Cluster::pod_cidr(unsigned number) {
    return Ipv4Prefix::masked(Ipv4Address::from_host(0x0af40000U + (number << 8U)), 24);
}

MacAddress Cluster::flannel_mac(unsigned number) {
    return MacAddress({0x0e, 0x61, 0x06, 0xff, 0x7a, static_cast<std::uint8_t>(number)});
}

}  // namespace podlane::net
