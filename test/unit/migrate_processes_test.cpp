// SPDX-License-Identifier: Apache-2.0
#include <sys/prctl.h>
#include <unistd.h>

#include <array>

#include <gmock/gmock.h>

#include "agent/migrate/processes.h"

namespace podlane::migrate {
namespace {

using testing::Contains;
using testing::IsEmpty;

TEST(MigrateProcessesTest, Process_IsFoundByItsNameWhole) {
    std::array<char, 16> before{};
    ASSERT_EQ(prctl(PR_GET_NAME, before.data()), 0);
    ASSERT_EQ(prctl(PR_SET_NAME, "looked-for-one"), 0);
    EXPECT_THAT(find_processes("looked-for-one"), Contains(getpid()));
    EXPECT_THAT(find_processes_here("looked-for-one"), Contains(getpid()));
    EXPECT_THAT(find_processes("looked-for"), IsEmpty());
    ASSERT_EQ(prctl(PR_SET_NAME, before.data()), 0);
    EXPECT_THAT(find_processes("looked-for-one"), IsEmpty());
}

}  // namespace
}  // namespace podlane::migrate
