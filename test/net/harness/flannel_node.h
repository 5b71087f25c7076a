// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "test/net/harness/state_file.h"
#include "test/net/harness/traffic.h"
#include "test/net/harness/underlay.h"

namespace podlane::net {

// What a flannel node needs to know of a peer.
struct FlannelPeer {
    Ipv4Address public_ip;
    Ipv4Prefix pod_cidr;
    MacAddress vtep_mac;
};

// A node as flannel sets it up, with nothing but the kernel's own devices: an oracle that shares no code with podlane.
//
//   pod eth0 --- veth --- cni0 (bridge, <podCIDR>.1) --- routing --- flannel.1 (<podCIDR>.0/32) --- eth0 --- wire
class FlannelNode {
public:
    FlannelNode(Underlay& underlay, std::string name, Ipv4Address address, Ipv4Prefix pod_cidr);

    // Route, permanent neighbour and FDB entry: flannel's three for each peer.
    void add_peer(const FlannelPeer& peer);

    [[nodiscard]] const Namespace& ns() const { return ns_; }
    [[nodiscard]] DeviceRef device() const { return {ns_, Underlay::node_device}; }
    // The one pod of this node, <podCIDR>.8.
    [[nodiscard]] Endpoint pod() const { return {&pod_, pod_address_}; }
    [[nodiscard]] DeviceRef pod_device() const { return {pod_, "eth0"}; }
    // <podCIDR>.0: what the node's own traffic to remote pods carries.
    [[nodiscard]] Ipv4Address overlay_address() const { return pod_cidr_.address(); }
    // As a peer of another kernel-made node, and as a Node object.
    [[nodiscard]] FlannelPeer as_peer() const;
    [[nodiscard]] NodeRecord as_node() const;

private:
    void make_overlay();
    void make_pod();

    std::string name_;
    Ipv4Address address_;
    Ipv4Prefix pod_cidr_;
    Ipv4Address pod_address_;
    unsigned pod_mtu_;
    Namespace ns_;
    Namespace pod_;
};

}  // namespace podlane::net
