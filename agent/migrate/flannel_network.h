// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/netlink/fdb.h"
#include "agent/netlink/interface_address.h"
#include "agent/netlink/neighbour.h"
#include "agent/netlink/route.h"
#include "agent/netlink/socket.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

// flannel's VXLAN device and what flanneld put on it: read, kept as JSON, and made again.
namespace podlane::migrate {

struct FlannelDevice {
    std::string name;
    std::uint32_t vni = 1;
    std::uint16_t port = 8472;  // UDP destination port
    MacAddress mac;             // published in the Node's annotation: peers send to it
    std::uint32_t mtu = 0;      // bytes
    std::optional<Ipv4Address> local{};
    std::string lower;  // name of the device that carries it; empty: none
    bool learning = false;
    bool udp_checksum = true;  // of the outer header

    bool operator==(const FlannelDevice&) const = default;
};

// A route of flanneld's; a peer that is reached without the tunnel (DirectRouting) has it on another device.
struct FlannelRoute {
    std::string device;
    netlink::Route route;  // its oif is 0: the name is what lasts

    bool operator==(const FlannelRoute&) const = default;
};

// The ifindex in these is 0 throughout: they are on `device`, which gets another number when it is made again.
struct FlannelNetwork {
    FlannelDevice device;
    std::vector<netlink::InterfaceAddress> addresses;
    std::vector<FlannelRoute> routes;
    std::vector<netlink::Neighbour> neighbours;  // permanent ones
    std::vector<netlink::FdbEntry> fdb;          // those with a remote that are not learned

    bool operator==(const FlannelNetwork&) const = default;
};

// Nothing: there is no such device. An error where it is not what flannel makes: no VXLAN device, an external one, one
// whose lower device is in another namespace.
[[nodiscard]] Result<std::optional<FlannelNetwork>> read_flannel_network(netlink::Socket& socket,
                                                                         const std::string& device);

// With DirectRouting peers of the same LAN have a route through their own address and nothing on the device. What tells
// such a route from others is that flannel writes no protocol of its own and that it leads into the pod network: not
// read by read_flannel_network, to be appended to `routes`.
[[nodiscard]] Result<std::vector<FlannelRoute>> read_direct_routes(netlink::Socket& socket,
                                                                   const FlannelNetwork& network,
                                                                   std::span<const Ipv4Prefix> pod_networks);

// A peer as the route to its pods, the neighbour of the route's gateway and the FDB entry of that MAC name it.
struct FlannelPeer {
    Ipv4Prefix pod_cidr;
    Ipv4Address gateway;
    MacAddress mac;                     // zero: no neighbour entry, or a direct route
    std::optional<Ipv4Address> vtep{};  // the node's address; nothing: no FDB entry

    bool operator==(const FlannelPeer&) const = default;
};

// In the order of their podCIDRs. Of a direct route the gateway is the VTEP's address too.
[[nodiscard]] std::vector<FlannelPeer> peers_of(const FlannelNetwork& network);

[[nodiscard]] nlohmann::json to_json(const FlannelNetwork& network);
// An error names the place: "routes[2].gateway: ...".
[[nodiscard]] Result<FlannelNetwork> flannel_network_from_json(const nlohmann::json& json);

// Makes the device where it is missing and puts on it what is missing; what is there and right stays as it is, what was
// done comes back, a line each. `displaced` (podlane0; empty: none) is an external VXLAN device, deleted between making
// flannel's and bringing it up: two such devices cannot share the port. EADDRINUSE after that is tried again for half a
// second. An error says what was done; calling it again goes on from there.
[[nodiscard]] Result<std::vector<std::string>> restore(netlink::Socket& socket, const FlannelNetwork& network,
                                                       const std::string& displaced);

}  // namespace podlane::migrate
