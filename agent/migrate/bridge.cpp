// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/bridge.h"

#include <algorithm>

#include "agent/netlink/interface_address.h"
#include "agent/netlink/link.h"

namespace podlane::migrate {

Result<std::optional<Bridge>> read_bridge(netlink::Socket& socket, const std::string& name) {
    const auto links = netlink::list_links(socket);
    if (!links) {
        return std::unexpected(links.error());
    }
    const auto found = std::ranges::find(*links, name, &netlink::Link::name);
    if (found == links->end()) {
        return std::nullopt;
    }
    if (found->kind != "bridge") {
        return fail("{} is no bridge{}", name, found->kind.empty() ? "" : fmt::format(" but of kind {}", found->kind));
    }
    const auto addresses = netlink::list_addresses(socket, found->ifindex);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    Bridge bridge{.name = name,
                  .ifindex = found->ifindex,
                  .mac = found->mac.value_or(MacAddress()),
                  .addresses = {},
                  .ports = {}};
    for (const auto& address : *addresses) {
        bridge.addresses.push_back(address.address);
    }
    for (const auto& link : *links) {
        if (link.master == found->ifindex) {
            bridge.ports.push_back({.name = link.name, .ifindex = link.ifindex, .mtu = link.mtu});
        }
    }
    std::ranges::sort(bridge.ports, {}, &BridgePort::name);
    return bridge;
}

std::string why_kept(const Bridge& bridge, std::span<const Ipv4Prefix> pod_cidrs) {
    if (!bridge.ports.empty()) {
        return fmt::format("{} pods are on it; run this again when they are gone", bridge.ports.size());
    }
    if (bridge.addresses.empty()) {
        return "it has no address that would show it to be flannel's";
    }
    for (const auto& address : bridge.addresses) {
        if (std::ranges::none_of(pod_cidrs, [&](const Ipv4Prefix& cidr) { return cidr.contains(address); })) {
            return fmt::format("its address {} is not of this node's podCIDR", address);
        }
    }
    return {};
}

}  // namespace podlane::migrate
