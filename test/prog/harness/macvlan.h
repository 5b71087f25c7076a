// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "test/prog/harness/fixture.h"
#include "test/prog/harness/nat.h"

// n1 again, as a node with macvlan pods on a LAN, whose other pods are not translated.
//
//   mac1 172.20.7.51 ---- eth0 (macvlan) ---- LAN ---- em2 172.20.7.100
//   mac2 172.20.7.52 ---- eth0 (macvlan) ------+------ lan-shim, which has that address as well
namespace podlane::prog {

inline const std::string shim_device = "lan-shim";
inline const Ipv4Address host_ip = address("172.20.7.100");
inline const Ipv4Address mac1_ip = address("172.20.7.51");
inline const Ipv4Address mac2_ip = address("172.20.7.52");
inline const Ipv4Address lan_neighbour_ip = address("172.20.7.200");
inline const MacAddress shim_mac = mac("0a:00:00:00:07:64");
inline const MacAddress mac1_mac = mac("0a:00:00:00:07:51");
inline const MacAddress mac2_mac = mac("0a:00:00:00:07:52");
inline const MacAddress lan_neighbour_mac = mac("52:54:00:00:07:c8");
inline const MacAddress broadcast_mac = mac("ff:ff:ff:ff:ff:ff");

inline const At shim_in{Hook::from_shim, shim_device};
inline const At shim_out{Hook::to_shim, shim_device};

class MacvlanTest : public testing::Test {
protected:
    void SetUp() override;

    [[nodiscard]] static Node& node();
    // One whose other pods are translated, by eth1 and by the shim.
    [[nodiscard]] static Node& translating_node();
    [[nodiscard]] static testing::AssertionResult drops(const At& at, const Bytes& packet, drop_reason reason);
    // Passed on as it came, under the path.
    [[nodiscard]] static testing::AssertionResult passes(const At& at, const Bytes& packet, forward_path path);
    [[nodiscard]] static testing::AssertionResult leaves_alone(const At& at, const Bytes& packet);
    // Passed on as `expected`, under all of the paths.
    [[nodiscard]] static testing::AssertionResult becomes(const At& at, const Bytes& packet, const Bytes& expected,
                                                          const std::vector<forward_path>& paths);
};

}  // namespace podlane::prog
