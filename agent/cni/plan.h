// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "agent/cni/agent.h"
#include "agent/cni/config.h"
#include "agent/cni/environment.h"
#include "agent/cni/master.h"
#include "agent/cni/result.h"

// What ADD is going to make, computed from what it was told.
namespace podlane::cni {

// What stands before an address is asked for.
struct Ground {
    NodeNetwork network;
    std::optional<Master> master;                 // for link macvlan
    std::vector<Ipv4Prefix> ways_of_others = {};  // where the container's other interfaces lead
};

// The attachment without an address, and without what follows from one: gateway, routes. A failure (code 7) says what
// does not go together.
[[nodiscard]] Outcome<Attachment> draft(const Invocation& invocation, const NetworkConfig& config,
                                        const Ground& ground);
// The whole of it. Failures: 7 an address that cannot be set up, 11 as routes_through_host().
[[nodiscard]] Outcome<Attachment> plan(Attachment draft, const Ground& ground, const IpamResult& address);
// The record of an attachment without what its kind of link adds: names, sandbox, network.
[[nodiscard]] Endpoint make_endpoint(const Invocation& invocation, const NetworkConfig& config);

// Routes to what a macvlan pod reaches through its host's shim, less those whose destination `attachment` has a route
// to already, with the overlay's MTU where the interface's is larger. None for a master that is not of the agent's
// networks. Where there cannot be any (another mode than bridge), or another interface leads there, standard error says
// so. A failure (code 11): the agent does not know the host's address on the LAN yet.
[[nodiscard]] Outcome<std::vector<Route>> routes_through_host(const Attachment& attachment, const Ground& ground);

}  // namespace podlane::cni
