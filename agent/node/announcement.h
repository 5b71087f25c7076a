// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/config/config.h"
#include "agent/event_loop.h"
#include "agent/node/kept_file.h"
#include "agent/node/node_agent.h"

namespace podlane {

// What is told to others when pods can be added, and not before: flannel's CNI plugin and whoever else reads
// <runDir>/subnet.env, the cluster, and last the container runtime, by the CNI configuration in its folder. Looked at
// twice a second. Nothing is taken back when the agent ends.
class Announcement {
public:
    // `ready` is called at each look for as long as pods can be added. The others must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<Announcement>> start(EventLoop& loop, const NodeAgent& agent,
                                                                     const CniFileConfig& cni,
                                                                     std::function<void()> ready);

private:
    Announcement(const NodeAgent& agent, const CniFileConfig& cni, std::function<void()> ready);
    void look();

    const NodeAgent& agent_;
    std::function<void()> ready_;
    KeptFile subnet_;
    std::string cni_template_;
    KeptFile cni_;
    EventLoop::Watch timer_;
};

// The configuration where there is no template: podlane, and portmap for hostPorts.
[[nodiscard]] std::string default_cni_configuration(const std::string& run_dir);
// An error: a runtime would not take it for one.
[[nodiscard]] Result<void> check_cni_configuration(const std::string& text);

}  // namespace podlane
