// SPDX-License-Identifier: Apache-2.0
// The Debian package that `cpack -G DEB` makes of this build, and the unit in it. No network.
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/net/harness/namespace.h"
#include "test/net/harness/process.h"
#include "test/net/harness/temp_dir.h"

namespace podlane::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// "-rw-r--r-- root/root ./etc/x" of each file in what `dpkg-deb -c` prints, sorted by name.
std::vector<std::string> files_in(const std::string& listing) {
    std::vector<std::string> result;
    std::istringstream lines(listing);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string mode;
        std::string owner;
        std::string size;
        std::string day;
        std::string time;
        std::string name;
        words >> mode >> owner >> size >> day >> time >> name;
        if (mode[0] != 'd') {
            result.push_back(fmt::format("{} {} {}", mode, owner, name));
        }
    }
    return result;
}

class PackageTest : public testing::Test {
protected:
    void SetUp() override {
        must_run(ns_,
                 {"cpack", "-G", "DEB", "--config", fmt::format("{}/CPackConfig.cmake", PODLANE_BUILD_DIR), "-B",
                  files_.path().string()},
                 {.input = "", .environment = {}, .timeout = std::chrono::seconds(60)});
        const auto architecture = must_run(ns_, {"dpkg", "--print-architecture"});
        package_ = (files_.path() /
                    fmt::format("podlane_{}_{}.deb", PODLANE_VERSION, architecture.substr(0, architecture.find('\n'))))
                       .string();
    }
    [[nodiscard]] std::string field(const std::string& name) const {
        return must_run(ns_, {"dpkg-deb", "-f", package_, name});
    }

    Namespace ns_{"package"};
    TempDir files_{"package"};
    std::string package_;
};

TEST_F(PackageTest, Package_HasProgramsUnitAndConfigurationWhereDebianHasThem) {
    EXPECT_THAT(files_in(must_run(ns_, {"dpkg-deb", "-c", package_})),
                ElementsAre("-rw-r--r-- root/root ./etc/podlane/podlane.yaml",
                            "-rw-r--r-- root/root ./lib/systemd/system/podlane-agent.service",
                            "-rwxr-xr-x root/root ./usr/bin/agentctl", "-rwxr-xr-x root/root ./usr/lib/cni/podlane",
                            "-rwxr-xr-x root/root ./usr/sbin/podlane-agent",
                            "-rw-r--r-- root/root ./usr/share/doc/podlane/copyright"));
    const auto depends = field("Depends");
    for (const auto* library :
         {"libbpf1 (>= 1:1.4", "libc6 (>=", "libcurl4 (>=", "libfmt9 (>=", "libip4tc2 (>=", "libmicrohttpd12 (>=",
          "libmnl0 (>=", "libstdc++6 (>=", "libyaml-0-2", "libyaml-cpp0.7 (>=", "containernetworking-plugins"}) {
        EXPECT_THAT(depends, HasSubstr(library));
    }

    const auto root = (files_.path() / "root").string();
    must_run(ns_, {"dpkg-deb", "-R", package_, root});
    EXPECT_EQ(must_run(ns_, {"cat", root + "/DEBIAN/conffiles"}), "/etc/podlane/podlane.yaml\n");
    for (const auto* script : {"postinst", "prerm", "postrm"}) {
        const auto checked = run(ns_, {"shellcheck", root + "/DEBIAN/" + script});
        EXPECT_EQ(checked.status, 0) << checked.describe();
    }
    const auto good =
        run(ns_, {root + "/usr/sbin/podlane-agent", "--config", root + "/etc/podlane/podlane.yaml", "--check-config"});
    EXPECT_EQ(good.status, 0) << good.describe();

    // An agent waits for its Node, which a kubelet may have to make; and one that fails at first is tried again.
    const auto unit = must_run(ns_, {"cat", root + "/lib/systemd/system/podlane-agent.service"});
    EXPECT_THAT(unit, testing::AllOf(HasSubstr("\nStartLimitIntervalSec=0\n"), testing::Not(HasSubstr("kubelet"))));
    // The unit, as on a node that has the package.
    if (run(ns_, {"systemd-analyze", "--version"}).status == 0) {
        const std::string script = R"(mount -t overlay -o lowerdir=$0/usr/sbin:/usr/sbin overlay /usr/sbin
            exec systemd-analyze verify $0/lib/systemd/system/podlane-agent.service)";
        const auto verified = run(ns_, {"unshare", "--mount", "--propagation", "private", "sh", "-ec", script, root});
        EXPECT_EQ(verified.status, 0) << verified.describe();
        EXPECT_THAT(verified.err, testing::Not(HasSubstr("podlane-agent.service"))) << verified.describe();
    }
}

TEST(Install, Programs_AreBelowThePrefixAndNothingElseIs) {
    const Namespace ns("install");
    const TempDir files("install");
    must_run(ns, {"cmake", "--install", PODLANE_BUILD_DIR, "--prefix", "/usr/local"},
             {.input = "", .environment = {"DESTDIR=" + files.path().string()}});
    const auto listed = must_run(ns, {"sh", "-c", "cd $0 && find . -type f | sort", files.path().string()});
    EXPECT_EQ(listed, "./usr/local/bin/agentctl\n./usr/local/lib/cni/podlane\n./usr/local/sbin/podlane-agent\n");
}

}  // namespace
}  // namespace podlane::net
