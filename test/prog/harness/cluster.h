// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "maps/base/address.h"
#include "maps/spec.h"
#include "test/prog/harness/frame.h"

/*
 * The cluster that the programs are tested in. n1 is the node whose programs run, unless a test says otherwise.
 *
 *   n1  192.168.100.1  10.244.1.0/24   underlay eth1
 *         web   10.244.1.5  MTU 1450
 *         db    10.244.1.6  MTU 1450
 *         small 10.244.1.7  MTU 1280
 *   n2  192.168.100.2  10.244.2.0/24   on the same link; underlay eth2
 *         api   10.244.2.7  MTU 1450
 *   n3  10.8.0.3       10.244.3.0/24   behind the gateway 192.168.100.254
 *   n4  192.168.100.4  10.244.4.0/24   no working path
 *   n5  192.168.100.5  10.244.5.0/24   no route of the kernel's
 *   n6  192.168.100.6  10.244.6.0/24   on the same link, direct
 *
 * clusterCIDRs: 10.244.0.0/16. Each node also has flannel's `.0` address of its podCIDR.
 */
namespace podlane::prog {

struct Member {
    std::string name;
    Ipv4Address address;
    Ipv4Prefix pod_cidr;
    MacAddress vtep_mac;
    Ipv4Address next_hop;  // of the others towards it
    node_path path;        // of the others to it
};
[[nodiscard]] const std::vector<Member>& members();
[[nodiscard]] const Member& member(std::string_view name);

struct Pod {
    std::string name;  // of its host-side device as well
    std::string node;
    Ipv4Address address;
    MacAddress mac;
    MacAddress host_mac;
    std::uint32_t mtu;  // bytes of IP
};
[[nodiscard]] const std::vector<Pod>& pods();
[[nodiscard]] const Pod& pod(std::string_view name);

inline constexpr std::uint32_t path_mtu = 1450;  // between any two nodes by VXLAN, bytes of inner IP
inline constexpr std::uint32_t link_mtu = 1500;  // of the underlay
inline constexpr std::uint16_t overlay_port = 8472;
inline constexpr std::uint32_t overlay_vni = 1;
inline constexpr std::size_t vxlan_overhead = 50;

// Addresses that tests speak of.
inline const Ipv4Address web_ip = address("10.244.1.5");
inline const Ipv4Address db_ip = address("10.244.1.6");
inline const Ipv4Address small_ip = address("10.244.1.7");
inline const Ipv4Address api_ip = address("10.244.2.7");
inline const Ipv4Address n3_pod_ip = address("10.244.3.9");
inline const Ipv4Address n6_pod_ip = address("10.244.6.8");
inline const Ipv4Address n1_ip = address("192.168.100.1");
inline const Ipv4Address n2_ip = address("192.168.100.2");
inline const Ipv4Address n3_ip = address("10.8.0.3");
inline const Ipv4Address n6_ip = address("192.168.100.6");
inline const Ipv4Address outside_ip = address("203.0.113.10");
inline const Ipv4Address nobody_ip = address("10.244.77.1");  // in clusterCIDRs, of no node

// The underlay device of a node, and its MAC.
[[nodiscard]] std::string underlay_device(std::string_view node);
[[nodiscard]] MacAddress underlay_mac(std::string_view node);
inline const std::string overlay_device = "podlane0";

// What `from` sends to an address: Ethernet from the pod to its gateway, TTL 64.
[[nodiscard]] Frame from_pod(const Pod& from, Ipv4Address to, Transport transport, std::size_t payload_length = 32);

// What comes in from the underlay when `from` sends `inner` to `to`: outer headers of node `from`, inner Ethernet
// header between the VTEPs, which replaces that of `inner`.
[[nodiscard]] Tunnel tunnel(const Member& from, const Member& to);
[[nodiscard]] Frame between_vteps(Frame inner, const Member& from, const Member& to);
[[nodiscard]] Bytes encapsulated(const Frame& inner, const Member& from, const Member& to);

// What must become of `sent` on its way from `from` to `to`, before neighbour output writes the outer MACs. Two fields
// are free and taken from `output`: the outer identification, and the source port, which depends on a hash.
[[nodiscard]] Bytes expected_encapsulation(const Frame& sent, const Member& from, const Member& to,
                                           const Bytes& output);
[[nodiscard]] std::uint16_t outer_source_port(const Bytes& frame);

// The same packet after a router forwarded it into the pod: MACs, TTL.
[[nodiscard]] Frame delivered(Frame frame, const Pod& to);

}  // namespace podlane::prog
