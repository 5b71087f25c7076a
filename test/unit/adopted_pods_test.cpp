// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/adopted_pods.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

class AdoptedPodsTest : public testing::Test {
protected:
    void SetUp() override {
        directory_ = std::filesystem::path(testing::TempDir()) / "adopted-pods";
        std::filesystem::remove_all(directory_);
        std::filesystem::create_directories(directory_);
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }
    [[nodiscard]] std::filesystem::path file() const { return directory_ / "pods.json"; }
    [[nodiscard]] static AdoptedPod pod(std::string_view ip) {
        return {.network = "lan",
                .ip = Ipv4Address::parse(ip).value(),
                .mac = MacAddress::parse("02:00:00:00:00:51").value()};
    }

private:
    std::filesystem::path directory_;
};

TEST_F(AdoptedPodsTest, WhatWasKept_IsThereAgain) {
    AdoptedPods before(file());
    ASSERT_TRUE(before.load());
    EXPECT_TRUE(before.all().empty());
    const std::set<AdoptedPod> pods = {pod("172.20.7.51"), pod("172.20.7.52")};
    ASSERT_TRUE(before.keep(pods));
    AdoptedPods after(file());
    ASSERT_TRUE(after.load());
    EXPECT_EQ(after.all(), pods);
}

TEST_F(AdoptedPodsTest, WithoutPods_ThereIsNoFile) {
    AdoptedPods pods(file());
    ASSERT_TRUE(pods.keep({pod("172.20.7.51")}));
    EXPECT_TRUE(std::filesystem::remove(file()));
    ASSERT_TRUE(pods.rewrite());
    EXPECT_TRUE(std::filesystem::exists(file()));
    ASSERT_TRUE(pods.keep({}));
    EXPECT_FALSE(std::filesystem::exists(file()));
}

TEST_F(AdoptedPodsTest, FileOfSomethingElse_IsNamedAndHoldsNone) {
    for (const char* text : {"", "{", "{}", "[{}]", R"([{"network":"lan","ip":"172.20.7","mac":"x"}])", "[7]"}) {
        std::ofstream(file()) << text;
        AdoptedPods pods(file());
        const auto loaded = pods.load();
        ASSERT_FALSE(loaded) << text;
        EXPECT_THAT(loaded.error().message, testing::HasSubstr("pods.json: not a list of pods")) << text;
        EXPECT_TRUE(pods.all().empty());
    }
}

}  // namespace
}  // namespace podlane
