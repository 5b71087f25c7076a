// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "agent/config/config.h"
#include "agent/ctl/http_server.h"
#include "agent/event_loop.h"
#include "agent/node/node_agent.h"
#include "agent/observe/map_census.h"

namespace podlane {

// What others ask about the agent, at the key `listen`: /healthz, /readyz and /metrics. Nothing can be changed by it,
// and it tells nothing of single pods.
//
// An address that cannot be listened on (a port in use, an address that the node does not have yet) is a warning, and
// tried again: the agent does without.
class Monitoring {
public:
    // Both must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<Monitoring>> start(EventLoop& loop, const NodeAgent& agent,
                                                                   ListenAddress address);

private:
    using Clock = std::chrono::steady_clock;

    Monitoring(EventLoop& loop, const NodeAgent& agent, ListenAddress address);
    void listen();
    [[nodiscard]] Result<void> serve();
    void count_maps();
    [[nodiscard]] const std::string& metrics();

    EventLoop& loop_;
    const NodeAgent& agent_;
    ListenAddress address_;
    std::string problem_;  // why nobody can ask
    std::unique_ptr<HttpServer> server_;
    MapCensus census_;
    std::string metrics_;  // as of metrics_at_
    Clock::time_point metrics_at_;
    EventLoop::Watch retry_;
    EventLoop::Watch counting_;
    Clock::time_point next_round_;
};

// What /readyz says. Ready is a node whose datapath has a state of the cluster and that pods can be added to; one that
// is degraded forwards, and stays ready. `verbose`: with a line for each subsystem.
enum class Detail { brief, verbose };
[[nodiscard]] HttpResponse readiness(const NodeAgent& agent, Detail detail);

}  // namespace podlane
