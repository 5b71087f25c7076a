// SPDX-License-Identifier: Apache-2.0
// Real files, real inotify.
#include "agent/source/followed_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

class FollowedFileTest : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "podlane-followed-XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        root_ = fs::canonical(pattern);
        loop_ = EventLoop::create().value();
    }
    void TearDown() override {
        file_.reset();
        fs::remove_all(root_);
    }

    void write(const fs::path& name, const std::string& text) const {
        std::ofstream(root_ / name, std::ios::trunc | std::ios::binary) << text;
    }
    void follow(const fs::path& name) {
        file_ = FollowedFile::create(*loop_, root_ / name, [this](const auto& text) {
                    told_.push_back(said(text));
                }).value();
    }
    static std::string said(const Result<FollowedFile::Text>& text) {
        return !text ? "error " + text.error().message : text->value_or("nothing");
    }
    // Runs the loop until so much was told, or for two seconds.
    void wait_for(std::size_t count) {
        auto poll = loop_->every(2ms, [&] {
            if (told_.size() >= count) {
                loop_->stop();
            }
        });
        auto end = loop_->after(2s, [&] { loop_->stop(); });
        EXPECT_TRUE(loop_->run().has_value());
    }
    void run_for(std::chrono::milliseconds time) {
        auto timer = loop_->after(time, [this] { loop_->stop(); });
        EXPECT_TRUE(loop_->run().has_value());
    }

    fs::path root_;
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<FollowedFile> file_;
    std::vector<std::string> told_;
};

TEST_F(FollowedFileTest, WhatIsThere_IsToldAtOnce) {
    write("file", "one");
    follow("file");
    EXPECT_THAT(told_, ElementsAre("one"));
}

TEST_F(FollowedFileTest, FileThatIsMissing_IsToldWhenItComesWithItsDirectories) {
    follow("a/b/file");
    EXPECT_THAT(told_, ElementsAre("nothing"));
    fs::create_directories(root_ / "a");
    run_for(80ms);
    fs::create_directories(root_ / "a/b");
    write("a/b/file", "one");
    wait_for(2);
    EXPECT_THAT(told_, ElementsAre("nothing", "one"));
}

TEST_F(FollowedFileTest, FileWrittenInPlace_CountsWhenItIsClosed) {
    write("file", "one");
    follow("file");
    std::ofstream file(root_ / "file", std::ios::trunc | std::ios::binary);
    file << "tw" << std::flush;
    run_for(150ms);
    EXPECT_THAT(told_, ElementsAre("one"));
    file << "o";
    file.close();
    wait_for(2);
    EXPECT_THAT(told_, ElementsAre("one", "two"));
}

TEST_F(FollowedFileTest, FileThatIsCreated_CountsWhenItIsClosed) {
    follow("file");
    std::ofstream file(root_ / "file", std::ios::binary);
    file << "on" << std::flush;
    run_for(150ms);
    EXPECT_THAT(told_, ElementsAre("nothing"));
    file << "e";
    file.close();
    wait_for(2);
    EXPECT_THAT(told_, ElementsAre("nothing", "one"));
}

TEST_F(FollowedFileTest, Rename_IsNoticedAndTheSameTextIsNoChange) {
    write("file", "one");
    follow("file");
    write("new", "one");
    fs::rename(root_ / "new", root_ / "file");
    run_for(150ms);
    write("new", "two");
    fs::rename(root_ / "new", root_ / "file");
    wait_for(2);
    EXPECT_THAT(told_, ElementsAre("one", "two"));
}

TEST_F(FollowedFileTest, ConfigMapsSwap_IsNoticedEachTime) {
    const auto publish = [&](const std::string& version) {
        fs::create_directories(root_ / ("..v" + version));
        write("..v" + version + "/file", version);
        fs::create_directory_symlink("..v" + version, root_ / "..data_tmp");
        fs::rename(root_ / "..data_tmp", root_ / "..data");
    };
    publish("1");
    fs::create_symlink("..data/file", root_ / "file");
    follow("file");
    for (std::size_t version = 2; version < 5; ++version) {
        publish(std::to_string(version));
        fs::remove_all(root_ / ("..v" + std::to_string(version - 1)));
        wait_for(version);
    }
    EXPECT_THAT(told_, ElementsAre("1", "2", "3", "4"));
}

TEST_F(FollowedFileTest, FileThatGoesForAMoment_WasNeverAway) {
    write("file", "one");
    follow("file");
    fs::remove(root_ / "file");
    run_for(150ms);
    write("file", "two");
    wait_for(2);
    EXPECT_THAT(told_, ElementsAre("one", "two"));
}

TEST_F(FollowedFileTest, FileThatIsRemoved_IsGoneAndMayComeBack) {
    write("file", "one");
    follow("file");
    fs::remove(root_ / "file");
    wait_for(2);
    write("file", "one");
    wait_for(3);
    EXPECT_THAT(told_, ElementsAre("one", "nothing", "one"));
}

TEST_F(FollowedFileTest, WhatCannotBeRead_IsAnErrorUntilItCan) {
    fs::create_directories(root_ / "file");
    follow("file");
    fs::remove(root_ / "file");
    ASSERT_EQ(mkfifo((root_ / "new").c_str(), S_IRUSR | S_IWUSR), 0);
    fs::rename(root_ / "new", root_ / "file");
    run_for(150ms);
    write("large", std::string(1024UL * 1024 + 1, ' '));
    fs::rename(root_ / "large", root_ / "file");
    wait_for(2);
    write("new", "one");
    fs::rename(root_ / "new", root_ / "file");
    wait_for(3);
    EXPECT_THAT(told_, ElementsAre(HasSubstr("file: not a regular file"), HasSubstr("larger than"), "one"));
}

}  // namespace
}  // namespace podlane
