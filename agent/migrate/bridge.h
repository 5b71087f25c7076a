// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/netlink/socket.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::migrate {

struct BridgePort {
    std::string name;
    std::uint32_t ifindex = 0;
    std::uint32_t mtu = 0;  // bytes

    bool operator==(const BridgePort&) const = default;
};

// The bridge that flannel's CNI plugin attaches pods to (cni0).
struct Bridge {
    std::string name;
    std::uint32_t ifindex = 0;
    MacAddress mac;
    std::vector<Ipv4Address> addresses;
    std::vector<BridgePort> ports;  // by name

    bool operator==(const Bridge&) const = default;
};

// Nothing: there is no such device. An error where it is no bridge.
[[nodiscard]] Result<std::optional<Bridge>> read_bridge(netlink::Socket& socket, const std::string& name);

// Why it is not to be deleted: a pod is on it, or an address that is not of `pod_cidrs` shows that it is somebody
// else's. Empty: it can go.
[[nodiscard]] std::string why_kept(const Bridge& bridge, std::span<const Ipv4Prefix> pod_cidrs);

}  // namespace podlane::migrate
