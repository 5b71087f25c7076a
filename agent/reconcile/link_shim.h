// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/link/shim.h"
#include "agent/netlink/link.h"
#include "agent/netlink/socket.h"
#include "agent/reconcile/host_move.h"
#include "agent/reconcile/link_actual.h"
#include "agent/reconcile/link_reconciler.h"
#include "maps/base/result.h"

// Macvlan shims: what to do about them (pure), and doing it.
namespace podlane {

enum class ShimAction {
    none,      // as wanted
    create,    // not there
    change,    // there, and can be put right in place
    recreate,  // there, on another master or in another mode
    refuse,    // a device of that name is there and is not podlane's, or the master is not there or a macvlan
};

struct ShimPlan {
    ShimAction action = ShimAction::none;
    netlink::LinkChange change{};  // for `change`
};

// `actual`: the device of the wanted name, or null; `master` likewise.
[[nodiscard]] ShimPlan plan_shim(const WantedShim& wanted, const netlink::Link* actual, const netlink::Link* master);
// A macvlan with podlane's alias, or, where a predecessor ended before it could set it, with the wanted MAC.
[[nodiscard]] bool is_own_shim(const WantedShim& wanted, const netlink::Link& link);
// From the shim to its master.
[[nodiscard]] MoveEnds ends_back(const netlink::Link& shim, const LinkTable& links);
// A line of `agentctl link list`.
[[nodiscard]] LinkItem shim_item(const WantedShim& wanted, const LinkTable& links);

// What ensure_shims goes by; a view.
struct ShimTask {
    const std::vector<WantedShim>& wanted;
    const std::map<std::string, netlink::Link>& settled;  // as the last pass left them, by name
    Sweep sweep;
};

// Removes shims that nobody wants (of a configuration that was in use before, or renamed by somebody), and makes the
// wanted ones. What a host has on a shim goes back to the master before the shim is deleted. Afterwards `links` is
// current, and finds a shim by its name if objects can be placed on it: not one that is somebody else's, nor one that
// is down. An error means that the devices could not be read again.
[[nodiscard]] Result<void> ensure_shims(netlink::Socket& socket, const ShimTask& task, LinkTable& links,
                                        LinkReport& report);

}  // namespace podlane
