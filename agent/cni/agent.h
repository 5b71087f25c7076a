// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/cni/endpoint.h"
#include "agent/cni/failure.h"
#include "agent/cni/http_client.h"
#include "maps/base/address.h"

namespace podlane::cni {

// A macvlan network of the agent's configuration, whose shim lets pods on `master` reach this host.
struct MacvlanNetwork {
    std::string name;
    std::string master;
    std::string mode;                // only in bridge mode is there a way to the host
    Ipv4Address host_address;        // the next hop to `routes`; unspecified while the agent does not know it
    std::vector<Ipv4Prefix> routes;  // what pods reach through this host
};

// What a node's agent knows about the network that its pods join.
struct NodeNetwork {
    std::vector<Ipv4Prefix> pod_cidrs;  // never empty
    unsigned mtu = 0;                   // of pods, bytes of IP
    std::vector<MacvlanNetwork> macvlans;
};

// The node's agent. Where it is away, or not ready, the failure is code 11 (try again later).
class Agent {
public:
    Agent() = default;
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;
    virtual ~Agent() = default;

    [[nodiscard]] virtual Outcome<NodeNetwork> network() = 0;
    [[nodiscard]] virtual Outcome<std::optional<Endpoint>> endpoint(const std::string& id) = 0;
    // All that the agent knows; while it is away, all that it wrote down.
    [[nodiscard]] virtual Outcome<std::vector<Endpoint>> endpoints() = 0;
    // Returns when packets flow.
    [[nodiscard]] virtual Outcome<void> add_endpoint(const Endpoint& endpoint) = 0;
    // Forgets an endpoint, known or not. Without an answer from the agent its record is removed, and the agent catches
    // up; that is a success. A failure says that the record could not be removed.
    [[nodiscard]] virtual Outcome<void> remove_endpoint(const std::string& id) = 0;
};

// The agent behind <runDir>/agent.sock, with its records under <runDir>/endpoints.
class SocketAgent final : public Agent {
public:
    explicit SocketAgent(std::string run_dir) : run_dir_(std::move(run_dir)) {}

    [[nodiscard]] Outcome<NodeNetwork> network() override;
    [[nodiscard]] Outcome<std::optional<Endpoint>> endpoint(const std::string& id) override;
    [[nodiscard]] Outcome<std::vector<Endpoint>> endpoints() override;
    [[nodiscard]] Outcome<void> add_endpoint(const Endpoint& endpoint) override;
    [[nodiscard]] Outcome<void> remove_endpoint(const std::string& id) override;

private:
    [[nodiscard]] Outcome<HttpResponse> call(const HttpRequest& request);
    [[nodiscard]] Outcome<std::vector<Endpoint>> recorded_endpoints() const;

    std::string run_dir_;
};

[[nodiscard]] Outcome<NodeNetwork> parse_node_network(std::string_view json_text);

}  // namespace podlane::cni
