// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "test/net/harness/two_nodes.h"

namespace podlane::net {

// Where node 3 is.
enum class FarNode : bool {
    routed,   // in a subnet of its own: 192.168.9.3, router 192.168.9.254
    proxied,  // 192.168.0.3, as if on the wire: routers at both ends answer ARP for those behind them
};

// Three nodes with a pod each; two on one wire, the third behind two routers (the wires' own namespaces):
//
//   pod 1 --- node 1 (192.168.0.1) --+                                        +-- node 3 (192.168.9.3) --- pod 3
//   10.244.1.x                       | wire, 192.168.0.254 ====== far wire    |                       10.244.3.x
//   pod 2 --- node 2 (192.168.0.2) --+            10.99.0.0/30 between them --+
//   10.244.2.x
class ThreeNodeNetwork {
public:
    using Modes = std::array<std::string, 3>;
    // Nodes with these values of overlay.mode, agents and pods; returns when the first probes have been answered.
    void build(const Modes& modes, FarNode far = FarNode::routed);

    [[nodiscard]] Node& node(unsigned number) { return *nodes_.at(number - 1); }
    [[nodiscard]] Pod& pod(unsigned number) { return *pods_.at(number - 1); }
    // Of nodes 1 and 2, and of node 3.
    [[nodiscard]] Underlay& underlay() { return *near_; }
    [[nodiscard]] const Namespace& wire() const { return near_->ns(); }
    [[nodiscard]] const Namespace& far_wire() const { return far_->ns(); }
    // The wire's end of a node's device.
    [[nodiscard]] DeviceRef port(unsigned number);

    // What `agentctl node list` of one node says about another.
    struct Listed {
        std::string path;
        std::string reason;
    };
    [[nodiscard]] Listed listed(unsigned on, unsigned about);
    // How long it takes until the path is that one; fails the test when it takes longer than `timeout`.
    std::chrono::milliseconds expect_path(unsigned on, unsigned about, const std::string& path,
                                          std::chrono::milliseconds timeout);
    // One line of `agentctl status`, whatever its exit status.
    [[nodiscard]] nlohmann::json subsystem(unsigned on, const std::string& name);

    void set_offload_everywhere(Offload offload);

private:
    void connect_wires(FarNode far);
    void start(Node& node);

    std::unique_ptr<Underlay> near_;
    std::unique_ptr<Underlay> far_;
    std::vector<std::unique_ptr<Node>> nodes_;
    std::vector<Pod*> pods_;
};

// The same for tests that have one each.
class ThreeNodes : public testing::Test, protected ThreeNodeNetwork {};

}  // namespace podlane::net
