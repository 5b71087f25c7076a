// SPDX-License-Identifier: Apache-2.0
// Which bridge commit may delete.
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/migrate_fixture.h"

namespace podlane::migrate {
namespace {

using testing::HasSubstr;

const std::vector<Ipv4Prefix> pod_cidrs = {prefix("10.244.1.0/24")};

Bridge empty_bridge() {
    auto bridge = *good_facts().bridge;
    bridge.ports.clear();
    return bridge;
}

TEST(MigrateBridgeTest, FlannelsBridgeWithoutPods_CanGo) {
    EXPECT_EQ(why_kept(empty_bridge(), pod_cidrs), "");
}

TEST(MigrateBridgeTest, BridgeWithPods_Stays) {
    EXPECT_THAT(why_kept(*good_facts().bridge, pod_cidrs), HasSubstr("2 pods are on it"));
}

TEST(MigrateBridgeTest, BridgeWithAnAddressOfSomebodyElses_Stays) {
    auto bridge = empty_bridge();
    bridge.addresses.push_back(address("192.168.122.1"));
    EXPECT_THAT(why_kept(bridge, pod_cidrs), HasSubstr("192.168.122.1 is not of this node's podCIDR"));
    EXPECT_THAT(why_kept(empty_bridge(), {}), HasSubstr("10.244.1.1 is not"));
    bridge.addresses.clear();
    EXPECT_THAT(why_kept(bridge, pod_cidrs), HasSubstr("no address"));
}

}  // namespace
}  // namespace podlane::migrate
