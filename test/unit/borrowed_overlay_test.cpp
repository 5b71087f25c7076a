// SPDX-License-Identifier: Apache-2.0
#include "agent/node/borrowed_overlay.h"

#include <gtest/gtest.h>
#include <net/if.h>

namespace podlane {
namespace {

using netlink::Link;

Link flannel() {
    return {.ifindex = 4,
            .name = "flannel.1",
            .kind = "vxlan",
            .flags = IFF_UP,
            .vxlan = netlink::VxlanSettings{.port = 8472, .vni = 1}};
}

std::optional<Link> found_among(const Link& link) {
    return find_flannel_overlay({Link{.ifindex = 2, .name = "eth0"}, link}, 1, 8472);
}

TEST(BorrowedOverlayTest, FlannelsDevice_IsKnownByVniAndPortAndNotByItsName) {
    EXPECT_EQ(found_among(flannel()), flannel());
    auto renamed = flannel();
    renamed.name = "vx";
    EXPECT_EQ(found_among(renamed), renamed);
}

TEST(BorrowedOverlayTest, DevicesThatDoNotHoldThePortAsFlannelDoes_AreNotBorrowed) {
    const auto without = [](auto change) {
        auto link = flannel();
        change(link);
        return found_among(link);
    };
    EXPECT_EQ(without([](Link& link) { link.flags = 0; }), std::nullopt) << "down: it has no socket";
    EXPECT_EQ(without([](Link& link) { link.vxlan->external = true; }), std::nullopt);
    EXPECT_EQ(without([](Link& link) { link.vxlan->vni = 2; }), std::nullopt);
    EXPECT_EQ(without([](Link& link) { link.vxlan->port = 4789; }), std::nullopt);
    EXPECT_EQ(without([](Link& link) { link.alias = "podlane overlay"; }), std::nullopt);
    EXPECT_EQ(without([](Link& link) { link.vxlan.reset(); }), std::nullopt);
}

}  // namespace
}  // namespace podlane
