// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/config/ip_masq_agent.h"
#include "agent/link/host_network.h"
#include "agent/state/cluster.h"
#include "agent/state/macvlan_state.h"
#include "agent/state/peer_path.h"
#include "agent/state/pod_snat.h"
#include "maps/base/address.h"
#include "maps/spec.h"

namespace podlane {

// The key of a map as an unordered container wants it: compared and hashed by its bytes.
struct BytesHash {
    template <typename T>
    std::size_t operator()(const T& key) const noexcept {
        return std::hash<std::string_view>{}({reinterpret_cast<const char*>(&key), sizeof(T)});
    }
};
struct BytesEqual {
    template <typename T>
    bool operator()(const T& a, const T& b) const noexcept {
        return std::memcmp(&a, &b, sizeof(T)) == 0;
    }
};
template <typename Spec>
using MapContent = std::unordered_map<typename Spec::Key, typename Spec::Value, BytesHash, BytesEqual>;

// What the maps that describe the cluster must hold. Counters and flows belong to the programs.
struct WantedMaps {
    MapContent<spec::nodes_by_pod_cidr> nodes_by_pod_cidr;
    MapContent<spec::nodes_by_ipv4> nodes_by_ipv4;
    MapContent<spec::pods_by_ipv4> pods_by_ipv4;
    MapContent<spec::networks_by_prefix> networks_by_prefix;
    MapContent<spec::pod_cidr_lengths> pod_cidr_lengths;
    MapContent<spec::nat_address_by_device> nat_address_by_device;
    MapContent<spec::macvlan_pods_by_ipv4> macvlan_pods_by_ipv4;
};

// A pod of this node whose device exists.
struct AttachedPod {
    Ipv4Address ip;
    Ipv4Address gateway;
    MacAddress mac;
    MacAddress host_mac;
    std::string host_interface;
    std::uint32_t ifindex = 0;
    std::uint32_t mtu = 0;
    PodSnat snat = {};
    WayToPod way = WayToPod::own_route;
    bool hooked = true;  // false: it has traffic already, and no programs yet
};

// What pods' packets to the outside are translated to.
struct SnatSettings {
    bool enabled = false;
    bool macvlan = false;  // macvlan pods are translated towards the other nodes, whatever `enabled` says
    std::vector<Ipv4Prefix> non_masquerade_cidrs;  // besides clusterCIDRs and the nodes' addresses
    std::vector<Ipv4Prefix> service_cidrs;         // empty: not known
    std::uint16_t port_low = 0;                    // host byte order
    std::uint16_t port_high = 0;                   // included
};

// The parts of the configuration that shape the wanted state.
struct OverlaySettings {
    PathMode mode = PathMode::automatic;
    std::string device;
    std::uint16_t port = 0;  // UDP
    std::uint32_t mtu = 0;   // bytes of inner IP; 0: the underlay's less the overhead
    bool flannel = false;    // addresses and MACs as flannel has them
    std::vector<Ipv4Prefix> cluster_cidrs;
    SnatSettings snat;
};

// Whose device carries the host's traffic to the other nodes.
enum class OverlayUse : std::uint8_t {
    own,
    borrowed,  // flannel's, which has the port still, and the routes to the peers
};

struct DesiredInputs {
    const Cluster* cluster = nullptr;                        // with a node that is this one
    const std::map<std::string, PeerPath>* paths = nullptr;  // by node name; a peer without one is not routed
    const std::vector<AttachedPod>* pods = nullptr;
    std::uint32_t underlay_mtu = 0;                         // bytes
    unsigned all_rp_filter = 0;                             // net/ipv4/conf/all/rp_filter
    const std::vector<MacvlanNetwork>* macvlans = nullptr;  // null: none
    std::map<std::uint32_t, nat_device> uplinks;  // by ifindex: the devices that packets may leave the cluster by
    const IpMasqAgentConfig* ip_masq_agent = nullptr;
    std::vector<std::string> pod_bridges = {};  // HostNetworkInputs::pod_bridges
    OverlayUse overlay = OverlayUse::own;
    std::uint32_t overlay_ifindex = 0;  // of the overlay device of the last pass, 0: none
};

// What VXLAN over IPv4 adds to a packet: IPv4, UDP, VXLAN and the inner Ethernet header (RFC 7348).
inline constexpr std::uint32_t vxlan_overhead = 50;

// Wanted state from inputs: pure. The node that is this one must be in the cluster.
[[nodiscard]] std::uint32_t overlay_mtu(const OverlaySettings& settings, std::uint32_t underlay_mtu);
// Of the pods' links: what every path carries that may be taken. In host-gw mode none is encapsulated.
[[nodiscard]] std::uint32_t pod_mtu(const OverlaySettings& settings, std::uint32_t underlay_mtu);
// The address of the overlay device: the InternalIP, or beside flannel the first podCIDR's `.0`.
[[nodiscard]] Ipv4Address overlay_address(const OverlaySettings& settings, const Node& node);
// The MAC of a node's VTEP, this one's as well: flannel's where it is published and wanted, otherwise what podlane's
// annotation states, otherwise derived from the InternalIP.
[[nodiscard]] MacAddress node_vtep_mac(const OverlaySettings& settings, const Node& node);
// Of the programs, when they translate; all zero when they do not.
[[nodiscard]] nat_config desired_nat(const SnatSettings& settings);
// The part of desired_maps() that is networks. `ip_masq_agent` may be null.
[[nodiscard]] MapContent<spec::networks_by_prefix> desired_networks(const OverlaySettings& settings,
                                                                    const IpMasqAgentConfig* ip_masq_agent);
[[nodiscard]] WantedMaps desired_maps(const OverlaySettings& settings, const DesiredInputs& inputs);
[[nodiscard]] WantedHostNetwork desired_host_network(const OverlaySettings& settings, const DesiredInputs& inputs);

}  // namespace podlane
