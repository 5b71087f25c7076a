// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "agent/link/ownership.h"
#include "agent/reconcile/link_reconciler.h"

namespace podlane {
namespace {

// Answers for one kind of event each.
struct Judge {
    const WantedHostNetwork& wanted;
    std::uint32_t overlay_ifindex;

    bool operator()(const netlink::LinkEvent& event) const {
        // Without an overlay device any other may have been what kept it from its name or port.
        const bool about_overlay =
            (overlay_ifindex != 0 && event.link.ifindex == overlay_ifindex) ||
            (wanted.overlay && (overlay_ifindex == 0 || event.link.name == wanted.overlay->name));
        return about_overlay || concerns_shim(event.link) || wanted.pod_devices.contains(event.link.name) ||
               wanted.pod_bridging.contains(event.link.name);
    }

    // The shim itself, also under another name, and the master: it may have come back, or have another MTU.
    [[nodiscard]] bool concerns_shim(const netlink::Link& link) const {
        return link.alias.starts_with(shim_alias) || std::ranges::any_of(wanted.shims, [&](const WantedShim& shim) {
                   return link.name == shim.name || link.name == shim.master;
               });
    }

    bool operator()(const netlink::AddressEvent& event) const { return event.address.ifindex == overlay_ifindex; }

    bool operator()(const netlink::RouteEvent& event) const {
        if (event.route.protocol == route_protocol) {
            return true;
        }
        // A foreign route that was in the way of ours.
        return event.change == netlink::Change::gone &&
               std::ranges::any_of(wanted.routes, [&](const WantedRoute& route) {
                   return route.destination == event.route.destination;
               });
    }

    bool operator()(const netlink::NeighbourEvent& event) const {
        const auto found = std::ranges::find(wanted.neighbours, event.neighbour.address, &WantedNeighbour::address);
        if (found == wanted.neighbours.end()) {
            return event.neighbour.ifindex == overlay_ifindex && (event.neighbour.state & NUD_PERMANENT) != 0;
        }
        return event.change == netlink::Change::gone || event.neighbour.mac != found->mac ||
               (event.neighbour.state & NUD_PERMANENT) == 0;
    }

    bool operator()(const netlink::SettingsEvent&) const { return true; }
    bool operator()(const netlink::Overrun&) const { return true; }
};

}  // namespace

bool may_disturb(const netlink::Event& event, const WantedHostNetwork& wanted, std::uint32_t overlay_ifindex) {
    return std::visit(Judge{wanted, overlay_ifindex}, event);
}

}  // namespace podlane
