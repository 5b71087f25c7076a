// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/guard_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

GuardCandidate network_card() {
    return {.kind = "",
            .buffers = XdpBuffers::several,
            .features = {.active = {"rx-gro", "tx-tcp-segmentation"}, .requested = {"rx-gro", "tx-tcp-segmentation"}}};
}

TEST(GuardChoiceTest, HardwareThatDoesNotMerge_IsWorthATrial) {
    EXPECT_EQ(cost_of_native(network_card()), std::nullopt);
}

TEST(GuardChoiceTest, Veth_IsNotTriedForItsPeersSake) {
    auto device = network_card();
    device.kind = "veth";
    EXPECT_THAT(cost_of_native(device).value(), HasSubstr("peer's segmentation offload"));
}

TEST(GuardChoiceTest, OtherVirtualDevices_AreNotTriedAndNamed) {
    for (const char* kind : {"bond", "bridge", "macvlan", "tun", "vlan", "vxlan"}) {
        auto device = network_card();
        device.kind = kind;
        EXPECT_THAT(cost_of_native(device).value(), HasSubstr(kind));
    }
}

TEST(GuardChoiceTest, KernelThatGivesOneBuffer_IsNotTried) {
    auto device = network_card();
    device.buffers = XdpBuffers::one;
    EXPECT_THAT(cost_of_native(device).value(), HasSubstr("one buffer"));
}

TEST(GuardChoiceTest, DeviceThatMergesPackets_IsNotTriedWhetherXdpHasEndedItOrNot) {
    for (const char* merging : {"rx-lro", "rx-gro-hw"}) {
        auto on = network_card();
        on.features.active.insert(merging);
        EXPECT_THAT(cost_of_native(on).value(), HasSubstr(merging));
        auto suppressed = network_card();
        suppressed.features.requested.insert(merging);
        EXPECT_THAT(cost_of_native(suppressed).value(), HasSubstr(merging));
    }
}

TEST(GuardChoiceTest, OffloadsThatWent_AreNamedAndOthersDoNotMatter) {
    const DeviceFeatures before{.active = {"rx-gro", "rx-vlan-hw-parse", "tx-tcp-segmentation"}, .requested = {}};
    EXPECT_THAT(lost_features(before, before), IsEmpty());
    EXPECT_THAT(lost_features(before, {.active = {"rx-gro"}, .requested = before.active}),
                ElementsAre("rx-vlan-hw-parse", "tx-tcp-segmentation"));
    auto more = before;
    more.active.insert("rx-hashing");
    EXPECT_THAT(lost_features(before, more), IsEmpty());
}

}  // namespace
}  // namespace podlane
