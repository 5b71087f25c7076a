// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/link/host_network.h"
#include "agent/netlink/link.h"
#include "agent/netlink/socket.h"
#include "agent/reconcile/link_actual.h"
#include "agent/reconcile/link_reconciler.h"
#include "maps/base/result.h"

// The overlay device: what to do about it (pure), and doing it.
namespace podlane {

enum class OverlayAction {
    none,      // as wanted
    create,    // not there
    change,    // there, and can be put right in place
    recreate,  // there, with something that a VXLAN device keeps for life
    refuse,    // a device of that name is there and is not podlane's
};

struct OverlayPlan {
    OverlayAction action = OverlayAction::none;
    netlink::LinkChange change;  // for `change`
};

// `actual`: the device of the wanted name, or null.
[[nodiscard]] OverlayPlan plan_overlay(const WantedOverlayDevice& wanted, const netlink::Link* actual);
// Whether a device of the configured name is podlane's: VXLAN, and external or with podlane's alias.
[[nodiscard]] bool is_own_overlay(const netlink::Link& link);
// Removes overlay devices of podlane's that have another name than the wanted one: of a configuration that was in use
// before. Afterwards `links` is current; errors as below.
[[nodiscard]] Result<void> remove_stale_overlays(netlink::Socket& socket, const std::string& wanted_name,
                                                 LinkTable& links, LinkReport& report);
// A line of `agentctl link list`.
[[nodiscard]] LinkItem overlay_item(const WantedOverlayDevice& wanted, const netlink::Link* actual);

// Makes the device as wanted. Afterwards `links` is current, and finds the device by its name if objects can be placed
// on it: not one that is somebody else's, nor one that will not come up. What was done and what failed is in `report`;
// an error means that the devices could not be read again.
[[nodiscard]] Result<void> ensure_overlay(netlink::Socket& socket, const WantedOverlayDevice& wanted, LinkTable& links,
                                          LinkReport& report);

}  // namespace podlane
