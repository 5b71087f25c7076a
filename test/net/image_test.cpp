// SPDX-License-Identifier: Apache-2.0
// The image's root file system as deploy/image/rootfs.sh makes it of this build, run without a container runtime.
//
//   pod a --- node 1 === VXLAN === node 2 --- pod b          both agents are in the image: see in_image.sh
#include <sys/stat.h>

#include <fstream>
#include <memory>

#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include "test/net/harness/sandbox.h"
#include "test/net/harness/temp_dir.h"
#include "test/net/harness/two_nodes.h"
#include "test/net/manifests.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

unsigned mode_of(const std::filesystem::path& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
}

ino_t inode_of(const std::filesystem::path& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

// One for all tests of this process.
const std::filesystem::path& image() {
    static const auto path = [] {
        const Namespace ns("image");
        auto root = scratch_dir() / "image";
        must_run(ns, {(deploy_dir() / "image/rootfs.sh").string(), PODLANE_BUILD_DIR, root.string()});
        return root;
    }();
    return path;
}

// The manifest's, as capsh names them: "cap_net_admin,cap_bpf".
std::string capabilities() {
    std::vector<std::string> names;
    for (const auto& name : texts(Manifest("podlane.yaml").agent()["securityContext"]["capabilities"]["add"])) {
        names.push_back("cap_" + name);
        std::ranges::transform(names.back(), names.back().begin(), [](unsigned char c) { return std::tolower(c); });
    }
    return fmt::format("{}", fmt::join(names, ","));
}

class ImageTest : public testing::Test {
protected:
    // In the image, and nowhere else.
    [[nodiscard]] Completed run_inside(std::vector<std::string> argv, const RunOptions& options = {}) const {
        argv.insert(argv.begin(), {"chroot", image().string()});
        return run(ns_, argv, options);
    }
    Namespace ns_{"image"};
};

TEST_F(ImageTest, Programs_RunWithNothingElse) {
    EXPECT_EQ(run_inside({"/usr/sbin/podlane-agent", "--version"}).out, "podlane-agent " PODLANE_VERSION "\n");
    const auto version = run_inside({"/usr/bin/agentctl", "version"});
    EXPECT_THAT(version.out, HasSubstr(PODLANE_VERSION)) << version.describe();
    const auto plugin = run_inside({"/usr/lib/cni/podlane"},
                                   {.input = R"({"cniVersion":"1.0.0"})", .environment = {"CNI_COMMAND=VERSION"}});
    EXPECT_THAT(plugin.out, HasSubstr("1.1.0")) << plugin.describe();
}

TEST_F(ImageTest, Root_HasWhatRunsAndNoToolToBuildWith) {
    std::set<std::string> programs;
    for (const auto* folder : {"usr/bin", "usr/sbin", "usr/lib/cni", "usr/lib/podlane"}) {
        for (const auto& file : std::filesystem::directory_iterator(image() / folder)) {
            if (!file.is_symlink()) {
                programs.insert(file.path().filename());
            }
        }
    }
    EXPECT_THAT(programs, testing::IsSupersetOf({"podlane-agent", "agentctl", "podlane", "prepare-node", "busybox"}));
    for (const auto* absent : {"gcc", "g++", "cc1", "clang", "clang-19", "ld", "bpftool", "apt-get", "dpkg", "perl"}) {
        EXPECT_FALSE(programs.contains(absent)) << absent;
    }
    EXPECT_FALSE(std::filesystem::exists(image() / "usr/include"));
    EXPECT_FALSE(std::filesystem::exists(image() / "usr/src"));
    EXPECT_THAT(text_of(image() / "etc/ssl/certs/ca-certificates.crt"), HasSubstr("BEGIN CERTIFICATE"));
    for (const auto& file : std::filesystem::recursive_directory_iterator(image() / "usr")) {
        EXPECT_FALSE(file.is_regular_file() && !file.is_symlink() && (mode_of(file.path()) & 06000U) != 0)
            << file.path();
    }
}

// prepare-node on a node whose /opt, /etc and /sys/fs are in folders of the test's.
class PrepareNodeTest : public ImageTest {
protected:
    void SetUp() override {
        for (const auto* folder : {"config", "host/opt/cni/bin", "host/sys/fs/bpf"}) {
            std::filesystem::create_directories(node_.path() / folder);
        }
        const auto data = Manifest("podlane.yaml").of_kind("ConfigMap")["data"];
        write_file_atomically(node_.path() / "config/05-podlane.conflist",
                              data["05-podlane.conflist"].as<std::string>());
    }
    void add_plugin(const std::string& name) const {
        const auto path = plugins() / name;
        std::ofstream(path) << name;
        std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    }
    // How often a bpffs is mounted at the node's afterwards, and what one sees there, are the last lines of the output.
    [[nodiscard]] Completed prepare() const {
        return run(ns_, {"unshare", "--mount", "--propagation", "private", "sh", "-ec",
                         "mount --bind $0 $0; mount --rbind $1/host $0/host; mount --bind $1/config $0/etc/podlane\n"
                         "mount -t proc proc $0/proc; mount -o remount,bind,ro $0\n"
                         "chroot $0 /usr/lib/podlane/prepare-node\n"
                         "chroot $0 /usr/lib/podlane/prepare-node\n"
                         "grep -c \" $0/host/sys/fs/bpf bpf \" /proc/self/mounts; stat -f -c %T $0/host/sys/fs/bpf",
                         image().string(), node_.path().string()});
    }
    [[nodiscard]] std::filesystem::path plugins() const { return node_.path() / "host/opt/cni/bin"; }

    TempDir node_{"node"};
};

TEST_F(PrepareNodeTest, Node_GetsPluginAndBpffs) {
    add_plugin("host-local");
    add_plugin("portmap");
    const auto prepared = prepare();
    ASSERT_EQ(prepared.status, 0) << prepared.describe();
    EXPECT_THAT(prepared.out, testing::EndsWith("\n1\nbpf_fs\n"));
    EXPECT_EQ(text_of(plugins() / "podlane"), text_of(image() / "usr/lib/cni/podlane"));
    EXPECT_EQ(mode_of(plugins() / "podlane"), 0755U);
    EXPECT_FALSE(std::filesystem::exists(node_.path() / "host/etc")) << "the agent's, once pods can come";
    const auto first = inode_of(plugins() / "podlane");
    ASSERT_EQ(prepare().status, 0);
    EXPECT_EQ(inode_of(plugins() / "podlane"), first) << "written again, though nothing had changed";
}

TEST_F(PrepareNodeTest, OldPluginThatRuns_StaysWholeForWhoHasItOpen) {
    add_plugin("host-local");
    add_plugin("portmap");
    add_plugin("podlane");
    std::ifstream open_before(plugins() / "podlane");
    ASSERT_EQ(prepare().status, 0);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(open_before), {}), "podlane");
    EXPECT_EQ(text_of(plugins() / "podlane"), text_of(image() / "usr/lib/cni/podlane"));
    EXPECT_FALSE(std::filesystem::exists(plugins() / ".podlane.new"));
}

