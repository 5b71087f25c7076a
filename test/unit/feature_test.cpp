// SPDX-License-Identifier: Apache-2.0
#include "loader/feature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loader/probe.h"

namespace podlane {
namespace {

using testing::HasSubstr;

const std::vector<Feature> every_feature = {
    Feature::tcx,     Feature::own_headers,   Feature::cgroup_memory,  Feature::xdp_fragments, Feature::bpf_fs,
    Feature::sch_cls, Feature::redirect_peer, Feature::redirect_neigh, Feature::clsact,        Feature::vxlan};

TEST(FeatureTest, EveryFeature_IsFoundByItsName) {
    ASSERT_EQ(every_feature.size(), feature_count);
    for (const auto feature : every_feature) {
        const auto parsed = parse_feature(to_string(feature));
        ASSERT_TRUE(parsed.has_value()) << to_string(feature);
        EXPECT_EQ(*parsed, feature);
    }
}

TEST(FeatureTest, UnknownName_IsRefusedWithAllNames) {
    for (const char* name : {"", "TCX", "tcx ", "wings"}) {
        const auto parsed = parse_feature(name);
        ASSERT_FALSE(parsed.has_value()) << name;
        for (const auto feature : every_feature) {
            EXPECT_THAT(parsed.error().message, HasSubstr(std::string(to_string(feature))));
        }
    }
}

TEST(FeatureTest, LackOfWhatPodlaneNeeds_IsOneLineThatNamesTheKernelThatHasIt) {
    for (const auto feature : {Feature::bpf_fs, Feature::sch_cls, Feature::redirect_peer, Feature::redirect_neigh,
                               Feature::clsact, Feature::vxlan}) {
        EXPECT_THAT(missing(feature).message, HasSubstr("Linux 5.10")) << to_string(feature);
        EXPECT_EQ(missing(feature).message.find('\n'), std::string::npos);
    }
    EXPECT_THAT(missing(Feature::redirect_peer).message, HasSubstr("bpf_redirect_peer"));
}

TEST(FeatureTest, Set_HoldsWhatWasPutIn) {
    FeatureSet features;
    EXPECT_TRUE(features.empty());
    EXPECT_EQ(features.to_string(), "");
    features.insert(Feature::vxlan);
    features.insert(Feature::tcx);
    features.insert(Feature::tcx);
    EXPECT_EQ(features.to_string(), "tcx, vxlan");
    EXPECT_TRUE(features.contains(Feature::vxlan));
    EXPECT_FALSE(features.contains(Feature::clsact));
}

TEST(FeatureTest, Ways_AreNamedInPlainWords) {
    EXPECT_EQ(to_string(AttachMethod::tcx), "tcx");
    EXPECT_EQ(to_string(AttachMethod::clsact), "clsact");
    EXPECT_EQ(to_string(ENCAPSULATION_OWN_HEADERS), "own headers");
    EXPECT_EQ(to_string(ENCAPSULATION_TUNNEL_DEVICE), "tunnel device");
    EXPECT_EQ(to_string(MemoryAccounting::cgroup), "cgroup");
    EXPECT_EQ(to_string(MemoryAccounting::rlimit), "rlimit");
    EXPECT_EQ(to_string(XdpBuffers::several), "several buffers");
    EXPECT_EQ(to_string(XdpBuffers::one), "one buffer");
}

}  // namespace
}  // namespace podlane
