// SPDX-License-Identifier: Apache-2.0
// What others hold is named and left alone; the scene is in link_scene.h.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <tuple>

#include <gmock/gmock.h>

#include "agent/netlink/monitor.h"
#include "test/net/link_scene.h"

namespace podlane::net {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class LinkConflictTest : public LinkSceneTest {};

TEST_F(LinkConflictTest, DeviceOfAnotherKindWithOurName_IsNamedAndLeftAlone) {
    ip("link add podlane0 type bridge");
    ip("link set podlane0 up");
    const auto settings = [&] {
        const auto link = netlink::find_link(socket(), "podlane0").value().value();
        return std::tuple(link.ifindex, link.mac, link.mtu, link.alias, link.is_up(), link.is_no_arp());
    };
    const auto before = settings();
    const auto report = reconcile(wanted());
    EXPECT_THAT(problems(report),
                ElementsAre(AllOf(HasSubstr("device podlane0: it is there, but it is not podlane's (bridge"))));
    EXPECT_EQ(report.overlay_ifindex, 0U);
    EXPECT_EQ(settings(), before);
    EXPECT_EQ(ip("-4 addr show podlane0"), "");
    EXPECT_EQ(ip("route show proto 80"),
              "unreachable 10.244.0.0/16 metric 4294967295 \n10.244.1.5 dev veth5 scope link src 10.0.0.1 \n")
        << "the rest is in place, nothing leads into the foreign device";
    EXPECT_THAT(not_ok(wanted()),
                Contains(AllOf(Field(&LinkItem::name, "podlane0"), Field(&LinkItem::state, LinkState::wrong))));
}

TEST_F(LinkConflictTest, PlainVxlanDeviceThatIsSomebodyElses_IsNamedAndLeftAlone) {
    ip("link add podlane0 type vxlan id 1 dstport 8472 dev eth0 nolearning");
    EXPECT_THAT(problems(reconcile(wanted())),
                ElementsAre(HasSubstr("not podlane's (vxlan id 1 dstport 8472 address")));
    EXPECT_NE(ifindex("podlane0"), 0U);
}

TEST_F(LinkConflictTest, PlainVxlanDeviceWithOurAlias_IsMadeAnew) {
    ip("link add podlane0 type vxlan id 1 dstport 8472 dev eth0 nolearning");
    must_run(ns_, {"ip", "link", "set", "podlane0", "alias", "podlane overlay"});
    EXPECT_THAT(problems(reconcile(wanted())), IsEmpty());
    EXPECT_THAT(ip("-d link show podlane0"), HasSubstr("vxlan external"));
    EXPECT_THAT(not_ok(wanted()), IsEmpty());
}

TEST_F(LinkConflictTest, PortHeldByAnotherVxlanDevice_IsSaidOnceWithItsName) {
    ip("link add flannel.1 type vxlan id 1 dstport 8472 dev eth0 nolearning");
    ip("link set flannel.1 up");
    const auto report = reconcile(wanted());
    EXPECT_THAT(problems(report), ElementsAre("change link podlane0: up, alias \"podlane overlay\": Address already in "
                                              "use; UDP port 8472 is held by VXLAN device flannel.1"));
    EXPECT_EQ(report.overlay_ifindex, 0U);
    ip("link set flannel.1 down");
    EXPECT_THAT(problems(reconcile(wanted())), IsEmpty());
    EXPECT_THAT(not_ok(wanted()), IsEmpty());
}

TEST_F(LinkConflictTest, PortTakenWhileOurDeviceWasDown_IsSaidOnceWithItsName) {
    reconcile(wanted());
    ip("link set podlane0 down");
    ip("link add flannel.1 type vxlan id 1 dstport 8472 dev eth0 nolearning");
    ip("link set flannel.1 up");
    EXPECT_THAT(problems(reconcile(wanted())),
                ElementsAre(HasSubstr("Address already in use; UDP port 8472 is held by VXLAN device flannel.1")));
}

TEST_F(LinkConflictTest, PortHeldByAnotherExternalDevice_IsSaidWithItsName) {
    ip("link add other0 type vxlan external dstport 8472");
    EXPECT_THAT(problems(reconcile(wanted())), ElementsAre(HasSubstr("is held by VXLAN device other0")));
}

TEST_F(LinkConflictTest, PortHeldByAProcess_IsSaid) {
    const Fd udp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_in any{.sin_family = AF_INET, .sin_port = htons(8472), .sin_addr = {}, .sin_zero = {}};
    ASSERT_EQ(::bind(udp.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)), 0);
    EXPECT_THAT(problems(reconcile(wanted())), ElementsAre(HasSubstr("UDP port 8472 is held by a process")));
}

