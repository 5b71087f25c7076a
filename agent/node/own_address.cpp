// SPDX-License-Identifier: Apache-2.0
#include "agent/node/own_address.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "agent/link/ownership.h"
#include "agent/netlink/interface_address.h"
#include "agent/netlink/link.h"
#include "agent/netlink/route.h"
#include "agent/netlink/socket.h"

namespace podlane {
namespace {

Result<std::optional<Ipv4Address>> first_address(netlink::Socket& socket, std::uint32_t ifindex) {
    const auto addresses = netlink::list_addresses(socket, ifindex);
    if (!addresses) {
        return std::unexpected(addresses.error());
    }
    const auto found = std::ranges::find_if(*addresses, [](const netlink::InterfaceAddress& address) {
        return address.scope == RT_SCOPE_UNIVERSE && address.address.is_unicast();
    });
    return found == addresses->end() ? std::nullopt : std::optional(found->address);
}

Result<Ipv4Address> address_of_device(netlink::Socket& socket, const std::string& device) {
    const auto links = netlink::list_links(socket);
    if (!links) {
        return std::unexpected(links.error());
    }
    const auto named = std::ranges::find(*links, device, &netlink::Link::name);
    if (named == links->end()) {
        return fail("underlay device {} does not exist", device);
    }
    const auto in_its_place = std::ranges::find_if(
        *links, [&](const netlink::Link& link) { return may_carry_host(link.alias) && link.link == named->ifindex; });
    std::vector<std::uint32_t> candidates = {named->ifindex};
    if (in_its_place != links->end()) {
        candidates.push_back(in_its_place->ifindex);
    }
    for (const auto ifindex : candidates) {
        const auto address = first_address(socket, ifindex);
        if (!address) {
            return std::unexpected(address.error());
        }
        if (*address) {
            return **address;
        }
    }
    return fail("underlay device {} has no IPv4 address", device);
}

}  // namespace

Result<Ipv4Address> find_own_address(const std::string& device) {
    auto socket = netlink::Socket::open();
    if (!socket) {
        return std::unexpected(socket.error());
    }
    if (!device.empty()) {
        return address_of_device(*socket, device);
    }
    const auto routes = netlink::list_routes(*socket, {.protocol = 0, .table = RT_TABLE_MAIN, .oif = 0});
    if (!routes) {
        return std::unexpected(routes.error());
    }
    const netlink::Route* best = nullptr;
    for (const auto& route : *routes) {
        if (route.destination.length() == 0 && route.type == RTN_UNICAST && route.oif != 0 &&
            (best == nullptr || route.metric < best->metric)) {
            best = &route;
        }
    }
    if (best == nullptr) {
        return fail("there is no default route that tells it: set underlay.device");
    }
    if (best->source) {
        return *best->source;
    }
    const auto address = first_address(*socket, best->oif);
    if (!address) {
        return std::unexpected(address.error());
    }
    return *address ? Result<Ipv4Address>(**address)
                    : fail("the device of the default route has none: set underlay.device");
}

}  // namespace podlane
