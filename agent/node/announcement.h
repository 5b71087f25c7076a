// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/config/config.h"
#include "agent/event_loop.h"
#include "agent/node/node_agent.h"

namespace podlane {

// What is told to others when pods can be added, and not before: the container runtime, by the CNI configuration in
// its folder, and whoever else wants to know. Nothing is taken back when the agent ends.
class Announcement {
public:
    // `up` is called once. The others must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<Announcement>> start(EventLoop& loop, const NodeAgent& agent,
                                                                     CniFileConfig cni, std::function<void()> up);

private:
    Announcement(const NodeAgent& agent, CniFileConfig cni, std::function<void()> up)
        : agent_(agent), cni_(std::move(cni)), up_(std::move(up)) {}
    void look();
    // Also follows the template, and puts back what somebody removed.
    [[nodiscard]] Result<void> write_cni_file();

    const NodeAgent& agent_;
    CniFileConfig cni_;
    std::function<void()> up_;
    bool written_ = false;
    std::string problem_;
    EventLoop::Watch timer_;
};

// The configuration where there is no template: podlane, and portmap for hostPorts.
[[nodiscard]] std::string default_cni_configuration(const std::string& run_dir);
// An error: a runtime would not take it for one.
[[nodiscard]] Result<void> check_cni_configuration(const std::string& text);

}  // namespace podlane
