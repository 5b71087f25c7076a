// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "maps/base/address.h"
#include "maps/base/result.h"

// flannel's own files on a node.
namespace podlane::migrate {

// What /etc/kube-flannel/net-conf.json says. The defaults are flannel's.
struct NetConf {
    Ipv4Prefix network;
    std::string backend = "udp";  // lower case
    std::uint32_t vni = 1;
    std::uint16_t port = 8472;
    std::uint32_t mtu = 0;  // bytes, of the underlay: flannel takes the 50 of VXLAN off; 0: the device's
    bool direct_routing = false;
    bool ipv6 = false;
    bool nftables = false;  // rules in the tables flannel-ipv4 and flannel-ipv6

    bool operator==(const NetConf&) const = default;
};

// Keys in any case, unknown ones are passed over, as flannel does. An error names the key, and what stands there.
[[nodiscard]] Result<NetConf> parse_net_conf(std::string_view json);

// What flanneld wrote to /run/flannel/subnet.env for its CNI plugin.
struct SubnetEnv {
    Ipv4Prefix network;
    Ipv4Address gateway;    // the bridge's address: FLANNEL_SUBNET as it is written
    Ipv4Prefix subnet;      // the node's podCIDR
    std::uint32_t mtu = 0;  // bytes, of the pods
    bool ip_masq = false;

    bool operator==(const SubnetEnv&) const = default;
};

// In any order; other keys, FLANNEL_IPV6_* among them, are passed over, of a key that is there twice the last one
// counts. An error names line and key, or the key that is missing (FLANNEL_NETWORK, FLANNEL_SUBNET and FLANNEL_MTU must
// be there).
[[nodiscard]] Result<SubnetEnv> parse_subnet_env(std::string_view text);

}  // namespace podlane::migrate
