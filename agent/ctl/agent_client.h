// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace podlane {

struct AgentReply {
    long status = 0;  // of HTTP
    std::string body{};
};

struct AgentCall {
    std::string_view method = "GET";
    std::string_view path{};  // "/v1/status"
    std::string_view body{};  // sent when not empty
};

// Speaks HTTP to the agent through <runDir>/agent.sock, one connection a call. Every HTTP status is a reply; an
// error means that nobody answered: ENOENT and ECONNREFUSED no agent, ETIMEDOUT none in time, EACCES not for this
// user, 0 anything else.
class AgentClient {
public:
    AgentClient(const std::filesystem::path& run_dir, std::chrono::milliseconds timeout)
        : socket_(run_dir / "agent.sock"), timeout_(timeout) {}

    [[nodiscard]] Result<AgentReply> call(const AgentCall& call) const;
    [[nodiscard]] const std::filesystem::path& socket() const { return socket_; }

private:
    std::filesystem::path socket_;
    std::chrono::milliseconds timeout_;  // of the whole call
};

}  // namespace podlane
