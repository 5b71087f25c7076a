// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/reconcile/sysctl_record.h"

namespace podlane {
namespace {

using testing::HasSubstr;
using Values = std::map<std::string, std::string>;

class LinkSysctlRecordTest : public testing::Test {
protected:
    LinkSysctlRecordTest() : record_(path()) {}
    void SetUp() override { std::filesystem::create_directories(folder()); }
    void TearDown() override { std::filesystem::remove_all(folder()); }

    static std::filesystem::path folder() {
        return std::filesystem::temp_directory_path() / fmt::format("podlane-sysctl-record-{}", ::getpid());
    }
    static std::filesystem::path path() { return folder() / "sysctls.json"; }
    static void write(std::string_view text) { std::ofstream(path()) << text; }

    SysctlRecord record_;
};

TEST_F(LinkSysctlRecordTest, NoFile_IsAnEmptyRecord) {
    EXPECT_EQ(record_.load(), Values{});
    EXPECT_TRUE(record_.discard());
}

TEST_F(LinkSysctlRecordTest, KeptValues_AreReadByTheNextProcess) {
    ASSERT_TRUE(record_.keep("net/ipv4/ip_forward", "0"));
    ASSERT_TRUE(record_.keep("net/ipv4/other", "7"));
    EXPECT_EQ(SysctlRecord(path()).load(), (Values{{"net/ipv4/ip_forward", "0"}, {"net/ipv4/other", "7"}}));
}

TEST_F(LinkSysctlRecordTest, FirstValue_IsNeverOverwritten) {
    ASSERT_TRUE(record_.keep("net/ipv4/ip_forward", "0"));
    ASSERT_TRUE(record_.keep("net/ipv4/ip_forward", "1"));
    EXPECT_EQ(record_.load(), (Values{{"net/ipv4/ip_forward", "0"}}));
}

TEST_F(LinkSysctlRecordTest, File_IsTheOwnersAloneAndNothingElseIsLeft) {
    ASSERT_TRUE(record_.keep("net/ipv4/ip_forward", "0"));
    struct stat status{};
    ASSERT_EQ(::stat(path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder()), {}), 1);
    ASSERT_TRUE(record_.discard());
    EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(LinkSysctlRecordTest, BrokenFile_IsAnErrorThatNamesItAndIsNotReplaced) {
    for (const auto* text : {"", "{\"net/ipv4/ip_forward\":", "[]", "{\"net/ipv4/ip_forward\": 0}"}) {
        write(text);
        const auto loaded = record_.load();
        ASSERT_FALSE(loaded) << text;
        EXPECT_THAT(loaded.error().message, HasSubstr(path().string()));
        EXPECT_FALSE(record_.keep("net/ipv4/ip_forward", "1"));
        std::ifstream file(path());
        EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
    }
}

TEST_F(LinkSysctlRecordTest, FolderThatIsMissing_IsAnErrorThatNamesIt) {
    const auto kept = SysctlRecord("/nonexistent/sysctls.json").keep("net/ipv4/ip_forward", "0");
    ASSERT_FALSE(kept);
    EXPECT_THAT(kept.error().message, HasSubstr("/nonexistent/sysctls.json"));
    EXPECT_EQ(kept.error().code, ENOENT);
}

}  // namespace
}  // namespace podlane