TEST_F(LinkConflictTest, ForeignRouteInTheWay_IsNamedAndTheRestIsDone) {
    ip("route add 10.244.2.0/24 via 10.0.0.2 proto static");
    EXPECT_THAT(
        problems(reconcile(wanted())),
        ElementsAre("add route 10.244.2.0/24 dev podlane0 src 10.0.0.1: File exists; in the way is a route that "
                    "is not podlane's: 10.244.2.0/24 via 10.0.0.2 dev eth0 proto 4"));
    EXPECT_THAT(ip("route show"),
                AllOf(HasSubstr("10.244.2.0/24 via 10.0.0.2"), HasSubstr("10.244.3.0/24 dev podlane0")));
    ip("route del 10.244.2.0/24");
    EXPECT_THAT(problems(reconcile(wanted())), IsEmpty());
    EXPECT_THAT(not_ok(wanted()), IsEmpty());
}

TEST_F(LinkConflictTest, PodWhoseDeviceIsGone_IsOneErrorAndTheRestIsDone) {
    ip("link del veth5");
    EXPECT_THAT(problems(reconcile(wanted())), ElementsAre("device veth5: it is missing; what belongs on it waits"));
    EXPECT_THAT(ip("route show proto 80"), AllOf(HasSubstr("10.244.2.0/24"), Not(HasSubstr("10.244.1.5"))));
    EXPECT_THAT(not_ok(wanted()),
                Contains(AllOf(Field(&LinkItem::kind, "route"), Field(&LinkItem::name, "10.244.1.5/32"),
                               Field(&LinkItem::state, LinkState::missing))));
}

struct Obstacle {
    std::string_view name;
    std::vector<std::string_view> commands;
};

class LinkObstacleTest : public LinkConflictTest, public testing::WithParamInterface<Obstacle> {};

// Or else the agent, which starts a pass with such an event, would never rest.
TEST_P(LinkObstacleTest, PassThatFails_CausesNoEventThatAsksForAnother) {
    for (const auto command : GetParam().commands) {
        ip(command);
    }
    reconcile(wanted());
    auto monitor = netlink::Monitor::open();
    ASSERT_TRUE(succeeded(monitor));
    const auto report = reconcile(wanted());
    EXPECT_THAT(report.errors, Not(IsEmpty()));
    EXPECT_THAT(report.changes, IsEmpty());
    EXPECT_TRUE(succeeded(monitor->drain([&](const netlink::Event& event) {
        EXPECT_FALSE(may_disturb(event, wanted(), report.overlay_ifindex)) << "kind " << event.index();
    })));
}

INSTANTIATE_TEST_SUITE_P(
    Obstacles, LinkObstacleTest,
    testing::ValuesIn(std::vector<Obstacle>{
        {"PortHeldByFlannel",
         {"link add flannel.1 type vxlan id 1 dstport 8472 dev eth0 nolearning", "link set flannel.1 up"}},
        {"PortHeldByExternal", {"link add other0 type vxlan external dstport 8472"}},
        {"DeviceDownAndPortHeld",
         {"link add podlane0 type vxlan external dstport 8472",
          "link add flannel.1 type vxlan id 1 dstport 8472 dev eth0 nolearning", "link set flannel.1 up"}},
        {"ForeignDevice", {"link add podlane0 type bridge"}},
        {"ForeignRoute", {"route add 10.244.2.0/24 via 10.0.0.2 proto static"}},
        {"PodDeviceGone", {"link del veth5"}}}),
    [](const auto& obstacle) { return std::string(obstacle.param.name); });

}  // namespace
}  // namespace podlane::net
