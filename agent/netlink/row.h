// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/netlink/interface_address.h"
#include "agent/netlink/message.h"
#include "agent/netlink/neighbour.h"
#include "agent/netlink/route.h"
#include "agent/netlink/socket.h"
#include "maps/base/result.h"

// Addresses, routes and neighbours as the kernel lists them, kept byte for byte: what is put on another device keeps
// whatever it has, also what this program does not know of (metrics, lifetimes, encapsulations).
namespace podlane::netlink {

// A message of a dump, or one that was made for a request. Owns its bytes.
class Row {
public:
    explicit Row(const nlmsghdr& message);

    [[nodiscard]] const nlmsghdr& raw() const { return *reinterpret_cast<const nlmsghdr*>(bytes_.data()); }

private:
    std::vector<std::byte> bytes_;
};

struct AddressRow {
    InterfaceAddress address;
    bool has_prefix_route = true;  // the kernel makes the route to its network (no IFA_F_NOPREFIXROUTE)
    Row row;
};

struct RouteRow {
    Route route;
    std::uint8_t tos = 0;
    std::set<std::uint32_t> next_hops{};  // ifindexes of a route with several next hops
    bool by_object = false;               // its next hop is an object of its own (`ip nexthop`)
    Row row;
};

struct NeighbourRow {
    Neighbour neighbour;
    Row row;
};

[[nodiscard]] std::optional<AddressRow> keep_address(const nlmsghdr& message);
[[nodiscard]] std::optional<RouteRow> keep_route(const nlmsghdr& message);
[[nodiscard]] std::optional<NeighbourRow> keep_neighbour(const nlmsghdr& message);

// IPv4, of the whole namespace and every table.
struct Rows {
    std::vector<AddressRow> addresses;
    std::vector<RouteRow> routes;
    std::vector<NeighbourRow> neighbours;
};
[[nodiscard]] Result<Rows> list_rows(Socket& socket);

// Requests: the same on the device `ifindex`. Placing replaces what is there under the same key. An address loses its
// label, which begins with the device's name.
[[nodiscard]] Message place(const AddressRow& row, std::uint32_t ifindex);
[[nodiscard]] Message place(const RouteRow& row, std::uint32_t ifindex);
[[nodiscard]] Message place(const NeighbourRow& row, std::uint32_t ifindex);
[[nodiscard]] Message remove(const AddressRow& row, std::uint32_t ifindex);
[[nodiscard]] Message remove(const NeighbourRow& row, std::uint32_t ifindex);

}  // namespace podlane::netlink
