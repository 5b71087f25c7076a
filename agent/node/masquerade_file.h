// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "agent/event_loop.h"
#include "agent/node/node_agent.h"
#include "agent/source/followed_file.h"
#include "maps/base/result.h"

namespace podlane {

// Follows the configuration file of ip-masq-agent for a node's agent. A file that is not there says nothing; one that
// is broken, or has more networks than there is room for, changes nothing but the agent's health. Both arguments must
// outlive what is returned.
[[nodiscard]] Result<std::unique_ptr<FollowedFile>> follow_ip_masq_agent(EventLoop& loop, NodeAgent& agent,
                                                                         const std::string& path);

}  // namespace podlane
