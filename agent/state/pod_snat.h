// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/netlink/interface_address.h"
#include "agent/state/objects.h"
#include "maps/base/address.h"

namespace podlane {

inline constexpr std::string_view snat_annotation = "podlane.io/snat";         // "true" | "false"
inline constexpr std::string_view egress_annotation = "podlane.io/egress-ip";  // an IPv4 address of the pod's node

// What becomes of the source address of a pod's packets to the outside.
struct PodSnat {
    enum class Kind : std::uint8_t {
        node,     // the address of the device that they leave by
        address,  // always this one
        off,      // stays the pod's
    };
    Kind kind = Kind::node;
    Ipv4Address address = {};  // of Kind::address

    [[nodiscard]] std::string to_string() const;  // "node", "192.0.2.7", "off"
    bool operator==(const PodSnat&) const = default;
};

// A pod as its attachment names it.
struct PodIdentity {
    std::string name_space;
    std::string name;
    std::string uid;  // empty: not known
};

// The Pod object of an attachment; null: there is none. Where both know a uid it must be the same: a pod that is
// replaced leaves its name to another one.
[[nodiscard]] const PodObject* find_pod(const ClusterObjects& objects, const PodIdentity& identity);

struct PodSnatDecision {
    PodSnat snat;
    std::vector<ObjectWarning> warnings;
};
// What the pod's annotations ask for, as far as it can be had: what is refused has a warning, and the pod is translated
// as any other. `node_addresses`: those that a pod may have for an egress address. Pods of the host's network have
// nothing to translate.
[[nodiscard]] PodSnatDecision decide_pod_snat(const PodObject& pod, const std::set<Ipv4Address>& node_addresses);

// Of all the addresses of the node's devices those that a pod may have for an egress address: unicast ones that are of
// use beyond a link, but for those that podlane's own devices have, unless it is the InternalIP.
[[nodiscard]] std::set<Ipv4Address> egress_addresses(const std::vector<netlink::InterfaceAddress>& addresses,
                                                     const std::set<std::uint32_t>& own_devices,
                                                     Ipv4Address internal_ip);

}  // namespace podlane
