// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/delta.h"

#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

using Map = std::map<std::string, int>;

TEST(DeltaTest, EqualMaps_NeedNothing) {
    EXPECT_TRUE(map_delta(Map{{"a", 1}}, Map{{"a", 1}}).empty());
    EXPECT_TRUE(map_delta(Map{}, Map{}).empty());
}

TEST(DeltaTest, Difference_IsSplitIntoAddChangeAndRemove) {
    const auto delta =
        map_delta(Map{{"added", 1}, {"changed", 2}, {"same", 3}}, Map{{"changed", 9}, {"same", 3}, {"stale", 4}});
    EXPECT_THAT(delta.to_add, ElementsAre(Pair("added", 1)));
    EXPECT_THAT(delta.to_change, ElementsAre(Pair("changed", 2))) << "with the wanted value";
    EXPECT_THAT(delta.to_remove, ElementsAre("stale"));
    EXPECT_FALSE(delta.empty());
}

TEST(DeltaTest, EachKindOfDifferenceAlone_IsNotEmpty) {
    EXPECT_FALSE(map_delta(Map{{"a", 1}}, Map{}).empty());
    EXPECT_FALSE(map_delta(Map{{"a", 1}}, Map{{"a", 2}}).empty());
    EXPECT_FALSE(map_delta(Map{}, Map{{"a", 1}}).empty());
}

TEST(DeltaTest, CallersNotionOfSame_DecidesBetweenDifferentTypes) {
    const std::map<int, std::string> wanted{{1, "12345"}, {2, "12"}};
    const std::unordered_map<int, std::size_t> actual{{1, 5}, {2, 5}};
    const auto delta = map_delta(wanted, actual, [](const auto& text, auto length) { return text.size() == length; });
    EXPECT_THAT(delta.to_change, ElementsAre(Pair(2, "12")));
    EXPECT_THAT(delta.to_add, IsEmpty());
    EXPECT_THAT(delta.to_remove, IsEmpty());
}

TEST(DeltaTest, Sets_AreAddedToAndRemovedFrom) {
    const auto delta = set_delta(std::set{1, 2}, std::set{2, 3});
    EXPECT_THAT(delta.to_add, ElementsAre(1));
    EXPECT_THAT(delta.to_remove, ElementsAre(3));
    EXPECT_FALSE(delta.empty());
    EXPECT_TRUE(set_delta(std::set{1}, std::set{1}).empty());
}

}  // namespace
}  // namespace podlane
