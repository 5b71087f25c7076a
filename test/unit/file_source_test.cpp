// SPDX-License-Identifier: Apache-2.0
// The state as one file, and the ways that lead to it.
#include "agent/source/file_source.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <ctime>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/source/path_walk.h"
#include "test/support/timers.h"
#include "test/unit/file_source_fixture.h"

namespace podlane {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::FileSourceTest;
using test::node;
using testing::ElementsAre;
using testing::HasSubstr;

// ---- one file

TEST_F(FileSourceTest, FileAtStart_IsReadAtOnce) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    EXPECT_THAT(names(), ElementsAre("n1"));
    EXPECT_TRUE(in_sync());
    EXPECT_EQ(problem(), "");
    EXPECT_EQ(source_->objects().nodes.at("n1").origin, (root_ / "cluster.yaml").string() + ":1");
}

TEST_F(FileSourceTest, FileWrittenInPlace_IsReadWhenItIsClosed) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    std::ofstream file(root_ / "cluster.yaml", std::ios::trunc | std::ios::binary);
    file << "kind: Node\n" << std::flush;
    run_for(50ms);
    EXPECT_EQ(cidr_of("n1"), "10.244.1.0/24");
    EXPECT_EQ(problem(), "");
    file << "metadata: {name: n1}\nspec: {podCIDR: 10.244.2.0/24}\n";
    file.close();
    EXPECT_LT(wait_for_cidr("n1", 2), 400ms);
}

TEST_F(FileSourceTest, AtomicRename_IsNoticed) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    for (int version = 2; version < 6; ++version) {
        replace("cluster.yaml", node("n1", version));
        EXPECT_LT(wait_for_cidr("n1", version), 400ms);
    }
    EXPECT_EQ(problem(), "");
}

TEST_F(FileSourceTest, BrokenFile_KeepsTheLastGoodStateAndNamesTheLine) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    write("cluster.yaml", "kind: Node\nmetadata: {name: n1\nspec: {}\n");
    wait_for_problem("cluster.yaml:3: not valid YAML");
    EXPECT_THAT(names(), ElementsAre("n1"));
    EXPECT_TRUE(in_sync());
    write("cluster.yaml", node("n1", 2));
    wait_for_cidr("n1", 2);
    EXPECT_EQ(problem(), "");
}

TEST_F(FileSourceTest, EmptiedFile_KeepsTheLastGoodState) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    write("cluster.yaml", "");
    wait_for_problem("cluster.yaml:1: the file is empty");
    EXPECT_THAT(names(), ElementsAre("n1"));
}

TEST_F(FileSourceTest, RemovedFile_KeepsTheLastGoodStateAndComesBack) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    fs::remove(root_ / "cluster.yaml");
    wait_for_problem("No such file");
    EXPECT_THAT(names(), ElementsAre("n1"));
    EXPECT_TRUE(in_sync());
    write("cluster.yaml", node("n1", 2));
    wait_for_cidr("n1", 2);
    EXPECT_EQ(problem(), "");
}

TEST_F(FileSourceTest, FileRemovedAndWrittenAnew_IsNoProblemInBetween) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    bool had_problem = false;
    source_->on_change([&] { had_problem |= !problem().empty(); });
    fs::remove(root_ / "cluster.yaml");
    run_for(50ms);
    write("cluster.yaml", node("n1", 2));
    wait_for_cidr("n1", 2);
    EXPECT_FALSE(had_problem);
}

TEST_F(FileSourceTest, FileMissingAtStart_SaysSoAndComesUp) {
    start("cluster.yaml");
    EXPECT_FALSE(in_sync());
    EXPECT_EQ(problem(), fmt::format("read {}: No such file or directory", (root_ / "cluster.yaml").string()));
    write("cluster.yaml", node("n1", 1));
    EXPECT_LT(wait_until([this] { return in_sync(); }), 500ms);
    EXPECT_EQ(problem(), "");
    EXPECT_THAT(names(), ElementsAre("n1"));
}

TEST_F(FileSourceTest, DirectoriesMissingAtStart_AreWaitedFor) {
    start("a/b/cluster.yaml");
    EXPECT_FALSE(in_sync());
    fs::create_directories(root_ / "a/b");
    run_for(50ms);
    write("a/b/cluster.yaml", node("n1", 1));
    wait_until([this] { return in_sync(); });
    EXPECT_THAT(names(), ElementsAre("n1"));
}

