// SPDX-License-Identifier: Apache-2.0
// Everything that a host has of IPv4 on one device, moved to another and back, against a kernel of its own:
//
//   namespace ---- eth0 10.0.0.1/24, default via 10.0.0.254 --- wire
//             \--- shim (a macvlan on eth0)
#include "agent/reconcile/host_move.h"

#include <gmock/gmock.h>

#include "test/net/link_kernel.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

class HostMoveKernel : public LinkKernelTest {
protected:
    HostMoveKernel() {
        ip("link add shim link eth0 type macvlan mode bridge");
        ip("addr add 10.0.0.2/24 dev eth0");
        ip("addr add 172.31.9.1/24 dev eth0 valid_lft 7000 preferred_lft 6000");
        ip("route replace default via 10.0.0.254 metric 50 proto static src 10.0.0.2 mtu 1400 advmss 1300 initcwnd 20");
        ip("route add 198.51.100.0/24 via 198.51.99.1 dev eth0 onlink table 77 tos 0x10");
        ip("route add 192.0.2.0/24 dev eth0 scope link metric 7");
        ip("route add blackhole 203.0.113.0/24");
        ip("neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 nud permanent dev eth0");
    }
    [[nodiscard]] std::string routes() { return ip("-4 route show table all"); }
    [[nodiscard]] std::string everything() {
        return routes() + ip("-4 -o address show scope global") + ip("-4 neigh show nud permanent");
    }
    [[nodiscard]] Result<std::vector<Ipv4Address>> move(const std::string& from, const std::string& to) {
        return move_host(socket(), {.from = {ifindex(from), from}, .to = {ifindex(to), to}});
    }
    // As it is told of `eth0`; lifetimes run on.
    static std::string as_of_eth0(std::string text) {
        for (auto at = text.find("shim"); at != std::string::npos; at = text.find("shim", at)) {
            text.replace(at, 4, "eth0");
        }
        return text;
    }
};

TEST_F(HostMoveKernel, EveryRouteKeepsWhatItSays_ThereAndBack) {
    ip("link set shim up");
    const auto before = routes();
    EXPECT_THAT(before, HasSubstr("advmss 1300"));
    const auto moved = move("eth0", "shim");
    ASSERT_TRUE(moved) << moved.error().message;
    EXPECT_EQ(moved->size(), 3U);
    EXPECT_EQ(ip("-4 route show table all dev eth0"), "");
    EXPECT_EQ(as_of_eth0(routes()), before);
    EXPECT_THAT(ip("-4 address show dev shim"), HasSubstr("172.31.9.1/24"));
    EXPECT_THAT(ip("-4 address show dev shim"), HasSubstr("valid_lft 7"));
    EXPECT_THAT(ip("-4 address show dev shim"), HasSubstr("10.0.0.2/24 scope global secondary shim"));
    EXPECT_THAT(ip("-4 neigh show dev shim nud permanent"), HasSubstr("02:00:00:00:00:09"));
    ASSERT_TRUE(move("shim", "eth0"));
    EXPECT_EQ(routes(), before);
    EXPECT_EQ(ip("-4 address show dev shim"), "");
    EXPECT_TRUE(move("shim", "eth0")) << "again: there is nothing";
    EXPECT_EQ(routes(), before);
}

// A device that is down takes addresses and no routes.
TEST_F(HostMoveKernel, StepThatTheKernelRefuses_UndoesThoseBeforeIt) {
    ip("addr del 172.31.9.1/24 dev eth0");
    const auto before = everything();
    const auto moved = move("eth0", "shim");
    ASSERT_FALSE(moved);
    EXPECT_THAT(moved.error().message, HasSubstr("route"));
    EXPECT_EQ(moved.error().code, ENETDOWN);
    EXPECT_EQ(everything(), before);
}

TEST_F(HostMoveKernel, RouteWithSeveralNextHops_IsRefusedAndNothingIsTouched) {
    ip("link add eth1 type veth peer name wire1");
    ip("link set wire1 up");
    ip("link set eth1 up");
    ip("addr add 10.9.0.1/24 dev eth1");
    ip("route add 198.18.0.0/15 nexthop via 10.0.0.253 nexthop via 10.9.0.2");
    ip("link set shim up");
    const auto before = routes();
    const auto moved = move("eth0", "shim");
    ASSERT_FALSE(moved);
    EXPECT_THAT(moved.error().message, HasSubstr("198.18.0.0/15: it has several next hops, one of them by eth0"));
    EXPECT_EQ(routes(), before);
}

TEST_F(HostMoveKernel, NextHopObject_IsRefused) {
    ip("nexthop add id 7 via 10.0.0.253 dev eth0");
    ip("route add 198.18.0.0/15 nhid 7");
    ip("link set shim up");
    const auto moved = move("eth0", "shim");
    ASSERT_FALSE(moved);
    EXPECT_THAT(moved.error().message, HasSubstr("ip nexthop"));
}

}  // namespace
}  // namespace podlane::net
