// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/config/config.h"
#include "agent/event_loop.h"
#include "agent/node/node_agent.h"
#include "agent/service_manager.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

// How this process was started.
struct ProgramStart {
    Overrides flags;
    char** arguments;                                  // main's, terminated by a null pointer
    std::function<Result<void>(const Config&)> check;  // whether an agent with that configuration would start
};

// Follows the configuration file. A good new configuration is taken over by executing the agent anew in place, which
// forwards without a gap as any restart does; a bad one changes nothing but the agent's health.
class Reload {
public:
    // Everything must outlive the reload.
    [[nodiscard]] static Result<std::unique_ptr<Reload>> create(EventLoop& loop, const ProgramStart& start,
                                                                NodeAgent& agent, ServiceManager& service);

    // SIGHUP: also when the file is as it was.
    void now();

private:
    Reload(EventLoop& loop, ProgramStart start, NodeAgent& agent, ServiceManager& service);
    [[nodiscard]] Result<void> watch_file();
    void on_event();
    void restart();

    EventLoop& loop_;
    ProgramStart start_;
    NodeAgent& agent_;
    ServiceManager& service_;
    std::string file_;  // empty: there is none
    std::string text_;  // what the running configuration was read from
    Fd inotify_;
    EventLoop::Watch watch_;
    EventLoop::Watch pending_;
};

}  // namespace podlane
