// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "agent/cni/agent.h"
#include "agent/cni/config.h"
#include "agent/cni/environment.h"
#include "agent/cni/failure.h"
#include "agent/cni/ipam.h"
#include "agent/cni/links.h"

// What each CNI command does, in terms of the three things outside: the kernel's links, the IPAM plugin, the agent.
namespace podlane::cni {

struct Ports {
    Links& links;
    Ipam& ipam;
    Agent& agent;
};

// Whether CNI_IFNAME is another plugin's interface, as prevResult has it: one that podlane serves and neither makes nor
// removes.
[[nodiscard]] bool is_adopted(const Invocation& invocation, const NetworkConfig& config);

// Address, link, endpoint, in this order (a macvlan's device before its address); a failure undoes what was done in
// reverse order and leaves nothing.
[[nodiscard]] Outcome<nlohmann::json> add(const Invocation& invocation, const NetworkConfig& config, Ports ports);
// ADD where prevResult holds CNI_IFNAME already: routes, endpoint; undone like add().
[[nodiscard]] Outcome<nlohmann::json> adopt(const Invocation& invocation, const NetworkConfig& config, Ports ports);
// Endpoint, link, address (a macvlan's address before its link). Goes on after a failure and reports the first.
[[nodiscard]] Outcome<void> remove(const Invocation& invocation, const NetworkConfig& config, Ports ports);
// Compares prevResult with the kernel, the agent and the IPAM plugin. A failure names every difference.
[[nodiscard]] Outcome<void> check(const Invocation& invocation, const NetworkConfig& config, Ports ports);
// Removes the attachments of this network that the runtime does not list. Goes on after a failure.
[[nodiscard]] Outcome<void> collect_garbage(const NetworkConfig& config, Ports ports);
[[nodiscard]] Outcome<void> status(Ports ports);

}  // namespace podlane::cni
