// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "agent/cni/endpoint.h"
#include "agent/netlink/interface_address.h"
#include "agent/state/pod_snat.h"

namespace podlane {

// What the annotations of this node's pods ask for, anew at each pass: begin(), decide() for each pod, end().
class PodSnatPolicy {
public:
    // `addresses`: the node's. `own_devices`: ifindexes of podlane's.
    void begin(const std::vector<netlink::InterfaceAddress>& addresses, const std::set<std::uint32_t>& own_devices,
               Ipv4Address internal_ip);
    [[nodiscard]] PodSnat decide(const ClusterObjects& objects, const Endpoint& endpoint);
    // Logs what is refused and was not before.
    void end();

    // Of the last pass.
    [[nodiscard]] const std::vector<ObjectWarning>& warnings() const { return warnings_; }

private:
    std::set<Ipv4Address> node_addresses_;
    std::vector<ObjectWarning> warnings_;
    std::vector<ObjectWarning> deciding_;  // of the pass under way
};

}  // namespace podlane
