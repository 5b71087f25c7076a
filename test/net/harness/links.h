// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "maps/base/address.h"
#include "test/net/harness/namespace.h"

namespace podlane::net {

// A device, by its namespace and its name there.
struct DeviceRef {
    const Namespace& ns;
    std::string name;
};

// A veth pair, both ends up, without IPv6 addresses (their neighbour discovery would be noise in captures).
void connect_by_veth(const DeviceRef& one, const DeviceRef& other, unsigned mtu);

[[nodiscard]] MacAddress mac_of(const DeviceRef& device);
void set_mac(const DeviceRef& device, MacAddress mac);

enum class Offload : bool { off, on };
// TSO and the GSO that stands in for it, as a device sends. `off` leaves wire-size packets.
void set_segmentation_offload(const DeviceRef& device, Offload offload);
// By ethtool's word for it: "tcp-segmentation-offload".
[[nodiscard]] Offload offload_of(const DeviceRef& device, std::string_view feature);

}  // namespace podlane::net
