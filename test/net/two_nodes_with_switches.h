// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>

#include <string>
#include <vector>

#include "test/net/harness/hooks.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {

// Two nodes, and what their agents say about the ways they take.
class TwoNodesWithSwitches : public TwoNodes {
protected:
    [[nodiscard]] static nlohmann::json features_of(Node& node) {
        return node.agentctl_json({"status"}).at("details").at("features");
    }
    // Each of the devices runs one program in each direction, by the method that status names and by no other.
    static void expect_one_set_of_hooks(Node& node, const std::vector<std::string>& devices) {
        const auto expected = features_of(node).at("hooks") == "tcx" ? one_by_tcx : one_by_clsact;
        for (const auto& device : devices) {
            EXPECT_EQ(count_hooks({node.ns(), device}), expected) << device;
        }
    }
    // Where maps are charged to RLIMIT_MEMLOCK an agent has to raise it.
    static bool may_raise_the_memory_limit() {
        rlimit limit{};
        const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
        return ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && ::setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0 &&
               ::setrlimit(RLIMIT_MEMLOCK, &limit) == 0;
    }
    // What somebody does who upgrades the kernel, or podlane: the agent ends and another one takes over.
    static void restart_without(Node& node, std::vector<std::string> features) {
        node.stop_agent();
        node.set_without(std::move(features));
        node.start_agent();
        node.wait_ready();
    }
};

}  // namespace podlane::net
