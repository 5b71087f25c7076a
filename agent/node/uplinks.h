// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/netlink/interface_address.h"
#include "agent/netlink/link.h"
#include "agent/netlink/monitor.h"
#include "agent/reconcile/datapath_reconciler.h"
#include "maps/base/address.h"
#include "maps/schema/nat.h"

namespace podlane {

// A device, as far as pods' packets to the outside are concerned.
struct Uplink {
    std::string name;
    bool inner = false;      // routed packets stay on the node, or come to another device's hook: no hook of its own
    bool ethernet = true;    // its packets have an Ethernet header
    bool is_shared = false;  // macvlan and the like of this namespace stand on it: what they send leaves by it as well
    MacAddress shim_mac = {};     // of podlane's shim on it; zero: none
    bool has_host_above = false;  // that carries the host in its place
    std::uint32_t mtu = 0;

    bool operator==(const Uplink&) const = default;
};

// The devices of a node that packets can leave by, by ifindex: all but loopback and what belongs to a master (routed
// packets leave by that; the devices of a VRF are none of that kind). Whatever their state and whether they have an
// address: a route may use them the next moment. `own` are podlane's; they, and the VRFs, are inner.
[[nodiscard]] std::map<std::uint32_t, Uplink> choose_uplinks(const std::vector<netlink::Link>& links,
                                                             const std::set<std::uint32_t>& own);

struct UplinkAddresses {
    std::uint32_t underlay = 0;  // ifindex
    Ipv4Address node;            // the underlay's, and that of every device without a global address
    const std::vector<netlink::InterfaceAddress>& all;
};

// What follows the devices of the node. A pass is due when concerns() says so.
class Uplinks {
public:
    using DeviceNames = std::map<std::uint32_t, std::string>;  // by ifindex

    // `macvlan_masters`, by name: on these, frames with another MAC than the device's are not taken for the stack's.
    void choose(const std::vector<netlink::Link>& links, const std::set<std::uint32_t>& own,
                const std::set<std::string>& macvlan_masters);
    // Whether the device is new, gone, renamed, or has another master or MTU, such a master another MAC, since
    // choose(). Never before that: where nothing is translated no device is of interest.
    [[nodiscard]] bool concerns(const netlink::LinkEvent& event) const;

    // Those of the uplinks, and of the devices that carry traffic between nodes (`peer_facing`).
    [[nodiscard]] std::vector<WantedHook> hooks(const DeviceNames& peer_facing) const;
    // What packets are translated to, by device. Of `peer_facing` and the uplinks those whose egress hook `is_watched`:
    // without an entry nothing leaves by a device.
    [[nodiscard]] std::map<std::uint32_t, nat_device> devices(
        const UplinkAddresses& addresses, const DeviceNames& peer_facing,
        const std::function<bool(Hook, std::uint32_t)>& is_watched) const;

private:
    struct Seen {
        std::string name;
        std::uint32_t master = 0;
        std::uint32_t mtu = 0;
        std::optional<MacAddress> mac = {};  // of a macvlan network's master alone
        bool operator==(const Seen&) const = default;
    };
    [[nodiscard]] Hook egress_hook(std::uint32_t ifindex) const;

    std::map<std::uint32_t, Uplink> chosen_;
    std::map<std::uint32_t, Seen> seen_;  // every device, chosen or not
};

}  // namespace podlane
