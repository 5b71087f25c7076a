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
    bool up = false;  // IFF_UP
    MacAddress mac;
    unsigned mtu = 0;
    std::string kind;  // "veth"
    std::string alias;
    int peer_index = 0;  // in the peer's namespace
};

struct AddressInfo {
    Ipv4Address address;
    unsigned prefix_length = 0;
};

struct RouteInfo {
    Ipv4Prefix destination;
    Ipv4Address gateway;  // unspecified: on-link
    unsigned table = 0;
    int out_index = 0;
};

// Both sides in one request, the container's already in its namespace: no window in which it is on the host.
[[nodiscard]] RtMessage create_veth_request(const Endpoint& endpoint, int sandbox_fd);
[[nodiscard]] RtMessage delete_link_request(int index);
// Sets IFF_UP, and the alias where there is one.
[[nodiscard]] RtMessage bring_up_request(int index, const std::string& alias = {});
[[nodiscard]] RtMessage add_address_request(int index, Ipv4Address address);  // as a /32
[[nodiscard]] RtMessage add_gateway_route_request(int index, Ipv4Address gateway);
[[nodiscard]] RtMessage add_route_request(int index, const Route& route, Ipv4Address default_gateway);

// Empty when there is no such link.
[[nodiscard]] Result<std::optional<LinkInfo>> find_link(RtSocket& socket, const std::string& name);
[[nodiscard]] Result<std::vector<AddressInfo>> list_addresses(RtSocket& socket, int index);
[[nodiscard]] Result<std::vector<RouteInfo>> list_routes(RtSocket& socket);

}  // namespace podlane::cni