TEST_F(FileSourceTest, FileThatCameWithItsDirectories_IsNotMissed) {
    start("a/b/cluster.yaml");
    // All at once: nothing watched a/b when the file was closed.
    fs::create_directories(root_ / "a/b");
    write("a/b/cluster.yaml", node("n1", 1));
    wait_until([this] { return in_sync(); });
    EXPECT_THAT(names(), ElementsAre("n1"));
}

TEST_F(FileSourceTest, BrokenAtStart_IsNotInSyncUntilItIsGood) {
    write("cluster.yaml", "kind: Node\nmetadata: [\n");
    start("cluster.yaml");
    EXPECT_FALSE(in_sync());
    EXPECT_THAT(problem(), HasSubstr("cluster.yaml:3: not valid YAML"));
    replace("cluster.yaml", node("n1", 1));
    wait_until([this] { return in_sync(); });
    EXPECT_EQ(problem(), "");
}

TEST_F(FileSourceTest, HardLinkAndRestingFile_AreNoticedWithoutBeingClosed) {
    write("elsewhere", node("n1", 1));
    start("cluster.yaml");
    fs::create_hard_link(root_ / "elsewhere", root_ / "cluster.yaml");
    EXPECT_LT(wait_for_cidr("n1", 1), 400ms);
    // Created and filled without a name, then given one: only its creation is told.
    fs::remove(root_ / "cluster.yaml");
    wait_for_problem("No such file");
    const Fd fd(open(root_.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    if (!fd.valid()) {
        GTEST_SKIP() << "no O_TMPFILE on " << root_;
    }
    const auto text = node("n1", 2);
    ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    const auto by_number = fmt::format("/proc/self/fd/{}", fd.get());
    ASSERT_EQ(linkat(AT_FDCWD, by_number.c_str(), AT_FDCWD, (root_ / "cluster.yaml").c_str(), AT_SYMLINK_FOLLOW), 0);
    wait_for_cidr("n1", 2);
}

TEST_F(FileSourceTest, NeitherFileNorDirectory_IsSaid) {
    ASSERT_EQ(mkfifo((root_ / "cluster.yaml").c_str(), 0600), 0);
    start("cluster.yaml");
    EXPECT_THAT(problem(), HasSubstr("is neither a file nor a directory"));
    EXPECT_FALSE(in_sync());
}

// ---- links

// A mounted ConfigMap: cluster.yaml -> ..data/cluster.yaml, ..data -> ..version.
class ConfigMapTest : public FileSourceTest {
protected:
    void mount(const std::map<std::string, std::string>& files) {
        const auto version = fmt::format("..2026_{}", ++version_);
        fs::create_directories(root_ / "mount" / version);
        for (const auto& [name, text] : files) {
            write(fmt::format("mount/{}/{}", version, name), text);
        }
        fs::create_symlink(version, root_ / "mount/..data_tmp");
        const auto old = version_ > 1 ? fs::read_symlink(root_ / "mount/..data") : fs::path();
        fs::rename(root_ / "mount/..data_tmp", root_ / "mount/..data");
        for (const auto& [name, text] : files) {
            if (!fs::is_symlink(root_ / "mount" / name)) {
                fs::create_symlink("..data/" + name, root_ / "mount" / name);
            }
        }
        for (const auto& entry : fs::directory_iterator(root_ / "mount")) {
            const auto name = entry.path().filename().string();
            if (!name.starts_with("..") && !files.contains(name)) {
                fs::remove(entry.path());
            }
        }
        if (!old.empty()) {
            fs::remove_all(root_ / "mount" / old);
        }
    }
    int version_ = 0;
};

TEST_F(ConfigMapTest, SwapOfData_IsNoticedThroughTheFile) {
    mount({{"cluster.yaml", node("n1", 1)}});
    start("mount/cluster.yaml");
    EXPECT_TRUE(in_sync());
    for (int version = 2; version < 6; ++version) {
        mount({{"cluster.yaml", node("n1", version)}});
        EXPECT_LT(wait_for_cidr("n1", version), 400ms);
        EXPECT_EQ(problem(), "");
    }
}

TEST_F(ConfigMapTest, SwapOfData_IsNoticedThroughTheDirectory) {
    mount({{"a.yaml", node("n1", 1)}, {"b.yaml", node("n2", 2)}});
    start("mount");
    EXPECT_THAT(names(), ElementsAre("n1", "n2"));
    mount({{"a.yaml", node("n1", 3)}, {"b.yaml", node("n2", 4)}, {"c.yaml", node("n3", 5)}});
    wait_for_cidr("n3", 5);
    EXPECT_EQ(cidr_of("n1"), "10.244.3.0/24");
    mount({{"b.yaml", node("n2", 6)}});
    wait_until([this] { return source_->objects().nodes.size() == 1; });
    EXPECT_EQ(cidr_of("n2"), "10.244.6.0/24");
    wait_for_health();
}

TEST_F(FileSourceTest, LinkedDirectoryOnTheWay_IsFollowedWhenItMoves) {
    fs::create_directories(root_ / "blue");
    fs::create_directories(root_ / "green");
    write("blue/cluster.yaml", node("n1", 1));
    write("green/cluster.yaml", node("n1", 2));
    fs::create_directory_symlink("blue", root_ / "current");
    start("current/cluster.yaml");
    EXPECT_EQ(cidr_of("n1"), "10.244.1.0/24");
    fs::create_directory_symlink(root_ / "green", root_ / "next");
    fs::rename(root_ / "next", root_ / "current");
    EXPECT_LT(wait_for_cidr("n1", 2), 400ms);
    replace("green/cluster.yaml", node("n1", 3));
    EXPECT_LT(wait_for_cidr("n1", 3), 400ms);
}

TEST_F(FileSourceTest, LinksInADirectory_AreFollowedToWhereTheyPoint) {
    fs::create_directories(root_ / "state");
    fs::create_directories(root_ / "far/away");
    write("far/away/one", node("n1", 1));
    fs::create_symlink(root_ / "far/away/one", root_ / "state/one.yaml");
    start("state");
    EXPECT_EQ(cidr_of("n1"), "10.244.1.0/24");
    write("far/away/one", node("n1", 2));
    EXPECT_LT(wait_for_cidr("n1", 2), 400ms);
    fs::remove(root_ / "far/away/one");
    wait_for_problem("one.yaml: No such file");
    EXPECT_THAT(names(), ElementsAre("n1")) << "a link that leads nowhere changes nothing";
    write("far/away/one", node("n1", 3));
    wait_for_cidr("n1", 3);
    wait_for_health();
}

TEST_F(FileSourceTest, LinksThatGoInCircles_AreSaid) {
    fs::create_symlink("b", root_ / "a");
    fs::create_symlink("a", root_ / "b");
    start("a");
    EXPECT_THAT(problem(), HasSubstr("Too many levels of symbolic links"));
}

TEST_F(FileSourceTest, Reload_NoticesWhatNoEventTold) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    const auto before = changes_;
    source_->reload();
    run_for(50ms);
    EXPECT_EQ(changes_, before) << "nothing changed";
    EXPECT_THAT(names(), ElementsAre("n1"));
}

// Not by counting wake-ups: whoever else makes files in the directories on the way wakes it too.
TEST_F(FileSourceTest, IdleSource_ArmsNoTimer) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    // What came at the start may still be handled.
    const auto late = std::chrono::steady_clock::now() + 10s;
    while (test::first_timer() && std::chrono::steady_clock::now() < late) {
        run_for(20ms);
    }
    EXPECT_EQ(test::first_timer(), std::nullopt) << "it would wake without an event";
    auto armed = loop_->every(1h, [] {});
    EXPECT_GT(test::first_timer(), 59min) << "an armed timer is seen";
}

