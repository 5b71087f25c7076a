// SPDX-License-Identifier: Apache-2.0
// Cleanup, and the record that it works from; the scene is in link_scene.h.
#include <sys/stat.h>

#include <filesystem>

#include <gmock/gmock.h>

#include "test/net/link_scene.h"

namespace podlane::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LinkCleanupTest : public LinkSceneTest {};

TEST_F(LinkCleanupTest, WhatOthersMade_IsNeverTouched) {
    ip("route add 10.244.77.0/24 dev eth0 proto static");
    ip("route add 10.244.0.0/16 dev eth0 metric 5");
    ip("neigh add 10.0.0.9 dev eth0 lladdr 02:00:00:00:00:09 nud permanent");
    ip("neigh add 10.244.1.9 dev veth5 lladdr 02:00:00:00:00:09 nud stale");
    const auto foreign = [&] {
        return ip("route show proto static") + ip("route show proto boot") + ip("neigh show dev eth0") +
               ip("neigh show nud stale");
    };
    const auto before = foreign();
    EXPECT_THAT(problems(reconcile(wanted())), IsEmpty());
    EXPECT_EQ(foreign(), before);
    EXPECT_THAT(ip("route get 10.244.9.9"), HasSubstr("dev eth0")) << "a real route to the clusterCIDR wins";
    ASSERT_TRUE(
        succeeded(reconciler_.cleanup({.overlay_device = "podlane0", .pod_devices = {"veth5"}}, CleanupMode::remove)));
    EXPECT_EQ(foreign(), before);
}

TEST_F(LinkCleanupTest, Cleanup_RemovesWhatIsOursAndPutsForwardingBack) {
    const auto list = [&] { return ip("-o link show") + ip("route show") + ip("neigh show nud permanent"); };
    const auto before = list();
    reconcile(wanted());
    struct stat status{};
    ASSERT_EQ(::stat(record_path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
    reconcile(wanted());
    const CleanupScope scope{.overlay_device = "podlane0", .pod_devices = {"veth5"}};
    const auto in_place = list();
    const auto planned = reconciler_.cleanup(scope, CleanupMode::dry_run);
    ASSERT_TRUE(succeeded(planned));
    EXPECT_EQ(list(), in_place) << "a dry run changes nothing";
    EXPECT_EQ(get_sysctl(ns_, "net/ipv4/ip_forward"), "1");
    const auto done = reconciler_.cleanup(scope, CleanupMode::remove);
    ASSERT_TRUE(succeeded(done));
    EXPECT_EQ(planned->removed, done->removed);
    EXPECT_THAT(done->errors, IsEmpty());
    EXPECT_THAT(done->removed, ElementsAre("delete route unreachable 10.244.0.0/16 metric 4294967295",
                                           "delete route 10.244.1.5/32 dev veth5 src 10.0.0.1",
                                           "delete route 10.244.2.0/24 dev podlane0 src 10.0.0.1",
                                           "delete route 10.244.3.0/24 dev podlane0 src 10.0.0.1 mtu 1400",
                                           "delete neighbour 10.244.1.5 dev veth5 lladdr 02:00:00:00:00:05",
                                           "delete address 10.0.0.1/32 dev podlane0", "delete link podlane0",
                                           "set net/ipv4/ip_forward back to 0"));
    EXPECT_EQ(list(), before);
    EXPECT_EQ(get_sysctl(ns_, "net/ipv4/ip_forward"), "0");
    EXPECT_FALSE(std::filesystem::exists(record_path_));
    EXPECT_THAT(reconciler_.cleanup(scope, CleanupMode::remove)->removed, IsEmpty()) << "nothing is left";
}

TEST_F(LinkCleanupTest, CleanupWithAForeignDeviceOfOurName_LeavesIt) {
    ip("link add podlane0 type bridge");
    const auto done = reconciler_.cleanup({.overlay_device = "podlane0", .pod_devices = {}}, CleanupMode::remove);
    ASSERT_TRUE(succeeded(done));
    EXPECT_THAT(done->removed, IsEmpty());
    EXPECT_NE(ifindex("podlane0"), 0U);
}

TEST_F(LinkCleanupTest, OverlayDeviceOfAnEarlierName_GoesOnceSourcesAreInSync) {
    reconcile(wanted());
    auto renamed = inputs();
    renamed.overlay->name = "pods0";
    ip("link add other type vxlan id 7 dstport 4789 dev eth0");
    const auto waiting = reconciler_.reconcile(build_host_network(renamed), Sweep::keep);
    ASSERT_TRUE(succeeded(waiting));
    EXPECT_NE(ifindex("podlane0"), 0U);
    EXPECT_THAT(problems(reconcile(build_host_network(renamed))), IsEmpty());
    EXPECT_EQ(ifindex("podlane0"), 0U);
    EXPECT_NE(ifindex("pods0"), 0U);
    EXPECT_NE(ifindex("other"), 0U) << "somebody else's";
    EXPECT_THAT(not_ok(build_host_network(renamed)), IsEmpty());
    const auto done = reconciler_.cleanup({.overlay_device = "podlane0", .pod_devices = {}}, CleanupMode::remove);
    ASSERT_TRUE(succeeded(done));
    EXPECT_EQ(ifindex("pods0"), 0U) << "cleanup with the earlier configuration";
}

TEST_F(LinkCleanupTest, FirstValueOfASetting_IsTheOneThatCleanupPutsBack) {
    set_sysctl(ns_, "net/ipv4/ip_forward", "0");
    reconcile(wanted());
    set_sysctl(ns_, "net/ipv4/ip_forward", "0");
    reconcile(wanted());
    EXPECT_EQ(SysctlRecord(record_path_).load(), (std::map<std::string, std::string>{{"net/ipv4/ip_forward", "0"}}));
}

TEST_F(LinkCleanupTest, SettingWhoseValueCannotBeRecorded_IsNotChanged) {
    LinkReconciler blind(socket(), SysctlRecord("/nonexistent/sysctls.json"));
    const auto report = blind.reconcile(wanted(), Sweep::remove);
    ASSERT_TRUE(succeeded(report));
    EXPECT_THAT(problems(*report), ElementsAre(HasSubstr("net/ipv4/ip_forward stays 0, its value cannot be recorded")));
    EXPECT_EQ(get_sysctl(ns_, "net/ipv4/ip_forward"), "0");
}

}  // namespace
}  // namespace podlane::net
