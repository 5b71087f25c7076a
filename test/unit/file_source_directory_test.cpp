// SPDX-License-Identifier: Apache-2.0
// The state as a directory of files.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/unit/file_source_fixture.h"

namespace podlane {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::FileSourceTest;
using test::node;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(FileSourceTest, Directory_OnlyStateFilesCount) {
    fs::create_directories(root_ / "state/sub.d");
    write("state/a.yaml", node("a", 1));
    write("state/b.yml", node("b", 2));
    write("state/c.json", R"({"kind":"Node","metadata":{"name":"c"},"spec":{"podCIDR":"10.244.3.0/24"}})");
    write("state/.hidden.yaml", node("hidden", 4));
    write("state/notes.txt", "not a state");
    write("state/a.yaml~", "broken: [");
    write("state/sub.d/d.yaml", node("d", 5));
    start("state");
    EXPECT_THAT(names(), ElementsAre("a", "b", "c"));
    EXPECT_TRUE(in_sync());
}

TEST_F(FileSourceTest, Directory_FilesComeChangeAndGo) {
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 1));
    write("state/b.yaml", node("b", 2));
    start("state");
    write("state/c.yaml", node("c", 3));
    EXPECT_LT(wait_for_cidr("c", 3), 3s);
    replace("state/a.yaml", node("a", 4));
    EXPECT_LT(wait_for_cidr("a", 4), 3s);
    fs::remove(root_ / "state/b.yaml");
    EXPECT_LT(wait_until([this] { return !source_->objects().nodes.contains("b"); }), 3s);
    fs::rename(root_ / "state/c.yaml", root_ / "state/d.yaml");
    wait_until([this] { return !source_->objects().nodes.contains("b") && cidr_of("c") == "10.244.3.0/24"; });
    EXPECT_EQ(problem(), "");
}

TEST_F(FileSourceTest, Directory_FileThatAnEditorWritesAnew_NeverLosesItsNode) {
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 1));
    write("state/b.yaml", node("b", 2));
    start("state");
    bool lost = false;
    source_->on_change([&] { lost |= !source_->objects().nodes.contains("b"); });
    fs::rename(root_ / "state/b.yaml", root_ / "state/b.yaml~");
    run_for(60ms);
    std::ofstream file(root_ / "state/b.yaml");
    run_for(300ms);
    file << node("b", 3);
    file.close();
    wait_for_cidr("b", 3);
    EXPECT_FALSE(lost);
}

TEST_F(FileSourceTest, Directory_OneBrokenFileChangesNothingElse) {
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 1));
    write("state/b.yaml", node("b", 2));
    start("state");
    write("state/b.yaml", "kind: [");
    wait_for_problem("b.yaml:");
    write("state/c.yaml", "");
    wait_for_problem("(and 1 more bad files)");
    write("state/a.yaml", node("a", 3));
    wait_for_cidr("a", 3);
    EXPECT_EQ(cidr_of("b"), "10.244.2.0/24");
    fs::remove(root_ / "state/c.yaml");
    write("state/b.yaml", node("b", 4));
    wait_for_cidr("b", 4);
    wait_for_health();
}

TEST_F(FileSourceTest, Directory_BrokenFileAtStart_IsNotInSync) {
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 1));
    write("state/b.yaml", "kind: [");
    start("state");
    EXPECT_THAT(names(), ElementsAre("a"));
    EXPECT_FALSE(in_sync());
    fs::remove(root_ / "state/b.yaml");
    wait_for_health();
}

TEST_F(FileSourceTest, Directory_SameNodeTwice_FirstFileWinsWithAWarning) {
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("n1", 1));
    write("state/b.yaml", node("n1", 2));
    start("state");
    EXPECT_EQ(cidr_of("n1"), "10.244.1.0/24");
    ASSERT_THAT(source_->health().warnings, SizeIs(1));
    EXPECT_EQ(source_->health().warnings[0].to_string(),
              fmt::format("node n1: metadata.name: is defined twice: the one at {0}/a.yaml:1 counts ({0}/b.yaml:1)",
                          (root_ / "state").string()));
    fs::remove(root_ / "state/a.yaml");
    wait_for_cidr("n1", 2);
    EXPECT_THAT(source_->health().warnings, IsEmpty());
}

TEST_F(FileSourceTest, Directory_BadObjectIsAWarningAndStaysOut) {
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 1) + "---\nkind: Node\nmetadata: {name: b}\nspec: {podCIDRs: 5}\n");
    start("state");
    EXPECT_THAT(names(), ElementsAre("a"));
    EXPECT_TRUE(in_sync());
    ASSERT_THAT(source_->health().warnings, SizeIs(1));
    EXPECT_EQ(source_->health().warnings[0].object, "node b");
}

