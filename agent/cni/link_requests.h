// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/cni/result.h"
#include "agent/cni/rtnetlink.h"

// The rtnetlink requests that an attachment takes, and the answers read. Requests are plain data: a test looks at their
// bytes without a kernel.
namespace podlane::cni {

struct LinkInfo {
    int index = 0;
    std::string name;
    bool up = false;        // IFF_UP
    bool loopback = false;  // IFF_LOOPBACK
    bool carrier = false;   // IFF_LOWER_UP, which only a device that is up has
    bool ethernet = false;  // ARPHRD_ETHER
    MacAddress mac;
    unsigned mtu = 0;
    std::string kind;  // "veth"
    std::string alias;
    // veth: the peer; macvlan: the master. An index of the namespace that link_namespace names in its own numbering;
    // without that one, of the same namespace.
    int link_index = 0;
    std::optional<std::int32_t> link_namespace;
    std::string port_kind;           // of a port: "bridge", "bond", ... as its owner's kind
    int port_of = 0;                 // index of that owner
    std::uint32_t macvlan_mode = 0;  // MACVLAN_MODE_*
};

struct AddressInfo {
    Ipv4Address address;
    unsigned prefix_length = 0;
};

struct RouteInfo {
    Ipv4Prefix destination;
    Ipv4Address gateway;  // unspecified: on-link
    unsigned table = 0;
    unsigned priority = 0;
    int out_index = 0;
};

// Both sides in one request, the container's already in its namespace: no window in which it is on the host.
[[nodiscard]] RtMessage create_veth_request(const Endpoint& endpoint, int sandbox_fd);
[[nodiscard]] RtMessage delete_link_request(int index);
// Sets IFF_UP, and the alias where there is one.
[[nodiscard]] RtMessage bring_up_request(int index, const std::string& alias = {});
[[nodiscard]] RtMessage add_address_request(int index, Ipv4Address address, unsigned prefix_length);
[[nodiscard]] RtMessage add_gateway_route_request(int index, Ipv4Address gateway);
// `route` goes through its own gateway, or through `default_gateway`; where that is unspecified, to the link. A gateway
// outside `subnet` has no route of its own, yet is behind this link: only the answer to ARP tells whether it is there.
[[nodiscard]] RtMessage add_route_request(int index, const Route& route, Ipv4Address default_gateway,
                                          const Ipv4Prefix& subnet);
[[nodiscard]] RtMessage delete_route_request(int index, const Route& route);

// Empty when there is no such link.
[[nodiscard]] Result<std::optional<LinkInfo>> find_link(RtSocket& socket, const std::string& name);
[[nodiscard]] Result<std::optional<LinkInfo>> find_link(RtSocket& socket, int index);
// Of one interface; without an index, of all.
[[nodiscard]] Result<std::vector<AddressInfo>> list_addresses(RtSocket& socket,
                                                              std::optional<int> index = std::nullopt);
[[nodiscard]] Result<std::vector<RouteInfo>> list_routes(RtSocket& socket);

}  // namespace podlane::cni
