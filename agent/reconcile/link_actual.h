// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "agent/netlink/interface_address.h"
#include "agent/netlink/link.h"
#include "agent/netlink/neighbour.h"
#include "agent/netlink/route.h"
#include "agent/netlink/socket.h"
#include "maps/base/result.h"

namespace podlane {

// The devices of a namespace at one moment.
class LinkTable {
public:
    explicit LinkTable(std::vector<netlink::Link> links);
    LinkTable(LinkTable&&) = default;  // names are looked up in place, so a copy would look into the original
    LinkTable& operator=(LinkTable&&) = default;
    LinkTable(const LinkTable&) = delete;
    LinkTable& operator=(const LinkTable&) = delete;
    ~LinkTable() = default;

    [[nodiscard]] static Result<LinkTable> read(netlink::Socket& socket);

    // Null: there is none. Valid as long as the table.
    [[nodiscard]] const netlink::Link* by_name(std::string_view name) const;
    [[nodiscard]] const netlink::Link* by_index(std::uint32_t ifindex) const;
    [[nodiscard]] std::string name_of(std::uint32_t ifindex) const;  // "#7" for one that is not in the table
    [[nodiscard]] std::vector<const netlink::Link*> vxlan_on_port(std::uint16_t port) const;
    // VXLAN devices with podlane's alias, but for the one of that name.
    [[nodiscard]] std::vector<const netlink::Link*> own_overlays(std::string_view except) const;
    // Macvlans with podlane's alias.
    [[nodiscard]] std::vector<const netlink::Link*> own_shims() const;
    // by_name() no longer finds it: somebody else's device, on which nothing of ours may be placed.
    void forget(std::string_view name) { by_name_.erase(name); }

private:
    std::vector<netlink::Link> links_;
    std::unordered_map<std::string_view, std::size_t> by_name_;
    std::unordered_map<std::uint32_t, std::size_t> by_index_;
};

// What makes two routes the same route to the kernel: table, destination, metric.
struct RouteKey {
    std::uint32_t table = 0;
    Ipv4Prefix destination;
    std::uint32_t metric = 0;

    auto operator<=>(const RouteKey&) const = default;
};

struct NeighbourKey {
    std::uint32_t ifindex = 0;
    Ipv4Address address;

    auto operator<=>(const NeighbourKey&) const = default;
};

struct AddressKey {
    std::uint32_t ifindex = 0;
    Ipv4Address address;
    std::uint8_t prefix_length = 0;

    auto operator<=>(const AddressKey&) const = default;
};

[[nodiscard]] RouteKey key_of(const netlink::Route& route);
[[nodiscard]] NeighbourKey key_of(const netlink::Neighbour& neighbour);
[[nodiscard]] AddressKey key_of(const netlink::InterfaceAddress& address);

// Objects of podlane's below the devices, wanted or actual: the two sides that are compared.
struct HostObjects {
    std::map<AddressKey, netlink::InterfaceAddress> addresses;
    std::map<RouteKey, netlink::Route> routes;
    std::map<NeighbourKey, netlink::Neighbour> neighbours;
};

// Devices of podlane's, by ifindex.
struct OwnDevices {
    std::set<std::uint32_t> made;      // by the agent: the overlay device and the shims
    std::set<std::uint32_t> pods;      // host sides
    std::set<std::uint32_t> carriers;  // shims that carry the host: their addresses are not podlane's, nor are
                                       // neighbours without its protocol number
};

// What podlane has in the kernel: routes with its protocol number, IPv4 addresses of the devices that it makes,
// permanent neighbours on these and on the pods' host sides.
[[nodiscard]] Result<HostObjects> read_host_objects(netlink::Socket& socket, const OwnDevices& devices);

// As iproute2 writes them, with the device's name.
[[nodiscard]] std::string describe(const netlink::InterfaceAddress& address, const LinkTable& links);
[[nodiscard]] std::string describe(const netlink::Route& route, const LinkTable& links);
[[nodiscard]] std::string describe(const netlink::Neighbour& neighbour, const LinkTable& links);
[[nodiscard]] std::string describe(const netlink::Link& link);

}  // namespace podlane
