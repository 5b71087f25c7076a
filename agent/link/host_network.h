// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/link/device_gate.h"
#include "agent/link/shim.h"
#include "maps/base/address.h"

namespace podlane {

// The device that carries the host's own traffic to remote pods, and whose UDP socket receives VXLAN.
struct WantedOverlayDevice {
    std::string name{};
    std::uint16_t port = 0;                // UDP
    MacAddress mac{};                      // of this VTEP
    std::uint32_t mtu = 0;                 // bytes of inner IP
    std::vector<Ipv4Address> addresses{};  // each as /32; the first is the source of the host's packets to remote pods
    DeviceGate gate = DeviceGate::open;
    // When it has to be made and no device has this number; 0: any. The programs hold the device's number, and are
    // loaded anew for another one.
    std::uint32_t ifindex = 0;

    bool operator==(const WantedOverlayDevice&) const = default;
};

enum class RouteKind { unicast, unreachable };

// A route by the name of its device: the device may have to be made first.
struct WantedRoute {
    Ipv4Prefix destination{};
    RouteKind kind = RouteKind::unicast;
    std::string device{};  // empty for unreachable
    std::optional<Ipv4Address> gateway{};
    std::optional<Ipv4Address> source{};
    std::uint32_t metric = 0;
    std::uint32_t mtu = 0;  // bytes; 0: the device's

    bool operator==(const WantedRoute&) const = default;
};

// A permanent ARP entry.
struct WantedNeighbour {
    std::string device{};
    Ipv4Address address{};
    MacAddress mac{};

    bool operator==(const WantedNeighbour&) const = default;
};

// Whether a setting outlives podlane, so that its first value must be kept for cleanup.
enum class SysctlReach {
    own_device,  // goes with a device that is podlane's
    host,        // stays
};

struct WantedSysctl {
    std::string key{};  // below /proc/sys, with slashes (device names have dots): "net/ipv4/ip_forward"
    std::string value{};
    SysctlReach reach = SysctlReach::host;

    bool operator==(const WantedSysctl&) const = default;
};

// Everything that the host's own stack must have, of IPv4.
struct WantedHostNetwork {
    std::optional<WantedOverlayDevice> overlay{};  // nothing: not known yet; an existing device is left as it is
    std::vector<WantedShim> shims{};               // of other names, with podlane's alias: removed
    std::set<std::string> pod_devices{};           // host sides of local pods: neighbours on them are podlane's
    std::set<std::string> pod_bridging{};          // bridges with pods behind them, not podlane's, and their ports
    std::vector<WantedRoute> routes{};
    std::vector<WantedNeighbour> neighbours{};
    std::vector<WantedSysctl> sysctls{};

    bool operator==(const WantedHostNetwork&) const = default;
};

// To a peer that is on the link of an underlay device.
struct DirectWay {
    std::string device{};
    Ipv4Address gateway{};  // the peer's own address

    bool operator==(const DirectWay&) const = default;
};

// A prefix of a peer.
struct PeerPrefix {
    Ipv4Prefix pod_cidr{};
    std::uint32_t mtu = 0;              // bytes of a pod's packet on this path; 0: the device's
    std::optional<DirectWay> direct{};  // nothing: through the overlay

    bool operator==(const PeerPrefix&) const = default;
};

// How the host's stack reaches a pod of this node.
enum class WayToPod {
    own_route,
    bridge,  // that is not podlane's, and that the pod's host side is a port of: by the bridge's own route
};

// A pod of this node as the host's stack sees it.
struct LocalPod {
    Ipv4Address ip{};
    MacAddress mac{};
    std::string host_interface{};
    WayToPod way = WayToPod::own_route;

    bool operator==(const LocalPod&) const = default;
};

struct HostNetworkInputs {
    std::optional<WantedOverlayDevice> overlay{};
    // InternalIP: source of the host's packets to its own pods and to those of direct peers. flannel's host-gw routes
    // name no source either, so the host's packets carry the node's address there as well.
    std::optional<Ipv4Address> node_address{};
    std::vector<PeerPrefix> peers{};
    std::vector<Ipv4Prefix> cluster_cidrs{};
    std::vector<LocalPod> pods{};
    std::vector<std::string> pod_bridges{};  // with pods of this node behind them, podlane's or not yet
    std::vector<LocalShim> shims{};
    // net/ipv4/conf/all/rp_filter as found. The kernel applies the larger of it and the device's own: where it is 1
    // (strict) only 2 (loose) on the device lifts it.
    unsigned all_rp_filter = 0;
};

// Pure. Routes through the overlay need `overlay`: without it there are none, and no sysctls of that device.
[[nodiscard]] WantedHostNetwork build_host_network(const HostNetworkInputs& inputs);

// The MAC of a VTEP that no annotation gives: 02:50 and the InternalIP's four bytes. Locally
// administered, the same on every start, and different for every node.
[[nodiscard]] MacAddress vtep_mac(Ipv4Address internal_ip);

}  // namespace podlane
