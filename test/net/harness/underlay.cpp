// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/underlay.h"

#include <fmt/format.h>

#include "test/net/harness/process.h"

namespace podlane::net {

Underlay::Underlay(unsigned mtu, Ipv4Address router) : mtu_(mtu), router_(router), ns_("underlay") {
    ip(ns_, fmt::format("link add {} mtu {} type bridge mcast_snooping 0", bridge, mtu));
    set_sysctl(ns_, fmt::format("net/ipv6/conf/{}/disable_ipv6", bridge), "1");
    ip(ns_, fmt::format("address add {}/24 dev {}", router_, bridge));
    ip(ns_, fmt::format("link set {} up", bridge));
}

void Underlay::join(const Namespace& node, const std::string& node_name, Ipv4Address address) {
    connect_by_veth({node, node_device}, {ns_, port_of(node_name)}, mtu_);
    ip(ns_, fmt::format("link set {} master {}", port_of(node_name), bridge));
    ip(node, fmt::format("address add {}/24 dev {}", address, node_device));
    ip(node, fmt::format("route add default via {}", router_));
}

}  // namespace podlane::net