TEST_F(FileSourceTest, EmptyDirectory_IsNotInSyncAndComesUp) {
    fs::create_directories(root_ / "state");
    start("state");
    EXPECT_FALSE(in_sync());
    EXPECT_THAT(problem(), HasSubstr("holds no state file"));
    write("state/a.yaml", node("a", 1));
    wait_for_health();
}

TEST_F(FileSourceTest, EmptiedDirectory_KeepsTheLastGoodState) {
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 1));
    write("state/b.yaml", node("b", 2));
    start("state");
    fs::remove(root_ / "state/a.yaml");
    fs::remove(root_ / "state/b.yaml");
    wait_for_problem("holds no state file");
    EXPECT_THAT(names(), ElementsAre("a", "b"));
    write("state/c.yaml", node("c", 3));
    wait_for_cidr("c", 3);
    wait_until([this] { return source_->objects().nodes.size() == 1; });
    wait_for_health();
}

TEST_F(FileSourceTest, MovedDirectory_KeepsTheLastGoodStateAndIsFoundAgain) {
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 1));
    start("state");
    fs::rename(root_ / "state", root_ / "old");
    wait_for_problem("No such file");
    EXPECT_THAT(names(), ElementsAre("a"));
    write("old/a.yaml", node("a", 2));
    run_for(100ms);
    EXPECT_EQ(cidr_of("a"), "10.244.1.0/24") << "what was moved away is not the state any more";
    fs::create_directories(root_ / "new");
    write("new/a.yaml", node("a", 3));
    fs::rename(root_ / "new", root_ / "state");
    wait_for_cidr("a", 3);
    wait_for_health();
    write("state/a.yaml", node("a", 4));
    EXPECT_LT(wait_for_cidr("a", 4), 3s);
}

TEST_F(FileSourceTest, DirectoryReplacedWhileSomebodyHoldsIt_IsFollowed) {
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 1));
    start("state");
    const Fd holder(open((root_ / "state").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    fs::remove_all(root_ / "state");
    run_for(50ms);
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 2));
    wait_for_cidr("a", 2);
}

TEST_F(FileSourceTest, FileThatBecomesADirectory_IsFollowed) {
    write("state", node("a", 1));
    start("state");
    fs::remove(root_ / "state");
    fs::create_directories(root_ / "state");
    write("state/b.yaml", node("b", 2));
    wait_until([this] { return source_->objects().nodes.size() == 1 && cidr_of("b") == "10.244.2.0/24"; });
    wait_for_health();
}

TEST_F(FileSourceTest, MoreEventsThanTheKernelKeeps_AreMadeUpForByLookingAtEverything) {
    unsigned most_events = 0;
    std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> most_events;
    if (most_events == 0 || most_events > 40'000) {
        GTEST_SKIP() << "fs.inotify.max_queued_events is " << most_events;
    }
    fs::create_directories(root_ / "state");
    write("state/a.yaml", node("a", 1));
    write("state/b.yaml", node("b", 2));
    start("state");
    // Alternating names, so that the kernel cannot merge the events.
    for (unsigned i = 0; i < most_events / 2 + 100; ++i) {
        ASSERT_EQ(mknod((root_ / "state/x.yaml").c_str(), S_IFREG | 0600, 0), 0);
        ASSERT_EQ(unlink((root_ / "state/x.yaml").c_str()), 0);
    }
    replace("state/a.yaml", node("a", 7));
    fs::remove(root_ / "state/b.yaml");
    write("state/c.yaml", node("c", 8));
    wait_for_cidr("a", 7);
    wait_for_cidr("c", 8);
    wait_until([this] { return !source_->objects().nodes.contains("b"); });
    wait_for_health();
}

// Bytes that this process has read, from files and all else.
unsigned long bytes_read() {
    std::ifstream io("/proc/self/io");
    std::string label;
    unsigned long bytes = 0;
    io >> label >> bytes;
    EXPECT_EQ(label, "rchar:");
    return bytes;
}

TEST_F(FileSourceTest, Directory_OnlyChangedFilesAreReadAgain) {
    constexpr int files = 2000;
    fs::create_directories(root_ / "state");
    for (int i = 0; i < files; ++i) {
        write(fmt::format("state/n{}.yaml", i), node(fmt::format("n{}", i), i % 250));
    }
    const auto before_start = bytes_read();
    start("state");
    ASSERT_THAT(source_->objects().nodes, SizeIs(files));
    const auto before_change = bytes_read();
    write("state/n7.yaml", node("n7", 251));
    EXPECT_LT(wait_for_cidr("n7", 251), 3s);
    EXPECT_LT(bytes_read() - before_change, (before_change - before_start) / 20);
}

}  // namespace
}  // namespace podlane
