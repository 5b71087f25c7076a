// SPDX-License-Identifier: Apache-2.0
// What the plugin does when something is missing, in the way, or gone: one clear error, and nothing left behind.
//
//   container c1 eth0 --- pl............. node 1 (podCIDR 10.244.1.0/24, podlane-agent)
#include <fstream>
#include <set>

#include "test/net/cni_runtime.h"

namespace podlane::net {
namespace {

class CniFailureTest : public CniNode {
protected:
    // A configuration whose range has room for one pod.
    [[nodiscard]] CniRuntime cramped_runtime() {
        auto plugin = runtime();
        plugin.config["ipam"] = {{"type", "host-local"},
                                 {"ranges", {{{{"subnet", "10.244.1.0/30"}}}}},
                                 {"dataDir", (node().run_dir() / "ipam").string()}};
        return plugin;
    }
    [[nodiscard]] CniRuntime static_runtime(const char* address) {
        auto plugin = runtime();
        plugin.config["ipam"] = {{"type", "static"}, {"addresses", {{{"address", address}}}}};
        return plugin;
    }
};

TEST_F(CniFailureTest, AgentAway_AddSaysTryAgainLaterAndStatusNotAvailable) {
    const Container container("c1");
    const auto plugin = runtime();
    EXPECT_TRUE(plugin.call("STATUS", container).ok());
    EXPECT_EQ(node().stop_agent(), 0);
    (void)expect_error(plugin.call("STATUS", container), 50);
    const auto error = expect_error(plugin.call("ADD", container), 11);
    EXPECT_NE(error.value("msg", "").find("podlane-agent does not answer"), std::string::npos) << error.dump();
    EXPECT_FALSE(has_link(container.ns, "eth0"));
    node().start_agent();
    node().wait_ready();
    EXPECT_TRUE(plugin.call("STATUS", container).ok());
    expect_nothing_left();
}

TEST_F(CniFailureTest, DelWithTheAgentAway_IsCaughtUpByTheAgent) {
    const Container container("c1");
    const auto plugin = runtime();
    (void)plugin.add(container);
    ASSERT_TRUE(std::filesystem::exists(record(container)));
    node().kill_agent();
    const auto deleted = plugin.call("DEL", container);
    EXPECT_TRUE(deleted.ok()) << deleted.describe();
    EXPECT_FALSE(std::filesystem::exists(record(container)));
    node().start_agent();
    node().wait_ready();
    expect_nothing_left();
}

TEST_F(CniFailureTest, DelWithoutNetns_RemovesEverything) {
    const Container container("c1");
    auto plugin = runtime();
    (void)plugin.add(container);
    plugin.netns = "";
    const auto deleted = plugin.call("DEL", container);
    EXPECT_TRUE(deleted.ok()) << deleted.describe();
    EXPECT_FALSE(has_link(container.ns, "eth0"));
    expect_nothing_left();
}

TEST_F(CniFailureTest, DelAfterTheSandboxIsGone_ReleasesTheAddress) {
    auto container = std::make_unique<Container>("c1");
    auto plugin = runtime();
    (void)plugin.add(*container);
    plugin.netns = container->ns.path().string();
    container = std::make_unique<Container>("c1");  // another namespace; the old one's path is gone
    const auto deleted = plugin.call("DEL", *container);
    EXPECT_TRUE(deleted.ok()) << deleted.describe();
    expect_nothing_left();
}

TEST_F(CniFailureTest, HostSideRenamed_IsFoundFromTheInside) {
    const Container container("c1");
    const auto plugin = runtime();
    const auto result = plugin.add(container);
    const auto host = result["interfaces"][0]["name"].get<std::string>();
    ip(node().ns(), fmt::format("link set {} down", host));
    ip(node().ns(), fmt::format("link set {} name renamed", host));
    const auto deleted = plugin.call("DEL", container);
    EXPECT_TRUE(deleted.ok()) << deleted.describe();
    EXPECT_FALSE(has_link(container.ns, "eth0"));
    EXPECT_FALSE(has_link(node().ns(), "renamed"));
}

TEST_F(CniFailureTest, ExhaustedRange_IsReportedInTheWordsOfTheIpamPlugin) {
    const Container first("c1");
    const Container second("c2");
    const auto plugin = cramped_runtime();
    (void)plugin.add(first);
    const auto refused = plugin.call("ADD", second);
    EXPECT_EQ(refused.status, 1) << refused.describe();
    EXPECT_NE(refused.out.find("host-local: failed to allocate for range 0"), std::string::npos) << refused.out;
    EXPECT_FALSE(has_link(second.ns, "eth0"));
    EXPECT_TRUE(plugin.call("DEL", second).ok());
    EXPECT_EQ(names_of_veths(node().ns()).size(), 1U);
    EXPECT_EQ(reservations(), std::vector<std::string>{"10.244.1.2"});
    EXPECT_TRUE(plugin.call("DEL", first).ok());
    expect_nothing_left();
}

TEST_F(CniFailureTest, AddressInUse_IsRefusedAndRolledBack) {
    const Container first("c1");
    const Container second("c2");
    const auto plugin = static_runtime("10.244.1.77/24");
    (void)plugin.add(first);
    const auto error = expect_error(plugin.call("ADD", second), 100);
    EXPECT_NE(error.value("msg", "").find("10.244.1.77 is in use by c1"), std::string::npos) << error.dump();
    EXPECT_FALSE(has_link(second.ns, "eth0"));
    EXPECT_EQ(names_of_veths(node().ns()).size(), 1U);
    EXPECT_TRUE(plugin.call("DEL", first).ok());
    expect_nothing_left();
}

TEST_F(CniFailureTest, Ipv6Address_IsRefusedAndNothingIsLeft) {
    const Container container("c1");
    const auto error = expect_error(static_runtime("fd00::5/64").call("ADD", container), 7);
    EXPECT_NE(error.value("msg", "").find("IPv6"), std::string::npos) << error.dump();
    EXPECT_FALSE(has_link(container.ns, "eth0"));
    expect_nothing_left();
}

TEST_F(CniFailureTest, RouteThatTheKernelRefuses_IsRolledBack) {
    const Container container("c1");
    auto plugin = runtime();
    // Two routes to one destination: the kernel takes the first.
    plugin.config["ipam"] = {{"type", "host-local"},
                             {"ranges", {{{{"subnet", "10.244.1.0/24"}}}}},
                             {"dataDir", (node().run_dir() / "ipam").string()},
                             {"routes", {{{"dst", "10.96.0.0/12"}}, {{"dst", "10.96.0.0/12"}}}}};
    const auto error = expect_error(plugin.call("ADD", container), 100);
    EXPECT_NE(error.value("msg", "").find("add route 10.96.0.0/12"), std::string::npos) << error.dump();
    EXPECT_FALSE(has_link(container.ns, "eth0"));
    expect_nothing_left();
}

TEST_F(CniFailureTest, InterfaceOfThatName_StaysAndIsNamed) {
    const Container container("c1");
    ip(container.ns, "link add eth0 type veth peer name other");
    const auto error = expect_error(runtime().call("ADD", container), 100);
    EXPECT_NE(error.value("msg", "").find("eth0 exists"), std::string::npos) << error.dump();
    EXPECT_TRUE(runtime().call("DEL", container).ok());
    EXPECT_TRUE(has_link(container.ns, "eth0"));
    expect_nothing_left();
}

TEST_F(CniFailureTest, SecondAdd_IsRefusedAndTheFirstKeepsWorking) {
    const Container container("c1");
    const auto plugin = runtime();
    const auto result = plugin.add(container);
    (void)expect_error(plugin.call("ADD", container), 100);
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    EXPECT_TRUE(plugin.call("DEL", container).ok());
}

TEST_F(CniFailureTest, HostSideOfAnEarlierAttempt_IsReplaced) {
    const Container container("c1");
    const auto name = runtime().add(container)["interfaces"][0]["name"].get<std::string>();
    EXPECT_TRUE(runtime().call("DEL", container).ok());
    ip(node().ns(), fmt::format("link add {} type veth peer name leftover", name));
    const auto result = runtime().add(container);
    EXPECT_EQ(result["interfaces"][0]["name"], name);
    EXPECT_FALSE(has_link(node().ns(), "leftover"));
    EXPECT_TRUE(runtime().call("DEL", container).ok());
    expect_nothing_left();
}

TEST_F(CniFailureTest, SandboxThatIsNone_IsNamed) {
    const Container container("c1");
    auto plugin = runtime();
    plugin.netns = "/run/netns/not-there";
    EXPECT_NE(expect_error(plugin.call("ADD", container), 3).value("msg", "").find("CNI_NETNS"), std::string::npos);
    plugin.netns = "/etc/hostname";
    EXPECT_NE(expect_error(plugin.call("ADD", container), 4).value("msg", "").find("CNI_NETNS"), std::string::npos);
    plugin.netns = node().ns().path().string();
    EXPECT_NE(expect_error(plugin.call("ADD", container), 4).value("msg", "").find("own network namespace"),
              std::string::npos);
    expect_nothing_left();
}

TEST_F(CniFailureTest, IpamPluginThatIsMissing_FailsAddDelAndStatus) {
    const Container container("c1");
    auto plugin = runtime();
    plugin.path = "/nonexistent";
    (void)expect_error(plugin.call("ADD", container), 7);
    (void)expect_error(plugin.call("DEL", container), 7);
    const auto error = expect_error(plugin.call("STATUS", container), 50);
    EXPECT_NE(error.value("msg", "").find("host-local is not on CNI_PATH (/nonexistent)"), std::string::npos)
        << error.dump();
    expect_nothing_left();
}

// host-local's store goes with the run directory; the pods do not.
TEST_F(CniFailureTest, LostStoreOfAddresses_NeverGivesOneToTwoPods) {
    std::vector<std::unique_ptr<Container>> containers;
    std::set<std::string> addresses;
    const auto plugin = runtime();
    const auto add_one = [&] {
        containers.push_back(std::make_unique<Container>(fmt::format("c{}", containers.size())));
        addresses.insert(plugin.add(*containers.back())["ips"][0]["address"]);
    };
    add_one();
    add_one();
    std::filesystem::remove_all(node().run_dir() / "ipam");
    add_one();
    add_one();
    EXPECT_EQ(addresses.size(), containers.size());
    EXPECT_EQ(reservations().size(), containers.size());
    for (const auto& container : containers) {
        EXPECT_TRUE(plugin.call("DEL", *container).ok());
    }
    expect_nothing_left();
}

TEST_F(CniFailureTest, Gc_RemovesWhatTheRuntimeForgot) {
    const Container alive("alive");
    const auto stale = std::make_unique<Container>("stale");
    const auto plugin = runtime();
    const auto result = plugin.add(alive);
    (void)plugin.add(*stale);
    // An ADD that was killed after the address was assigned: no endpoint, no link.
    std::ofstream(node().run_dir() / "ipam" / "podlane" / "10.244.1.200") << "killed\r\neth0";
    const Json valid{{"cni.dev/valid-attachments", {{{"containerID", "alive"}, {"ifname", "eth0"}}}}};
    const auto collected = plugin.call("GC", alive, valid);
    EXPECT_TRUE(collected.ok()) << collected.describe();
    EXPECT_FALSE(has_link(stale->ns, "eth0"));
    EXPECT_FALSE(std::filesystem::exists(record(*stale)));
    EXPECT_EQ(reservations().size(), 1U);
    const auto checked = plugin.call("CHECK", alive, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    EXPECT_TRUE(plugin.call("DEL", alive).ok());
    expect_nothing_left();
}

TEST_F(CniFailureTest, GcWithTheAgentAway_GoesByTheRecords) {
    const Container stale("stale");
    const auto plugin = runtime();
    (void)plugin.add(stale);
    node().kill_agent();
    const auto collected = plugin.call("GC", stale, {{"cni.dev/valid-attachments", Json::array()}});
    EXPECT_TRUE(collected.ok()) << collected.describe();
    EXPECT_FALSE(has_link(stale.ns, "eth0"));
    node().start_agent();
    node().wait_ready();
    expect_nothing_left();
}

}  // namespace
}  // namespace podlane::net
