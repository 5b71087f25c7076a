// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "maps/base/address.h"
#include "test/net/harness/links.h"
#include "test/net/harness/namespace.h"

namespace podlane::net {

// The wire between the nodes: a bridge in a namespace of its own, with the address of a router for what lies outside.
//
//   node 1: eth0 --- port-n1 [ bridge wire 192.168.0.254/24 ] port-n2 --- eth0 :node 2
class Underlay {
public:
    static constexpr const char* bridge = "wire";
    static constexpr const char* node_device = "eth0";

    explicit Underlay(unsigned mtu = 1500, Ipv4Address router = first_router());

    // Gives `node` a device eth0 on the wire with `address`/24 and a default route through the router.
    void join(const Namespace& node, const std::string& node_name, Ipv4Address address);
    // The other end of a node's eth0.
    [[nodiscard]] static std::string port_of(const std::string& node_name) { return "port-" + node_name; }
    [[nodiscard]] const Namespace& ns() const { return ns_; }
    [[nodiscard]] unsigned mtu() const { return mtu_; }
    [[nodiscard]] Ipv4Address router() const { return router_; }

private:
    [[nodiscard]] static Ipv4Address first_router() { return Ipv4Address::from_host(0xc0a800fe); }

    unsigned mtu_;
    Ipv4Address router_;
    Namespace ns_;
};

}  // namespace podlane::net
