// SPDX-License-Identifier: Apache-2.0
// Files that an agent keeps for other programs.
#include "agent/node/kept_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/node/subnet_env.h"

namespace podlane {
namespace {

class KeptFileTest : public testing::Test {
protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "podlane-kept-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }
    [[nodiscard]] std::string path() const { return (directory_ / "run" / "subnet.env").string(); }
    [[nodiscard]] std::string text() const {
        std::ifstream file(path());
        return {std::istreambuf_iterator<char>(file), {}};
    }
    [[nodiscard]] mode_t mode() const {
        struct stat status{};
        EXPECT_EQ(stat(path().c_str(), &status), 0);
        return status.st_mode & 07777U;
    }

    std::filesystem::path directory_;
};

TEST_F(KeptFileTest, Modes_DoNotDependOnTheUmask) {
    const auto before = umask(0077);
    KeptFile("x", path(), Readers::everybody).keep(std::string("a\n"));
    umask(before);
    EXPECT_EQ(text(), "a\n");
    EXPECT_EQ(mode(), 0644U);
    KeptFile("x", path(), Readers::root).keep(std::string("b\n"));
    EXPECT_EQ(mode(), 0600U);
}

TEST_F(KeptFileTest, ChangedRemovedOrOutdated_IsWrittenAgain) {
    KeptFile file("x", path(), Readers::everybody);
    file.keep(std::string("a\n"));
    std::ofstream(path()) << "somebody's\n";
    file.keep(std::string("a\n"));
    EXPECT_EQ(text(), "a\n");
    std::filesystem::remove_all(directory_ / "run");
    file.keep(std::string("a\n"));
    EXPECT_EQ(text(), "a\n");
    file.keep(std::string("b\n"));
    EXPECT_EQ(text(), "b\n");
}

// A reader holds the old text or the new: the file is replaced, and only when it has to be.
TEST_F(KeptFileTest, File_IsReplacedWholeAndOnlyWhenItDiffers) {
    const auto inode = [&] {
        struct stat status{};
        EXPECT_EQ(stat(path().c_str(), &status), 0);
        return status.st_ino;
    };
    KeptFile file("x", path(), Readers::everybody);
    file.keep(std::string("a\n"));
    const auto first = inode();
    std::ifstream reader(path());
    file.keep(std::string("a\n"));
    EXPECT_EQ(inode(), first);
    file.keep(std::string("b\n"));
    EXPECT_NE(inode(), first);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(reader), {}), "a\n");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_ / "run"), {}), 1) << "nothing else is left";
}

TEST_F(KeptFileTest, WithoutATextToBe_FileStaysAsItIs) {
    KeptFile file("x", path(), Readers::everybody);
    file.keep(std::string("a\n"));
    file.keep(std::unexpected(Error{0, "no template"}));
    EXPECT_EQ(text(), "a\n");
    KeptFile("x", "", Readers::everybody).keep(std::string("b\n"));
    EXPECT_EQ(text(), "a\n");
}

TEST(SubnetEnvTest, Text_IsFlannels) {
    EXPECT_EQ(subnet_env(Ipv4Prefix::parse("10.244.0.0/16").value(), Ipv4Prefix::parse("10.244.1.0/24").value(), 1450),
              "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n");
    EXPECT_THAT(subnet_env(Ipv4Prefix::parse("10.0.0.0/8").value(), Ipv4Prefix::parse("10.5.52.128/26").value(), 8950),
                testing::HasSubstr("\nFLANNEL_SUBNET=10.5.52.129/26\nFLANNEL_MTU=8950\n"));
}

}  // namespace
}  // namespace podlane
