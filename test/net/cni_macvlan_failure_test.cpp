// SPDX-License-Identifier: Apache-2.0
// `link: "macvlan"` where something is missing, in the way, or gone: one clear error, and nothing left behind. (A Wi-Fi
// master cannot be made here.)
//
//   container c1 eth0 - - em2 172.20.7.100/24 :node 1 (podlane-agent)
//        (macvlan)         |
//               [ bridge lan ] --- eth0 172.20.7.200/24 :neighbour
#include "agent/cni/endpoint.h"
#include "test/net/cni_macvlan_scene.h"

namespace podlane::net {
namespace {

const Ipv4Address neighbours_address = *Ipv4Address::parse("172.20.7.200");

class CniMacvlanFailureTest : public MacvlanLan {
protected:
    // ADD on `master` has to fail with `code`; returns what it says.
    std::string refusal(const std::string& master, int code) {
        const Container container("c1");
        auto plugin = macvlan_runtime();
        plugin.config["master"] = master;
        const auto error = expect_error(plugin.call("ADD", container), code);
        expect_no_trace_of(container);
        return error.value("msg", "");
    }
};

TEST_F(CniMacvlanFailureTest, MasterThatIsNone_IsNamed) {
    EXPECT_EQ(refusal("em9", 100), "master: this host has no interface em9");
    EXPECT_EQ(refusal("lo", 7), "master: lo is no Ethernet device");
}

TEST_F(CniMacvlanFailureTest, MasterThatIsAPort_IsRefusedWithWhatToUseInstead) {
    ip(node().ns(), "link add br0 type bridge");
    ip(node().ns(), "link set em2 master br0");
    EXPECT_EQ(refusal("em2", 7),
              "master: em2 is a port of the bridge br0, which takes all its packets; br0 itself can be the master");
    // And so it can.
    ip(node().ns(), "link set br0 up");
    const Container container("c1");
    auto plugin = macvlan_runtime();
    plugin.config["master"] = "br0";
    (void)plugin.add(container);
    EXPECT_EQ(ping(container.ns, neighbours_address, 1).answered, 1U);
    EXPECT_TRUE(plugin.call("DEL", container).ok());
}

TEST_F(CniMacvlanFailureTest, MasterOfPodlanesOwn_IsRefused) {
    const Container container("c1");
    auto plugin = macvlan_runtime();
    for (const auto& device : {std::string("podlane0"), node().add_pod("veth").host_device()}) {
        plugin.config["master"] = device;
        EXPECT_EQ(expect_error(plugin.call("ADD", container), 7).value("msg", ""),
                  fmt::format("master: {} is a device of podlane's own", device));
        EXPECT_FALSE(has_link(container.ns, "eth0"));
    }
}

TEST_F(CniMacvlanFailureTest, MasterThatIsAMacvlan_IsRefusedWithWhatToUseInstead) {
    ip(node().ns(), "link add mac0 link em2 type macvlan mode bridge");
    const Container container("c1");
    auto plugin = macvlan_runtime();
    plugin.config["master"] = "mac0";
    EXPECT_EQ(expect_error(plugin.call("ADD", container), 7).value("msg", ""),
              "master: mac0 is a macvlan itself; the device that it is on can be the master");
    EXPECT_FALSE(has_link(container.ns, "eth0"));
}

TEST_F(CniMacvlanFailureTest, MasterTakenByAnIpvlan_IsRefusedInWords) {
    if (!run(node().ns(), {"ip", "link", "add", "ipv0", "link", "em2", "type", "ipvlan"}).ok()) {
        GTEST_SKIP() << "this kernel has no ipvlan";
    }
    EXPECT_NE(refusal("em2", 100).find("something else takes all its packets"), std::string::npos);
}

TEST_F(CniMacvlanFailureTest, WithoutMaster_TheDefaultRoutesDeviceIsTaken) {
    const Container container("c1");
    auto plugin = macvlan_runtime();
    plugin.config.erase("master");
    ip(node().ns(), "route replace default via 172.20.7.254 dev em2");
    const auto result = plugin.add(container);
    EXPECT_EQ(ping(container.ns, neighbours_address, 1).answered, 1U);
    EXPECT_TRUE(plugin.call("CHECK", container, {{"prevResult", result}}).ok());
    EXPECT_TRUE(plugin.call("DEL", container).ok());
    ip(node().ns(), "route del default");
    EXPECT_EQ(refusal("", 100), "master is not set, and this host has no default route to take it from");
}

TEST_F(CniMacvlanFailureTest, MtuAboveTheMasters_IsRefused) {
    const Container container("c1");
    auto plugin = macvlan_runtime();
    plugin.config["mtu"] = 1501;
    EXPECT_EQ(expect_error(plugin.call("ADD", container), 7).value("msg", ""),
              "mtu: 1501 is more than the 1500 of its master em2");
    expect_no_trace_of(container);
}

class CniMacvlanModeTest : public MacvlanLan, public testing::WithParamInterface<const char*> {};

TEST_P(CniMacvlanModeTest, Mode_IsTheKernelsAndReachesTheLan) {
    const Container container("c1");
    auto plugin = macvlan_runtime();
    plugin.config["mode"] = GetParam();
    const auto result = plugin.add(container);
    const auto link = ip_json(container.ns, "link show dev eth0")[0];
    EXPECT_EQ(link["linkinfo"]["info_data"]["mode"], GetParam());
    EXPECT_EQ(link["address"], result["interfaces"][0]["mac"]);
    const bool passthru = std::string_view(GetParam()) == "passthru";
    EXPECT_EQ(link["address"] == mac_of({node().ns(), "em2"}).to_string(), passthru);
    EXPECT_EQ(ping(container.ns, neighbours_address, 1).answered, 1U);
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    EXPECT_TRUE(plugin.call("DEL", container).ok());
    expect_no_trace_of(container);
}

INSTANTIATE_TEST_SUITE_P(Cni, CniMacvlanModeTest, testing::Values("bridge", "private", "vepa", "passthru"));

TEST_F(CniMacvlanFailureTest, PassthruBesideAnother_IsRefusedInWords) {
    const Container first("first");
    const Container second("second");
    const auto plugin = macvlan_runtime();
    auto passthru = macvlan_runtime();
    passthru.config["mode"] = "passthru";
    (void)plugin.add(first);
    auto error = expect_error(passthru.call("ADD", second), 100);
    EXPECT_NE(error.value("msg", "").find("mode passthru wants it for itself"), std::string::npos) << error;
    EXPECT_EQ(macvlans(second.ns), std::vector<std::string>());
    EXPECT_TRUE(plugin.call("DEL", first).ok());
    (void)passthru.add(second);
    error = expect_error(plugin.call("ADD", first), 100);
    EXPECT_NE(error.value("msg", "").find("it has a macvlan in mode passthru"), std::string::npos) << error;
    EXPECT_TRUE(passthru.call("DEL", second).ok());
    expect_no_trace_of(first);
}

TEST_F(CniMacvlanFailureTest, MacInUse_IsRefusedInWords) {
    const Container container("c1");
    auto plugin = macvlan_runtime();
    plugin.config["mac"] = mac_of({node().ns(), "em2"}).to_string();
    const auto error = expect_error(plugin.call("ADD", container), 100);
    EXPECT_NE(error.value("msg", "").find("another device on em2 has its MAC"), std::string::npos) << error;
    expect_no_trace_of(container);
}

// The story's 48 addresses, 47 of them handed out.
TEST_F(CniMacvlanFailureTest, ExhaustedRange_IsNamed) {
    std::filesystem::create_directories(store());
    for (int last = 51; last <= 98; ++last) {
        if (last != 77) {
            std::ofstream(store() / fmt::format("172.20.7.{}", last)) << fmt::format("other{}\r\neth0", last);
        }
    }
    const Container first("c1");
    const Container second("c2");
    const auto plugin = macvlan_runtime();
    EXPECT_EQ(plugin.add(first)["ips"][0]["address"], "172.20.7.77/24");
    const auto refused = plugin.call("ADD", second);
    EXPECT_EQ(refused.status, 1) << refused.describe();
    EXPECT_NE(refused.out.find("no IP addresses available in range set: 172.20.7.51-172.20.7.98"), std::string::npos)
        << refused.out;
    EXPECT_EQ(macvlans(second.ns), std::vector<std::string>());
    EXPECT_TRUE(plugin.call("DEL", first).ok());
    EXPECT_EQ(reserved().size(), 47U);
}

TEST_F(CniMacvlanFailureTest, AgentAway_AddIsTriedAgainLaterAndDelWorks) {
    const Container container("c1");
    const auto plugin = macvlan_runtime();
    (void)plugin.add(container);
    node().kill_agent();
    EXPECT_TRUE(plugin.call("DEL", container).ok());
    EXPECT_FALSE(has_link(container.ns, "eth0"));
    (void)expect_error(plugin.call("ADD", container), 11);
    EXPECT_FALSE(has_link(container.ns, "eth0"));
    (void)expect_error(plugin.call("STATUS", container), 50);
    node().start_agent();
    node().wait_ready();
    expect_no_trace_of(container);
    EXPECT_TRUE(plugin.call("STATUS", container).ok());
}

TEST_F(CniMacvlanFailureTest, SandboxGoneOrUnknown_DelReleasesTheAddress) {
    auto container = std::make_unique<Container>("c1");
    auto plugin = macvlan_runtime();
    (void)plugin.add(*container);
    plugin.netns = container->ns.path().string();
    container = std::make_unique<Container>("c1");
    EXPECT_TRUE(plugin.call("DEL", *container).ok());
    expect_no_trace_of(*container);
    plugin.netns.reset();
    (void)plugin.add(*container);
    plugin.netns = "";
    EXPECT_TRUE(plugin.call("DEL", *container).ok());
    EXPECT_EQ(reserved(), std::set<std::string>());
    EXPECT_EQ(node().agentctl_json({"pod", "list"}), Json::array());
}

TEST_F(CniMacvlanFailureTest, InterfaceThatIsNotOurs_SurvivesDelAndIsNotReplaced) {
    const Container container("c1");
    ip(node().ns(), "link add theirs link em2 type macvlan mode bridge");
    ip(node().ns(), fmt::format("link set theirs netns {} name eth0", container.ns.name()));
    const auto error = expect_error(macvlan_runtime().call("ADD", container), 100);
    EXPECT_NE(error.value("msg", "").find("eth0 exists"), std::string::npos) << error;
    EXPECT_TRUE(macvlan_runtime().call("DEL", container).ok());
    EXPECT_TRUE(has_link(container.ns, "eth0"));
}

// An ADD that was killed in the middle: the device has its first name still, or an address alone is taken.
TEST_F(CniMacvlanFailureTest, LeftoversOfAKilledAdd_AreReplacedByAddAndRemovedByDel) {
    const Container container("c1");
    const auto plugin = macvlan_runtime();
    const auto name = host_interface_name(container.id, container.if_name);
    const auto leave = [&] {
        ip(node().ns(), fmt::format("link add {} link em2 type macvlan mode bridge", name));
        ip(node().ns(), fmt::format("link set {} netns {}", name, container.ns.name()));
    };
    leave();
    (void)plugin.add(container);
    EXPECT_EQ(macvlans(container.ns), std::vector<std::string>{"eth0"});
    EXPECT_TRUE(plugin.call("DEL", container).ok());
    leave();
    EXPECT_TRUE(plugin.call("DEL", container).ok());
    expect_no_trace_of(container);
}

TEST_F(CniMacvlanFailureTest, Gc_RemovesWhatTheRuntimeForgot) {
    const Container alive("alive");
    const Container stale("stale");
    const auto plugin = macvlan_runtime();
    const auto result = plugin.add(alive);
    (void)plugin.add(stale);
    const Json valid{{"cni.dev/valid-attachments", {{{"containerID", "alive"}, {"ifname", "eth0"}}}}};
    const auto collected = plugin.call("GC", alive, valid);
    EXPECT_TRUE(collected.ok()) << collected.describe();
    EXPECT_FALSE(has_link(stale.ns, "eth0"));
    EXPECT_FALSE(std::filesystem::exists(record(stale)));
    EXPECT_EQ(reserved(), std::set<std::string>{"172.20.7.51"});
    EXPECT_TRUE(plugin.call("CHECK", alive, {{"prevResult", result}}).ok());
    EXPECT_TRUE(plugin.call("DEL", alive).ok());
    expect_no_trace_of(alive);
}

}  // namespace
}  // namespace podlane::net