TEST_F(FileSourceTest, IdleSource_DoesNotSpin) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    const auto cpu_time = [] {
        timespec now{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
    };
    const auto before = cpu_time();
    run_for(500ms);
    EXPECT_LT(cpu_time() - before, 250ms);
}

// ---- the way along a path

TEST_F(FileSourceTest, PathWalk_NamesEveryLookup) {
    fs::create_directories(root_ / "real/deep");
    write("real/deep/file", "x");
    fs::create_directory_symlink("real", root_ / "link");
    fs::create_symlink("../deep/file", root_ / "real/deep/name");
    const auto walk = walk_path((root_ / "link/deep/./name").string());
    EXPECT_EQ(walk.target, PathWalk::Target::file);
    EXPECT_EQ(walk.real_path, (root_ / "real/deep/file").string());
    std::vector<Lookup> in_root;
    for (const auto& lookup : walk.lookups) {
        if (lookup.directory.starts_with(root_.string())) {
            in_root.push_back({lookup.directory.substr(root_.string().size()), lookup.name});
        }
    }
    EXPECT_THAT(in_root,
                ElementsAre(Lookup{"", "link"}, Lookup{"", "real"}, Lookup{"/real", "deep"},
                            Lookup{"/real/deep", "name"}, Lookup{"/real", "deep"}, Lookup{"/real/deep", "file"}));
    EXPECT_EQ(walk_path((root_ / "real/deep/file/below").string()).error, ENOTDIR);
    EXPECT_EQ(walk_path((root_ / "real/none/below").string()).error, ENOENT);
}

}  // namespace
}  // namespace podlane
