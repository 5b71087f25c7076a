// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "agent/migrate/lock.h"

namespace podlane::migrate {
namespace {

using testing::HasSubstr;

class MigrateLockTest : public testing::Test {
protected:
    void TearDown() override { std::filesystem::remove_all(place_.run_dir); }

    Place place_{.root = "/",
                 .record = {},
                 .run_dir = std::filesystem::path(testing::TempDir()) / "migrate-lock",
                 .bpffs = {},
                 .flannel_device = {}};
};

TEST_F(MigrateLockTest, Second_IsRefusedUntilTheFirstHasEnded) {
    std::filesystem::create_directory(place_.run_dir);
    auto first = lock_out_others(place_);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_TRUE(first->valid());
    const auto second = lock_out_others(place_);
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().message, HasSubstr("another agentctl migrate changes this node"));
    EXPECT_THAT(second.error().message, HasSubstr(place_.run_dir.string()));
    first->reset();
    EXPECT_TRUE(lock_out_others(place_));
}

TEST_F(MigrateLockTest, WithoutARunDirectory_ThereIsNothingToLock) {
    const auto lock = lock_out_others(place_);
    ASSERT_TRUE(lock) << lock.error().message;
    EXPECT_FALSE(lock->valid());
}

TEST_F(MigrateLockTest, RunDirectoryThatIsNone_IsNamed) {
    std::ofstream(place_.run_dir) << "a file";
    const auto lock = lock_out_others(place_);
    ASSERT_FALSE(lock);
    EXPECT_EQ(lock.error().message, "open " + place_.run_dir.string() + ": Not a directory");
}

}  // namespace
}  // namespace podlane::migrate
