// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/netlink/message.h"
#include "agent/netlink/socket.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::netlink {

// What a VXLAN device was created with; none of it can be changed later.
struct VxlanSettings {
    bool external = false;   // takes VNI and peer from each packet's tunnel key (IFLA_VXLAN_COLLECT_METADATA)
    std::uint16_t port = 0;  // UDP destination port
    std::uint32_t vni = 0;   // 0 where external
    bool learning = false;
    std::optional<Ipv4Address> local{};  // outer source
    std::uint32_t lower = 0;   // ifindex of the device that carries it, in the namespace Link::link_netnsid; 0: none
    bool udp_checksum = true;  // of the outer header

    bool operator==(const VxlanSettings&) const = default;
};

// A network device as the kernel describes it.
struct Link {
    std::uint32_t ifindex = 0;
    std::string name{};
    std::string kind{};       // "vxlan", "veth", "dummy", ...; empty for hardware
    std::uint16_t type = 0;   // ARPHRD_*
    std::uint32_t flags = 0;  // IFF_*
    std::uint32_t mtu = 0;    // bytes
    std::optional<MacAddress> mac{};
    std::string alias{};
    std::uint32_t master = 0;                     // ifindex of the bridge or bond it belongs to; 0: none
    std::uint32_t link = 0;                       // ifindex of the lower device, for veth of its peer; 0: none
    std::optional<std::int32_t> link_netnsid{};   // namespace that `link` counts in; nothing: this one
    std::optional<VxlanSettings> vxlan{};         // kind vxlan only
    std::optional<std::uint32_t> macvlan_mode{};  // MACVLAN_MODE_*; kind macvlan only

    [[nodiscard]] bool is_up() const;
    [[nodiscard]] bool is_running() const;
    [[nodiscard]] bool is_no_arp() const;
    [[nodiscard]] bool has_ethernet_header() const;
    bool operator==(const Link&) const = default;
};

enum class AdminState { up, down };
enum class ArpUse { on, off };

// What to change of a device; what is not set stays.
struct LinkChange {
    std::optional<AdminState> state{};
    std::optional<ArpUse> arp{};
    std::optional<std::uint32_t> mtu{};
    std::optional<MacAddress> mac{};
    std::optional<std::string> alias{};

    [[nodiscard]] bool empty() const { return !state && !arp && !mtu && !mac && !alias; }
    bool operator==(const LinkChange&) const = default;
};

// A VXLAN device whose tunnels are chosen packet by packet: external, without learning, without ARP.
struct ExternalVxlan {
    std::string name{};
    std::uint16_t port = 0;
    MacAddress mac;
    std::uint32_t mtu = 0;
    std::uint32_t ifindex = 0;  // 0: any; EEXIST where a device has it
};

// Requests. create_external_vxlan makes the device and leaves it down: its UDP port is opened (EADDRINUSE) when it is
// brought up. Where another external device has the port the creation fails with EEXIST.
[[nodiscard]] Message create_external_vxlan(const ExternalVxlan& device);
// A VXLAN device with one VNI, whose tunnels are its FDB's: flannel's. Left down, as the external one; one that is
// external in `settings` is not this.
struct PlainVxlan {
    std::string name{};
    VxlanSettings settings{};
    MacAddress mac;
    std::uint32_t mtu = 0;
};
[[nodiscard]] Message create_plain_vxlan(const PlainVxlan& device);
// Down, in bridge mode, on the device with the ifindex `lower`; an MTU of 0 is the lower device's.
struct BridgeMacvlan {
    std::string name{};
    std::uint32_t lower = 0;
    MacAddress mac;
    std::uint32_t mtu = 0;
};
[[nodiscard]] Message create_bridge_macvlan(const BridgeMacvlan& device);
[[nodiscard]] Message change_link(const Link& link, const LinkChange& change);
[[nodiscard]] Message delete_link(const Link& link);

// Whether the kernel has devices of kind vxlan, or a module of them, which is loaded then. Makes none.
[[nodiscard]] Result<bool> supports_vxlan(Socket& socket);

[[nodiscard]] Result<std::vector<Link>> list_links(Socket& socket);
// Nothing: there is no such device.
[[nodiscard]] Result<std::optional<Link>> find_link(Socket& socket, std::string_view name);
[[nodiscard]] Result<std::optional<Link>> find_link(Socket& socket, std::uint32_t ifindex);

// RTM_NEWLINK and RTM_DELLINK. Nothing: another message, or a bridge port's (AF_BRIDGE), which describes no device.
[[nodiscard]] std::optional<Link> decode_link(const nlmsghdr& message);

}  // namespace podlane::netlink
