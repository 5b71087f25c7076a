// SPDX-License-Identifier: Apache-2.0
#include "agent/node/pod_bridges.h"

#include <gmock/gmock.h>

namespace podlane {
namespace {

using netlink::Link;
using testing::ElementsAre;
using testing::IsEmpty;

const std::vector<Ipv4Prefix> pod_cidrs = {Ipv4Prefix::parse("10.244.1.0/24").value()};

Link device(std::uint32_t ifindex, std::string name, std::string kind, std::uint32_t master = 0) {
    return {.ifindex = ifindex, .name = std::move(name), .kind = std::move(kind), .master = master};
}

std::vector<Link> devices() {
    return {device(2, "eth0", ""), device(3, "docker0", "bridge"), device(4, "cni0", "bridge"),
            device(5, "veth0", "veth", 4)};
}

netlink::InterfaceAddress address_on(std::uint32_t ifindex, std::string_view text) {
    return {.ifindex = ifindex, .address = Ipv4Address::parse(text).value(), .prefix_length = 24};
}

const std::vector<netlink::InterfaceAddress> addresses = {address_on(2, "10.244.1.9"), address_on(3, "172.17.0.1"),
                                                          address_on(4, "10.244.1.1")};

TEST(PodBridgesTest, BridgeWithAnAddressOfThePodCidr_HasPodsBehindIt) {
    EXPECT_THAT(find_pod_bridges(devices(), addresses, pod_cidrs), ElementsAre("cni0"));
    EXPECT_THAT(find_pod_bridges(devices(), {}, pod_cidrs), IsEmpty());
    EXPECT_THAT(find_pod_bridges(devices(), addresses, {}), IsEmpty());
}

TEST(PodBridgesTest, BridgeThatLeadsToALan_IsNoneOfPods) {
    auto links = devices();
    links.push_back(device(6, "eth1", "", 4));
    EXPECT_THAT(find_pod_bridges(links, addresses, pod_cidrs), IsEmpty());
}

TEST(PodBridgesTest, BridgeOfAPort_IsItsMasterOfThatKind) {
    auto links = devices();
    EXPECT_EQ(bridge_of(links[3], links)->name, "cni0");
    EXPECT_EQ(bridge_of(links[0], links), nullptr);
    links[2].kind = "bond";
    EXPECT_EQ(bridge_of(links[3], links), nullptr);
    links[3].master = 99;
    EXPECT_EQ(bridge_of(links[3], links), nullptr);
}

}  // namespace
}  // namespace podlane
