// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "agent/ctl/http_server.h"
#include "agent/event_loop.h"
#include "agent/node/node_agent.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane {

// The agent's API on its control socket. Comes back when somebody removes the socket's file, or the run directory with
// it and all records: nobody else would make them again, and agentctl and the CNI plugin could not reach the agent.
class ControlSocket {
public:
    // `listener`: of listen_unix(`path`). Everything must outlive the socket.
    [[nodiscard]] static Result<std::unique_ptr<ControlSocket>> serve(EventLoop& loop, NodeAgent& agent,
                                                                      std::filesystem::path path, Fd listener);

private:
    ControlSocket(EventLoop& loop, NodeAgent& agent, std::filesystem::path path)
        : loop_(loop), agent_(agent), path_(std::move(path)) {}
    [[nodiscard]] Result<void> answer_on(Fd listener);
    void audit();
    [[nodiscard]] Result<void> restore();

    EventLoop& loop_;
    NodeAgent& agent_;
    std::filesystem::path path_;
    std::unique_ptr<HttpServer> server_;
    EventLoop::Watch audit_;
};

}  // namespace podlane
