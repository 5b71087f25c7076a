// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/flannel_node.h"

#include <fmt/format.h>

#include "test/net/harness/process.h"

namespace podlane::net {
namespace {

constexpr unsigned vxlan_overhead = 50;
constexpr const char* overlay_device = "flannel.1";

Ipv4Address host_of(const Ipv4Prefix& prefix, unsigned number) {
    return Ipv4Address::from_host(prefix.address().host() + number);
}

}  // namespace

FlannelNode::FlannelNode(Underlay& underlay, std::string name, Ipv4Address address, Ipv4Prefix pod_cidr)
    : name_(std::move(name)),
      address_(address),
      pod_cidr_(pod_cidr),
      pod_address_(host_of(pod_cidr, 8)),
      pod_mtu_(underlay.mtu() - vxlan_overhead),
      ns_(name_),
      pod_(name_ + "-pod") {
    underlay.join(ns_, name_, address_);
    set_sysctl(ns_, "net/ipv4/ip_forward", "1");
    make_overlay();
    make_pod();
}

void FlannelNode::make_overlay() {
    ip(ns_, fmt::format("link add {} mtu {} type vxlan id 1 local {} dev {} dstport 8472 nolearning", overlay_device,
                        pod_mtu_, address_, Underlay::node_device));
    set_sysctl(ns_, fmt::format("net/ipv6/conf/{}/disable_ipv6", overlay_device), "1");
    ip(ns_, fmt::format("address add {}/32 dev {}", overlay_address(), overlay_device));
    ip(ns_, fmt::format("link set {} up", overlay_device));
}

void FlannelNode::make_pod() {
    ip(ns_, fmt::format("link add cni0 mtu {} type bridge", pod_mtu_));
    ip(ns_, fmt::format("address add {}/24 dev cni0", host_of(pod_cidr_, 1)));
    ip(ns_, "link set cni0 up");
    connect_by_veth({pod_, "eth0"}, {ns_, "veth0"}, pod_mtu_);
    ip(ns_, "link set veth0 master cni0");
    ip(pod_, fmt::format("address add {}/24 dev eth0", pod_address_));
    ip(pod_, fmt::format("route add default via {}", host_of(pod_cidr_, 1)));
}

void FlannelNode::add_peer(const FlannelPeer& peer) {
    const auto gateway = peer.pod_cidr.address();
    ip(ns_, fmt::format("neighbour replace {} lladdr {} dev {} nud permanent", gateway, peer.vtep_mac, overlay_device));
    must_run(ns_, {"bridge", "fdb", "replace", peer.vtep_mac.to_string(), "dev", overlay_device, "dst",
                   peer.public_ip.to_string(), "self", "permanent"});
    ip(ns_, fmt::format("route replace {} via {} dev {} onlink", peer.pod_cidr, gateway, overlay_device));
}

FlannelPeer FlannelNode::as_peer() const {
    return {address_, pod_cidr_, mac_of({ns_, overlay_device})};
}

NodeRecord FlannelNode::as_node() const {
    return {name_, address_, {pod_cidr_}, flannel_annotations(address_, mac_of({ns_, overlay_device}))};
}

}  // namespace podlane::net
