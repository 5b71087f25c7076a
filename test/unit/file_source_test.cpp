// SPDX-License-Identifier: Apache-2.0
// Real files, real inotify: each test has a directory of its own.
#include "agent/source/file_source.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/source/path_walk.h"

namespace podlane {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// One Node as YAML; its podCIDR tells versions of it apart.
std::string node(const std::string& name, int third_octet) {
    return fmt::format(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {0}}}\nspec: {{podCIDR: 10.244.{1}.0/24}}\n"
        "status: {{addresses: [{{type: InternalIP, address: 192.168.0.{1}}}]}}\n",
        name, third_octet);
}

class FileSourceTest : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "podlane-file-source-XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        root_ = fs::canonical(pattern);
        loop_ = EventLoop::create().value();
    }
    void TearDown() override {
        source_.reset();
        fs::remove_all(root_);
    }

    void write(const std::string& name, const std::string& text) const {
        std::ofstream(root_ / name, std::ios::trunc | std::ios::binary) << text;
    }
    // As editors and config tools do: a temporary file, renamed over the old one.
    void replace(const std::string& name, const std::string& text) const {
        const auto temporary = root_ / (fs::path(name).parent_path() / ".new");
        std::ofstream(temporary, std::ios::binary) << text;
        fs::rename(temporary, root_ / name);
    }

    void start(const std::string& path) {
        source_ = FileSource::create(*loop_, {.path = (root_ / path).string(), .node_name = "n1"}).value();
        source_->on_change([this] { ++changes_; });
        ASSERT_TRUE(source_->start().has_value());
    }

    // Runs the loop until the condition holds; how long that took, or a failure after five seconds.
    std::chrono::milliseconds wait_until(const std::function<bool()>& condition) {
        constexpr auto longest = 5s;
        const auto began = std::chrono::steady_clock::now();
        bool held = false;
        auto poll = loop_->every(2ms, [&] {
            held = condition();
            if (held || std::chrono::steady_clock::now() - began > longest) {
                loop_->stop();
            }
        });
        EXPECT_TRUE(loop_->run().has_value());
        EXPECT_TRUE(held) << "problem: " << source_->health().problem;
        return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
    }
    void run_for(std::chrono::milliseconds time) {
        auto timer = loop_->after(time, [this] { loop_->stop(); });
        EXPECT_TRUE(loop_->run().has_value());
    }
    std::chrono::milliseconds wait_for_cidr(const std::string& name, int third_octet) {
        return wait_until([=, this] { return cidr_of(name) == fmt::format("10.244.{}.0/24", third_octet); });
    }
    std::chrono::milliseconds wait_for_problem(const std::string& part) {
        return wait_until([=, this] { return problem().find(part) != std::string::npos; });
    }
    void wait_for_health() {
        wait_until([this] { return problem().empty() && source_->health().in_sync; });
    }

    std::string cidr_of(const std::string& name) const {
        const auto found = source_->objects().nodes.find(name);
        return found == source_->objects().nodes.end() ? "none" : found->second.pod_cidrs.front();
    }
    std::vector<std::string> names() const {
        std::vector<std::string> result;
        for (const auto& [name, object] : source_->objects().nodes) {
            result.push_back(name);
        }
        return result;
    }
    const std::string& problem() const { return source_->health().problem; }
    bool in_sync() const { return source_->health().in_sync; }

    fs::path root_;
    std::unique_ptr<EventLoop> loop_;
    std::unique_ptr<FileSource> source_;
    int changes_ = 0;
};

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
    EXPECT_LT(wait_for_cidr("n1", 2), 200ms);
}

TEST_F(FileSourceTest, AtomicRename_IsNoticed) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    for (int version = 2; version < 6; ++version) {
        replace("cluster.yaml", node("n1", version));
        EXPECT_LT(wait_for_cidr("n1", version), 200ms);
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
    EXPECT_LT(wait_for_cidr("n1", 1), 200ms);
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
            write("mount/" + version + "/" + name, text);
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
        EXPECT_LT(wait_for_cidr("n1", version), 200ms);
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
    EXPECT_LT(wait_for_cidr("n1", 2), 200ms);
    replace("green/cluster.yaml", node("n1", 3));
    EXPECT_LT(wait_for_cidr("n1", 3), 200ms);
}

TEST_F(FileSourceTest, LinksInADirectory_AreFollowedToWhereTheyPoint) {
    fs::create_directories(root_ / "state");
    fs::create_directories(root_ / "far/away");
    write("far/away/one", node("n1", 1));
    fs::create_symlink(root_ / "far/away/one", root_ / "state/one.yaml");
    start("state");
    EXPECT_EQ(cidr_of("n1"), "10.244.1.0/24");
    write("far/away/one", node("n1", 2));
    EXPECT_LT(wait_for_cidr("n1", 2), 200ms);
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

// ---- a directory

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
    EXPECT_LT(wait_for_cidr("c", 3), 200ms);
    replace("state/a.yaml", node("a", 4));
    EXPECT_LT(wait_for_cidr("a", 4), 200ms);
    fs::remove(root_ / "state/b.yaml");
    EXPECT_LT(wait_until([this] { return !source_->objects().nodes.contains("b"); }), 800ms);
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
    EXPECT_LT(wait_for_cidr("a", 4), 200ms);
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

TEST_F(FileSourceTest, Reload_NoticesWhatNoEventTold) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    const auto before = changes_;
    source_->reload();
    run_for(50ms);
    EXPECT_EQ(changes_, before) << "nothing changed";
    EXPECT_THAT(names(), ElementsAre("n1"));
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
    EXPECT_LT(wait_for_cidr("n7", 251), 200ms);
    EXPECT_LT(bytes_read() - before_change, (before_change - before_start) / 20);
}

TEST_F(FileSourceTest, IdleSource_SleepsThrough) {
    write("cluster.yaml", node("n1", 1));
    start("cluster.yaml");
    run_for(300ms);
    const auto switches = [] {
        rusage usage{};
        getrusage(RUSAGE_SELF, &usage);
        return usage.ru_nvcsw;
    };
    const auto before = switches();
    run_for(1000ms);
    EXPECT_LE(switches() - before, 3) << "only the test's own timer wakes the loop";
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
    EXPECT_THAT(in_root, ElementsAre(Lookup{"", "link"}, Lookup{"", "real"}, Lookup{"/real", "deep"},
                                     Lookup{"/real/deep", "name"}, Lookup{"/real", "deep"},
                                     Lookup{"/real/deep", "file"}));
    EXPECT_EQ(walk_path((root_ / "real/deep/file/below").string()).error, ENOTDIR);
    EXPECT_EQ(walk_path((root_ / "real/none/below").string()).error, ENOENT);
}

}  // namespace
}  // namespace podlane
