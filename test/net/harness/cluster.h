// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "test/net/harness/node.h"
#include "test/net/harness/underlay.h"

namespace podlane::net {

enum class FlannelNeighbours : bool { no, yes };

struct ClusterOptions {
    unsigned nodes = 2;
    FlannelNeighbours flannel = FlannelNeighbours::no;
    unsigned underlay_mtu = 1500;
    std::string extra_config;               // for every agent
    std::vector<std::string> without = {};  // what every agent is to take for missing
    std::string mode = "vxlan";             // overlay.mode of every agent
    std::string xdp = "auto";               // underlay.xdp of every agent
    std::vector<std::string> agent = {};    // NodeOptions::agent of all
};

// Nodes 1 to N on one underlay, each with a running agent that is in sync.
//
//   node 1: 192.168.0.1, podCIDR 10.244.1.0/24 --- wire --- node 2: 192.168.0.2, podCIDR 10.244.2.0/24 ...
class Cluster {
public:
    explicit Cluster(const ClusterOptions& options = {});

    [[nodiscard]] Node& node(unsigned number);
    [[nodiscard]] Underlay& underlay() { return underlay_; }

    // The state that publish() writes to every node. A test may change it in between.
    [[nodiscard]] std::vector<NodeRecord>& state() { return state_; }
    void publish();

    [[nodiscard]] static Ipv4Address node_address(unsigned number);
    [[nodiscard]] static Ipv4Prefix pod_cidr(unsigned number);
    // With FlannelNeighbours::yes: what the node's annotation says.
    [[nodiscard]] static MacAddress flannel_mac(unsigned number);

private:
    Underlay underlay_;
    std::vector<NodeRecord> state_;
    std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace podlane::net
