// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/patience.h"

#include <cerrno>

#include <gtest/gtest.h>

namespace podlane::netfilter {
namespace {

using std::chrono::milliseconds;

TEST(PatienceTest, ChangeThatOthersAreAt_IsTriedAgainUntilItIsMade) {
    int tries = 0;
    const auto done = with_patience(
        [&]() -> Result<void> { return ++tries < 3 ? Result<void>(fail_errno(EAGAIN, "lock")) : Result<void>(); });
    EXPECT_TRUE(done.has_value());
    EXPECT_EQ(tries, 3);
}

TEST(PatienceTest, OtherErrors_AreNotTriedAgain) {
    int tries = 0;
    const auto done = with_patience([&]() -> Result<void> {
        ++tries;
        return fail_errno(EPERM, "change");
    });
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code, EPERM);
    EXPECT_EQ(tries, 1);
}

TEST(PatienceTest, PatienceEnds) {
    int tries = 0;
    const auto done = with_patience(
        [&]() -> Result<void> {
            ++tries;
            return fail_errno(EAGAIN, "lock");
        },
        milliseconds(150));
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code, EAGAIN);
    EXPECT_GT(tries, 1);
}

}  // namespace
}  // namespace podlane::netfilter
