// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/link_actual.h"

#include <fmt/format.h>

#include "agent/link/ownership.h"

namespace podlane {

LinkTable::LinkTable(std::vector<netlink::Link> links) : links_(std::move(links)) {
    for (std::size_t index = 0; index < links_.size(); ++index) {
        by_name_.emplace(links_[index].name, index);
        by_index_.emplace(links_[index].ifindex, index);
    }
}

Result<LinkTable> LinkTable::read(netlink::Socket& socket) {
    auto links = netlink::list_links(socket);
    if (!links) {
        return std::unexpected(links.error());
    }
    return LinkTable(std::move(*links));
}

const netlink::Link* LinkTable::by_name(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &links_[found->second];
}

const netlink::Link* LinkTable::by_index(std::uint32_t ifindex) const {
    const auto found = by_index_.find(ifindex);
    return found == by_index_.end() ? nullptr : &links_[found->second];
}

std::string LinkTable::name_of(std::uint32_t ifindex) const {
    const auto* link = by_index(ifindex);
    return link == nullptr ? fmt::format("#{}", ifindex) : link->name;
}

std::vector<const netlink::Link*> LinkTable::vxlan_on_port(std::uint16_t port) const {
    std::vector<const netlink::Link*> devices;
    for (const auto& link : links_) {
        if (link.vxlan && link.vxlan->port == port) {
            devices.push_back(&link);
        }
    }
    return devices;
}

std::vector<const netlink::Link*> LinkTable::own_overlays(std::string_view except) const {
    std::vector<const netlink::Link*> devices;
    for (const auto& link : links_) {
        if (link.vxlan && link.alias == overlay_alias && link.name != except) {
            devices.push_back(&link);
        }
    }
    return devices;
}

std::vector<const netlink::Link*> LinkTable::own_shims() const {
    std::vector<const netlink::Link*> devices;
    for (const auto& link : links_) {
        if (link.kind == "macvlan" && link.alias.starts_with(shim_alias)) {
            devices.push_back(&link);
        }
    }
    return devices;
}

RouteKey key_of(const netlink::Route& route) {
    return {.table = route.table, .destination = route.destination, .metric = route.metric};
}

NeighbourKey key_of(const netlink::Neighbour& neighbour) {
    return {.ifindex = neighbour.ifindex, .address = neighbour.address};
}

AddressKey key_of(const netlink::InterfaceAddress& address) {
    return {.ifindex = address.ifindex, .address = address.address, .prefix_length = address.prefix_length};
}

Result<HostObjects> read_host_objects(netlink::Socket& socket, const OwnDevices& devices) {
    HostObjects objects;
    const auto routes = netlink::list_routes(socket, {.protocol = route_protocol});
    if (!routes) {
        return std::unexpected(routes.error());
    }
    for (const auto& route : *routes) {
        objects.routes.emplace(key_of(route), route);
    }
    const auto neighbours = netlink::list_neighbours(socket, 0);
    if (!neighbours) {
        return std::unexpected(neighbours.error());
    }
    for (const auto& neighbour : *neighbours) {
        const bool own_device = devices.made.contains(neighbour.ifindex) || devices.pods.contains(neighbour.ifindex);
        const bool own_entry = devices.carriers.contains(neighbour.ifindex) && neighbour.protocol == route_protocol;
        if ((own_device || own_entry) && (neighbour.state & NUD_PERMANENT) != 0) {
            objects.neighbours.emplace(key_of(neighbour), neighbour);
        }
    }
    if (!devices.made.empty()) {
        const auto addresses = netlink::list_addresses(socket, 0);
        if (!addresses) {
            return std::unexpected(addresses.error());
        }
        for (const auto& address : *addresses) {
            if (devices.made.contains(address.ifindex)) {
                objects.addresses.emplace(key_of(address), address);
            }
        }
    }
    return objects;
}

namespace {

// The codecs know devices by number only: "dev #7" becomes "dev podlane0".
std::string with_name(std::string text, std::uint32_t ifindex, const LinkTable& links) {
    const auto number = fmt::format("dev #{}", ifindex);
    if (const auto at = text.find(number); at != std::string::npos) {
        text.replace(at, number.size(), "dev " + links.name_of(ifindex));
    }
    return text;
}

}  // namespace

std::string describe(const netlink::InterfaceAddress& address, const LinkTable& links) {
    return fmt::format("{} dev {}", address, links.name_of(address.ifindex));
}

std::string describe(const netlink::Route& route, const LinkTable& links) {
    return with_name(route.to_string(), route.oif, links);
}

std::string describe(const netlink::Neighbour& neighbour, const LinkTable& links) {
    return with_name(neighbour.to_string(), neighbour.ifindex, links);
}

std::string describe(const netlink::Link& link) {
    auto text = link.kind.empty() ? std::string("hardware") : link.kind;
    if (link.vxlan) {
        text += link.vxlan->external ? " external" : fmt::format(" id {}", link.vxlan->vni);
        text += fmt::format(" dstport {}", link.vxlan->port);
    }
    if (link.mac) {
        text += fmt::format(" address {}", *link.mac);
    }
    return fmt::format("{} mtu {}{}{}", text, link.mtu, link.is_no_arp() ? " noarp" : "",
                       link.is_up() ? " up" : " down");
}

}  // namespace podlane