TEST_F(PrepareNodeTest, PluginThatIsNotThere_IsNamed) {
    add_plugin("host-local");
    const auto prepared = prepare();
    EXPECT_NE(prepared.status, 0);
    EXPECT_THAT(prepared.err, HasSubstr("the CNI plugin portmap is not in /opt/cni/bin"));
}

class ImageAgentTest : public TwoNodes {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        return {.extra_config = "",
                .agent = {PODLANE_SOURCE_DIR "/test/net/in_image.sh", image().string(), capabilities()}};
    }
    // "CapBnd:\t000000c000003000" of the agent, decoded.
    std::string bounding_set(Node& node) {
        const auto status = text_of(fmt::format("/proc/{}/status", node.agent().pid()));
        const auto at = status.find("CapBnd:\t") + 8;
        const auto decoded = must_run(node.ns(), {"capsh", "--decode=" + status.substr(at, 16)});
        return decoded.substr(decoded.find('=') + 1);
    }
};

TEST_F(ImageAgentTest, AgentsWithTheManifestsCapabilities_CarryPodsPackets) {
    expect_ping(pod_a().ns(), pod_b().address());
    expect_ping(node(1).ns(), pod_b().address());
    EXPECT_EQ(get_sysctl(node(1).ns(), "net/ipv4/ip_forward"), "1");
    auto left = bounding_set(node(1));
    EXPECT_EQ(std::ranges::count(left, ','), std::ranges::count(capabilities(), ',')) << left;
    EXPECT_THAT(left, testing::Not(HasSubstr("sys_admin")));
    // The next agent finds pins, devices and programs.
    EXPECT_EQ(node(1).stop_agent(), 0);
    expect_ping(pod_a().ns(), pod_b().address());
    node(1).start_agent();
    node(1).wait_ready();
    Pod& late = node(1).add_pod("late");
    expect_ping(late.ns(), pod_b().address());
}

class ImageAgentOnOldKernelTest : public ImageAgentTest {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        auto options = ImageAgentTest::options();
        options.without = {"tcx"};
        return options;
    }
};

TEST_F(ImageAgentOnOldKernelTest, AgentsThatAttachByClsact_CarryPodsPackets) {
    expect_ping(pod_a().ns(), pod_b().address());
}

}  // namespace
}  // namespace podlane::net
