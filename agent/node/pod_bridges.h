// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/netlink/interface_address.h"
#include "agent/netlink/link.h"
#include "maps/base/address.h"

// Bridges of others that pods of this node hang on: flannel's cni0.
namespace podlane {

// The bridge that the device is a port of; null: of none.
[[nodiscard]] const netlink::Link* bridge_of(const netlink::Link& port, const std::vector<netlink::Link>& links);

// Names of the bridges that have an address of this node's podCIDRs and no other ports than veths: behind them there
// are pods, podlane's or not yet, and no LAN.
[[nodiscard]] std::vector<std::string> find_pod_bridges(const std::vector<netlink::Link>& links,
                                                        const std::vector<netlink::InterfaceAddress>& addresses,
                                                        const std::vector<Ipv4Prefix>& pod_cidrs);

}  // namespace podlane
