// SPDX-License-Identifier: Apache-2.0
#include "agent/source/loss_doubt.h"

#include <gtest/gtest.h>

namespace podlane {
namespace {

using Names = LossDoubt::Names;

const Names known = {"n1", "n2", "n3", "n4", "n5"};

TEST(LossDoubtTest, OneList_IsDoubtedWhenItLacksMoreThanHalf) {
    struct Case {
        const char* what;
        Names known;
        Names listed;
        std::size_t loss;  // 0: believed
    };
    const Case cases[] = {
        {"nothing is known yet", {}, {}, 0},
        {"nothing was known, much is there", {}, {"n1", "n2"}, 0},
        {"all the same", known, known, 0},
        {"less than half is gone", known, {"n1", "n2", "n3"}, 0},
        {"exactly half is gone", {"n1", "n2"}, {"n2"}, 0},
        {"more than half is gone", known, {"n1", "n2"}, 3},
        {"all is gone", known, {}, 5},
        {"the only one is gone", {"n1"}, {}, 1},
        {"others are in their place", known, {"m1", "m2", "m3", "m4", "m5"}, 5},
    };
    for (const auto& one : cases) {
        LossDoubt doubt;
        EXPECT_EQ(doubt.doubts(one.listed, one.known), one.loss != 0) << one.what;
        EXPECT_EQ(doubt.is_pending(), one.loss != 0) << one.what;
        EXPECT_EQ(doubt.loss(), one.loss) << one.what;
    }
}

TEST(LossDoubtTest, SecondListThatLacksTheSame_EndsTheDoubt) {
    LossDoubt doubt;
    ASSERT_TRUE(doubt.doubts({"n1", "n2"}, known));
    EXPECT_FALSE(doubt.doubts({"n1"}, known));
    EXPECT_FALSE(doubt.is_pending());
    EXPECT_EQ(doubt.loss(), 0U);
    // What is known now is one node; its loss is doubted from the start.
    EXPECT_TRUE(doubt.doubts({}, {"n1"}));
}

TEST(LossDoubtTest, SecondListThatHasThemAgain_EndsTheDoubtToo) {
    LossDoubt doubt;
    ASSERT_TRUE(doubt.doubts({}, known));
    EXPECT_FALSE(doubt.doubts(known, known));
    EXPECT_FALSE(doubt.is_pending());
    EXPECT_TRUE(doubt.doubts({}, known)) << "an old doubt confirms nothing";
}

TEST(LossDoubtTest, ListsThatLackDifferentNames_DoNotAgree) {
    LossDoubt doubt;
    ASSERT_TRUE(doubt.doubts({"n1", "n2"}, known));
    EXPECT_TRUE(doubt.doubts({"n4", "n5"}, known)) << "only n3 is in neither";
    EXPECT_EQ(doubt.loss(), 3U);
    EXPECT_FALSE(doubt.doubts({"n5"}, known)) << "it is the second one that counts: n1, n2, n3 are in neither";
}

}  // namespace
}  // namespace podlane
