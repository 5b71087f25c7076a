// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/cni/endpoint.h"
#include "agent/ctl/agent_client.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

// What the running agent tells of itself, as far as a migration needs it.
namespace podlane::migrate {

struct AgentSubsystem {
    std::string name;
    std::string state;  // "ok", "degraded", "failed", ...
    std::string reason;
    std::string action;
};

struct AgentNode {
    std::string name;
    Ipv4Address internal_ip;
    std::vector<Ipv4Prefix> pod_cidrs;
    std::string path;  // "local", "vxlan", "direct", "unreachable"
    std::string reason;
};

// A line of `agentctl link list`.
struct AgentLink {
    std::string kind;
    std::string name;  // of a hook: "veth1a2b from-pod"
    std::string state;
};

struct AgentView {
    std::string node;
    std::string not_ready;  // why no pod can be added; empty: pods can
    std::uint32_t mtu = 0;  // of pods, bytes; 0 while it is not ready
    std::vector<AgentSubsystem> subsystems;
    std::vector<AgentNode> nodes;
    std::vector<Endpoint> endpoints;
    std::vector<AgentLink> links;

    // Null: this node is not in the cluster's state.
    [[nodiscard]] const AgentNode* self() const;
    [[nodiscard]] const Endpoint* endpoint(const std::string& id) const;
    [[nodiscard]] const Endpoint* endpoint_on(const std::string& device) const;  // of the host
};

// Some calls, one after another. An error: nobody answered (its code is the client's), or not what an agent says.
[[nodiscard]] Result<AgentView> ask_agent(const AgentClient& client);

// Whether one runs: also one that answers with an error, or hangs.
[[nodiscard]] bool agent_runs(const AgentClient& client);

// Takes the pod into the agent's care; the agent keeps its record and attaches its hooks before it answers.
[[nodiscard]] Result<void> hand_over(const AgentClient& client, const Endpoint& endpoint);

}  // namespace podlane::migrate
