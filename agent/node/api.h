// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/ctl/http_server.h"
#include "agent/node/node_agent.h"

namespace podlane {

// Registers the agent's control API (/v1/...): what agentctl shows, and what the CNI plugin asks for. Both objects
// must live as long as the server's loop runs.
void serve_api(HttpServer& server, NodeAgent& agent);

}  // namespace podlane
