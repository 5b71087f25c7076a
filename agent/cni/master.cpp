// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/master.h"

#include <algorithm>
#include <array>

#include "agent/cni/link_requests.h"
#include "agent/cni/wireless.h"

namespace podlane::cni {
namespace {

// Of several default routes the one that the kernel prefers.
Outcome<LinkInfo> device_of_default_route(RtSocket& host) {
    const auto routes = list_routes(host);
    if (!routes) {
        return refuse_because(Code::attachment_failed, routes.error());
    }
    const RouteInfo* best = nullptr;
    for (const auto& route : *routes) {
        const bool usable = route.destination.length() == 0 && route.table == RT_TABLE_MAIN && route.out_index != 0;
        if (usable && (best == nullptr || route.priority < best->priority)) {
            best = &route;
        }
    }
    if (best == nullptr) {
        return refuse(Code::attachment_failed, "master is not set, and this host has no default route to take it from");
    }
    const auto link = find_link(host, best->out_index);
    if (!link || !*link) {
        return refuse(Code::attachment_failed, "master is not set, and the default route's device {} is gone",
                      best->out_index);
    }
    return **link;
}

Outcome<LinkInfo> device_named(RtSocket& host, const std::string& name) {
    const auto link = find_link(host, name);
    if (!link) {
        return refuse_because(Code::attachment_failed, link.error());
    }
    if (!*link) {
        return refuse(Code::attachment_failed, "master: this host has no interface {}", name);
    }
    return **link;
}

// Those take every packet of their ports; a VRF does not.
bool takes_all_packets(std::string_view owner_kind) {
    constexpr std::array<std::string_view, 4> kinds{"bridge", "bond", "team", "openvswitch"};
    return std::ranges::find(kinds, owner_kind) != kinds.end();
}

std::string owner_name(RtSocket& host, const LinkInfo& port) {
    const auto owner = find_link(host, port.port_of);
    return owner && *owner ? (*owner)->name : fmt::format("interface {}", port.port_of);
}

bool is_podlanes(const LinkInfo& link) {
    return link.alias.starts_with("podlane ") || link.alias.starts_with("podlane1 ");
}

Outcome<void> check_suitable(RtSocket& host, const LinkInfo& link) {
    if (link.loopback || !link.ethernet) {
        return refuse(Code::invalid_config, "master: {} is no Ethernet device", link.name);
    }
    if (takes_all_packets(link.port_kind)) {
        const auto owner = owner_name(host, link);
        return refuse(Code::invalid_config,
                      "master: {} is a port of the {} {}, which takes all its packets; {} itself can be the master",
                      link.name, link.port_kind, owner, owner);
    }
    if (is_podlanes(link)) {
        return refuse(Code::invalid_config, "master: {} is a device of podlane's own", link.name);
    }
    // The kernel would take the device below it.
    if (link.kind == "macvlan" || link.kind == "macvtap") {
        return refuse(Code::invalid_config, "master: {} is a {} itself; the device that it is on can be the master",
                      link.name, link.kind);
    }
    // An access point takes frames from no MAC but the station's own, of which macvlan has several.
    if (is_wireless_station(link.index)) {
        return refuse(Code::invalid_config, "master: {} is a Wi-Fi device, whose access point knows one MAC only",
                      link.name);
    }
    return {};
}

}  // namespace

Outcome<Master> find_master(RtSocket& host, const std::string& name) {
    const auto link = name.empty() ? device_of_default_route(host) : device_named(host, name);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (const auto suitable = check_suitable(host, *link); !suitable) {
        return std::unexpected(suitable.error());
    }
    return Master{link->name, link->mac, link->mtu};
}

}  // namespace podlane::cni
