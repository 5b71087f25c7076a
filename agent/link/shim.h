// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/link/device_gate.h"
#include "maps/base/address.h"

namespace podlane {

// The device that carries what a host has of IPv4 on a macvlan network.
enum class HostPlace {
    master,  // the shim has the address as well, for this node's macvlan pods alone
    shim,
};

// The host's own macvlan (bridge mode) on the master of a macvlan network: by it the host and this node's macvlan pods
// reach each other, which the kernel keeps apart otherwise.
struct WantedShim {
    std::string network{};  // its name in the configuration
    std::string name{};
    std::string master{};
    MacAddress mac{};
    std::uint32_t mtu = 0;                 // bytes; the master's
    HostPlace place = HostPlace::master;   // shim: addresses and routes on it are the host's, and left alone
    std::optional<Ipv4Address> address{};  // the host's on that LAN, as /32; nothing: not known, or the shim carries it
    DeviceGate gate = DeviceGate::closed;  // one that has to be made is down at first, whatever this says

    bool operator==(const WantedShim&) const = default;
};

// A macvlan pod of this node on the shim's master.
struct ShimPod {
    Ipv4Address ip{};
    MacAddress mac{};

    bool operator==(const ShimPod&) const = default;
};

struct LocalShim {
    WantedShim device{};
    std::vector<ShimPod> pods{};
    bool may_move = false;                   // what the host has is on the shim, or to be moved there
    std::optional<std::string> rp_filter{};  // of the master

    bool operator==(const LocalShim&) const = default;
};

// Locally administered, the same on every start, another for each node and network: what pods have in their neighbour
// tables outlives a shim that is deleted and made anew.
[[nodiscard]] MacAddress shim_mac(std::string_view node_name, std::string_view network);

}  // namespace podlane
