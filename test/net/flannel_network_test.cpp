// SPDX-License-Identifier: Apache-2.0
// What flannel left on a node, read and restored. The device is made by `ip`, as flanneld makes it:
//
//   10.244.2.0/24 via .2.0 --\                                         (topology of link_kernel.h)
//   10.244.3.0/24 via .3.0 ---- flannel.1, 10.244.1.0/32, VNI 1 ---- eth0 10.0.0.1/24 ---- wire
//   10.244.4.0/24 via 10.0.0.4, direct ------------------------------/
#include "agent/migrate/flannel_network.h"

#include <iterator>
#include <regex>
#include <set>
#include <sstream>

#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include "agent/migrate/bridge.h"
#include "agent/netlink/link.h"
#include "test/net/link_kernel.h"

namespace podlane::migrate {
namespace {

using net::address;
using net::prefix;
using net::succeeded;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const MacAddress own_mac({0x02, 0, 0, 0, 1, 1});
const MacAddress mac2({0x02, 0, 0, 0, 1, 2});
const MacAddress mac3({0x02, 0, 0, 0, 1, 3});

class FlannelNetworkTest : public net::LinkKernelTest {
protected:
    void make_device(std::string_view extra = "") {
        ip(
            fmt::format("link add flannel.1 address {} mtu 1450 type vxlan id 1 local 10.0.0.1 dev eth0 dstport 8472 "
                        "nolearning {}",
                        own_mac, extra));
        ip("address add 10.244.1.0/32 dev flannel.1");
        ip("link set flannel.1 up");
    }
    void add_peer(const char* pods, const MacAddress& mac, const char* vtep) {
        const auto gateway = prefix(pods).address();
        ip(fmt::format("neighbour replace {} lladdr {} dev flannel.1 nud permanent", gateway, mac));
        bridge(fmt::format("fdb replace {} dev flannel.1 dst {} self permanent", mac, vtep));
        ip(fmt::format("route replace {} via {} dev flannel.1 onlink", pods, gateway));
    }
    void make_flannels() {
        make_device();
        add_peer("10.244.2.0/24", mac2, "10.0.0.2");
        add_peer("10.244.3.0/24", mac3, "10.0.0.3");
    }
    void make_podlanes() {
        ASSERT_TRUE(succeeded(socket().execute(
            netlink::create_external_vxlan({.name = "podlane0", .port = 8472, .mac = own_mac, .mtu = 1450}))));
        ip("address add 10.244.1.0/32 dev podlane0");
        ip("link set podlane0 up");
    }
    std::string bridge(const std::string& arguments) {
        std::vector<std::string> argv = {"bridge"};
        std::istringstream words(arguments);
        std::copy(std::istream_iterator<std::string>(words), {}, std::back_inserter(argv));
        return net::must_run(ns_, argv);
    }
    // The kernel lists neighbours and FDB entries in the order of its hash tables.
    static std::string sorted(const std::string& text) {
        std::multiset<std::string> lines;
        std::istringstream input(text);
        for (std::string line; std::getline(input, line);) {
            lines.insert(line);
        }
        return fmt::format("{}\n", fmt::join(lines, "\n"));
    }
    // All that `ip` and `bridge` know of the device and of the node's ways in IPv4, without its number.
    std::string seen() {
        const auto link = std::regex_replace(ip("-d link show flannel.1"), std::regex("^[0-9]+: "), "");
        const auto addresses = ip("-4 -o address show dev flannel.1");
        return link + addresses.substr(addresses.find(' ')) + ip("-4 route show table all type unicast") +
               ip("-4 route show table local type local") + sorted(ip("-4 neighbour show dev flannel.1")) +
               sorted(bridge("fdb show dev flannel.1"));
    }
    FlannelNetwork read() {
        const auto network = read_flannel_network(socket(), "flannel.1");
        EXPECT_TRUE(succeeded(network));
        return network && *network ? **network : FlannelNetwork{};
    }
    std::vector<std::string> restored(const FlannelNetwork& network, const std::string& displaced = "") {
        const auto done = restore(socket(), network, displaced);
        EXPECT_TRUE(succeeded(done));
        return done.value_or(std::vector<std::string>{"nothing, it failed"});
    }
};

TEST_F(FlannelNetworkTest, WhatFlannelMakes_IsRead) {
    make_flannels();
    const auto network = read();
    EXPECT_EQ(network.device, (FlannelDevice{.name = "flannel.1",
                                             .vni = 1,
                                             .port = 8472,
                                             .mac = own_mac,
                                             .mtu = 1450,
                                             .local = address("10.0.0.1"),
                                             .lower = "eth0"}));
    EXPECT_THAT(network.addresses,
                ElementsAre(netlink::InterfaceAddress{.address = address("10.244.1.0"), .prefix_length = 32}));
    EXPECT_THAT(network.routes, ElementsAre(FlannelRoute{.device = "flannel.1",
                                                         .route = {.destination = prefix("10.244.2.0/24"),
                                                                   .gateway = address("10.244.2.0"),
                                                                   .protocol = RTPROT_BOOT,
                                                                   .on_link = true}},
                                            FlannelRoute{.device = "flannel.1",
                                                         .route = {.destination = prefix("10.244.3.0/24"),
                                                                   .gateway = address("10.244.3.0"),
                                                                   .protocol = RTPROT_BOOT,
                                                                   .on_link = true}}));
    EXPECT_THAT(peers_of(network), ElementsAre(FlannelPeer{.pod_cidr = prefix("10.244.2.0/24"),
                                                           .gateway = address("10.244.2.0"),
                                                           .mac = mac2,
                                                           .vtep = address("10.0.0.2")},
                                               FlannelPeer{.pod_cidr = prefix("10.244.3.0/24"),
                                                           .gateway = address("10.244.3.0"),
                                                           .mac = mac3,
                                                           .vtep = address("10.0.0.3")}));
    EXPECT_EQ(flannel_network_from_json(to_json(network)).value(), network);
}

TEST_F(FlannelNetworkTest, DeviceThatIsNotThere_IsNothingAndAnotherKindIsAnError) {
    EXPECT_EQ(read_flannel_network(socket(), "flannel.1").value(), std::nullopt);
    const auto veth = read_flannel_network(socket(), "eth0");
    ASSERT_FALSE(veth);
    EXPECT_EQ(veth.error().message, "eth0 is no VXLAN device but of kind veth: flannel's has one VNI");
    make_podlanes();
    const auto external = read_flannel_network(socket(), "podlane0");
    ASSERT_FALSE(external);
    EXPECT_EQ(external.error().message, "podlane0 is an external VXLAN device: flannel's has one VNI");
}

TEST_F(FlannelNetworkTest, LearnedEntries_AreNotFlannels) {
    make_flannels();
    ip("neighbour add 10.244.9.9 lladdr 02:00:00:00:09:09 dev flannel.1 nud stale");
    bridge("fdb add 02:00:00:00:09:09 dev flannel.1 dst 10.0.0.9 self dynamic");
    const auto network = read();
    EXPECT_EQ(network.neighbours.size(), 2U);
    EXPECT_EQ(network.fdb.size(), 2U);
}

TEST_F(FlannelNetworkTest, DirectRoutes_AreThoseIntoThePodNetworkAndComeBack) {
    make_flannels();
    ip("route add 10.244.4.0/24 via 10.0.0.4");
    ip("route add 10.245.0.0/24 via 10.0.0.5");
    ip("route add 10.244.6.0/24 via 10.0.0.6 proto static");
    ip("route add 10.244.7.0/24 dev eth0");
    auto network = read();
    const std::vector<Ipv4Prefix> pods = {prefix("10.244.0.0/16")};
    const auto direct = read_direct_routes(socket(), network, pods);
    ASSERT_TRUE(succeeded(direct));
    EXPECT_THAT(*direct, ElementsAre(FlannelRoute{.device = "eth0",
                                                  .route = {.destination = prefix("10.244.4.0/24"),
                                                            .gateway = address("10.0.0.4"),
                                                            .protocol = RTPROT_BOOT}}));
    network.routes.insert(network.routes.end(), direct->begin(), direct->end());
    const auto before = seen();
    ip("route del 10.244.4.0/24");
    EXPECT_THAT(restored(network), ElementsAre("replace route 10.244.4.0/24 via 10.0.0.4 dev eth0"));
    EXPECT_EQ(seen(), before);
}

TEST_F(FlannelNetworkTest, DeletedDevice_ComesBackAsItWas) {
    make_device("noudpcsum");
    add_peer("10.244.2.0/24", mac2, "10.0.0.2");
    const auto before = seen();
    const auto network = read();
    ip("link del flannel.1");
    // Whatever is made meanwhile takes the number.
    ip("link add other type veth peer name another");
    EXPECT_THAT(
        restored(network),
        ElementsAre("create link flannel.1 type vxlan id 1 dstport 8472", "set address 10.244.1.0/32 dev flannel.1",
                    "set FDB entry 02:00:00:00:01:02 dev flannel.1 dst 10.0.0.2", "change link flannel.1: up",
                    "set neighbour 10.244.2.0 dev flannel.1 lladdr 02:00:00:00:01:02",
                    "replace route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"));
    EXPECT_EQ(seen(), before);
    EXPECT_EQ(read(), network);
}

TEST_F(FlannelNetworkTest, Restoring_Twice_DoesNothingMore) {
    make_flannels();
    const auto before = seen();
    const auto network = read();
    EXPECT_THAT(restored(network), IsEmpty());
    ip("link del flannel.1");
    EXPECT_THAT(restored(network), Not(IsEmpty()));
    EXPECT_THAT(restored(network), IsEmpty());
    EXPECT_EQ(seen(), before);
}

TEST_F(FlannelNetworkTest, PodlanesDeviceOnThePort_GivesWay) {
    make_flannels();
    const auto before = seen();
    const auto network = read();
    ip("link del flannel.1");
    make_podlanes();
    ip("route add 10.244.2.0/24 via 10.0.0.2 dev eth0 proto 80");
    EXPECT_THAT(restored(network, "podlane0"),
                AllOf(testing::Contains("delete link podlane0"),
                      testing::Contains("replace route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink")));
    EXPECT_EQ(ifindex("podlane0"), 0U);
    EXPECT_EQ(seen(), before);
}

TEST_F(FlannelNetworkTest, PortThatIsNotGivenUp_IsAnErrorThatSaysWhatWasDone) {
    make_flannels();
    const auto network = read();
    ip("link del flannel.1");
    make_podlanes();
    const auto done = restore(socket(), network, "");
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EADDRINUSE);
    EXPECT_THAT(done.error().message,
                AllOf(testing::StartsWith("change link flannel.1: up: Address already in use"),
                      HasSubstr("(done: create link flannel.1 type vxlan id 1 dstport 8472; set address")));
    EXPECT_NE(ifindex("podlane0"), 0U);
    EXPECT_THAT(restored(network, "podlane0"),
                testing::IsSupersetOf({"delete link podlane0", "change link flannel.1: up"}));
    EXPECT_EQ(read(), network);
}

TEST_F(FlannelNetworkTest, HalfOfIt_IsCompletedAndTheRestLeftAlone) {
    make_flannels();
    const auto before = seen();
    const auto network = read();
    ip("neighbour del 10.244.3.0 dev flannel.1");
    bridge("fdb del 02:00:00:00:01:02 dev flannel.1 dst 10.0.0.2 self");
    ip("route del 10.244.2.0/24");
    EXPECT_THAT(restored(network), ElementsAre("set FDB entry 02:00:00:00:01:02 dev flannel.1 dst 10.0.0.2",
                                               "set neighbour 10.244.3.0 dev flannel.1 lladdr 02:00:00:00:01:03",
                                               "replace route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"));
    EXPECT_EQ(seen(), before);
}

TEST_F(FlannelNetworkTest, WhatIsThereButWrong_IsPutRight) {
    make_flannels();
    const auto before = seen();
    const auto network = read();
    ip("link set flannel.1 mtu 1400");
    bridge("fdb replace 02:00:00:00:01:03 dev flannel.1 dst 10.0.0.9 self permanent");
    ip("link set flannel.1 down");
    EXPECT_THAT(restored(network), testing::IsSupersetOf({"change link flannel.1: mtu 1450",
                                                          "set FDB entry 02:00:00:00:01:03 dev flannel.1 dst 10.0.0.3",
                                                          "set neighbour 10.244.2.0 dev flannel.1 lladdr "
                                                          "02:00:00:00:01:02"}));
    EXPECT_EQ(seen(), before);
}

// flanneld is back, on the device that never went, and knows peers as they are by now.
TEST_F(FlannelNetworkTest, WhatALivingFlannelChanged_IsLeftAndTheRestAdded) {
    make_flannels();
    const auto network = read();
    ip("neighbour replace 10.244.2.0 lladdr 02:00:00:00:09:09 dev flannel.1 nud permanent");
    bridge("fdb replace 02:00:00:00:01:02 dev flannel.1 dst 10.0.0.9 self permanent");
    ip("route replace 10.244.2.0/24 dev eth0 scope link");
    const auto before = seen();
    EXPECT_THAT(restored(network), testing::IsEmpty());
    EXPECT_EQ(seen(), before);
    ip("route del 10.244.3.0/24");
    EXPECT_THAT(restored(network), ElementsAre("replace route 10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink"));
    EXPECT_EQ(seen(), before);
}

// What podlane has put in the way is no word of flannel's.
TEST_F(FlannelNetworkTest, RouteOfPodlanes_GivesWayToFlannels) {
    make_flannels();
    const auto before = seen();
    const auto network = read();
    ip("route replace 10.244.2.0/24 via 10.0.0.2 dev eth0 proto 80");
    EXPECT_EQ(restored(network).size(), 1U);
    EXPECT_EQ(seen(), before);
}

// The kernel drops the neighbours of a device whose MAC changes: they were there when it was looked at.
TEST_F(FlannelNetworkTest, DeviceWithAnotherMac_GetsTheRecordedOneAndItsNeighboursAgain) {
    make_flannels();
    const auto before = seen();
    const auto network = read();
    ip("link set flannel.1 address 02:00:00:00:0f:0f");
    add_peer("10.244.2.0/24", mac2, "10.0.0.2");
    EXPECT_THAT(restored(network), ElementsAre("change link flannel.1: address 02:00:00:00:01:01",
                                               "set neighbour 10.244.2.0 dev flannel.1 lladdr 02:00:00:00:01:02",
                                               "set neighbour 10.244.3.0 dev flannel.1 lladdr 02:00:00:00:01:03"));
    EXPECT_EQ(seen(), before);
}

TEST_F(FlannelNetworkTest, DeviceThatIsDown_ComesUpWithItsNeighboursAndRoutes) {
    make_flannels();
    const auto before = seen();
    const auto network = read();
    ip("link set flannel.1 down");
    EXPECT_THAT(restored(network), testing::Contains("change link flannel.1: up"));
    EXPECT_EQ(seen(), before);
}

TEST_F(FlannelNetworkTest, WhatStandsInTheWay_IsNamedAndNothingIsTouched) {
    make_flannels();
    const auto network = read();
    const auto problem_of = [&](const std::string& displaced) {
        const auto before = ip("link show") + ip("-4 route show table all");
        const auto done = restore(socket(), network, displaced);
        EXPECT_EQ(ip("link show") + ip("-4 route show table all"), before);
        return done ? "no problem" : done.error().message;
    };
    EXPECT_EQ(problem_of("eth0"), "eth0 is no external VXLAN device, so it is not deleted");
    ip("link del flannel.1");
    EXPECT_EQ(problem_of("eth0"), "eth0 is no external VXLAN device, so it is not deleted");
    ip("link add flannel.1 type vxlan id 2 dstport 8472 dev eth0");
    EXPECT_EQ(problem_of(""), "flannel.1 is there, but no VXLAN device with VNI 1 and port 8472");
    ip("link del flannel.1");
    ip("link set eth0 down");
    ip("link set eth0 name eth1");
    EXPECT_EQ(problem_of(""), "make flannel.1: find link eth0: No such device");
}

TEST_F(FlannelNetworkTest, Bridge_IsReadWithItsPortsAndNothingElse) {
    EXPECT_EQ(read_bridge(socket(), "cni0").value(), std::nullopt);
    ip("link add cni0 address 02:00:00:00:0c:00 type bridge");
    ip("address add 10.244.1.1/24 dev cni0");
    for (const char* name : {"vethb", "vetha"}) {
        ip(fmt::format("link add {} mtu 1450 type veth peer name {}-in", name, name));
        ip(fmt::format("link set {} master cni0", name));
    }
    EXPECT_EQ(read_bridge(socket(), "cni0").value(),
              (Bridge{.name = "cni0",
                      .ifindex = ifindex("cni0"),
                      .mac = MacAddress({0x02, 0, 0, 0, 0x0c, 0}),
                      .addresses = {address("10.244.1.1")},
                      .ports = {{.name = "vetha", .ifindex = ifindex("vetha"), .mtu = 1450},
                                {.name = "vethb", .ifindex = ifindex("vethb"), .mtu = 1450}}}));
    const auto other = read_bridge(socket(), "eth0");
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().message, "eth0 is no bridge but of kind veth");
}

}  // namespace
}  // namespace podlane::migrate
