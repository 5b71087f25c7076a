// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/link/shim.h"
#include "maps/base/address.h"
#include "maps/spec.h"

namespace podlane {

// A macvlan network of this node: what the configuration says of it, and what there is.
struct MacvlanNetwork {
    std::string name;
    std::string shim;
    std::string master;
    std::uint32_t master_mtu = 0;             // bytes
    std::uint32_t shim_ifindex = 0;           // 0: there is no shim yet
    std::optional<Ipv4Address> host_address;  // nothing: there is none at the moment
    HostPlace place = HostPlace::master;      // where it is
    HostPlace wanted = HostPlace::master;     // and where it is to be
    bool on_both = false;                     // place shim, and the master has addresses again
    bool ready = false;                       // the shim is up behind its programs, the master has a carrier
    std::uint32_t master_ifindex = 0;
    std::optional<std::string> rp_filter{};  // of the master: a shim that takes its place filters as it does
    DeviceGate gate = DeviceGate::closed;
    std::vector<ShimPod> pods;  // of this node, in bridge mode

    bool operator==(const MacvlanNetwork&) const = default;
};

// Pure.
[[nodiscard]] LocalShim shim_of(const MacvlanNetwork& network, std::string_view node_name);

// Entries of macvlan_pods_by_ipv4: none before there are a shim and an address of the host.
struct MacvlanPodEntry {
    Ipv4Address ip;
    macvlan_pod pod;
};
[[nodiscard]] std::vector<MacvlanPodEntry> macvlan_entries(const MacvlanNetwork& network);

}  // namespace podlane
