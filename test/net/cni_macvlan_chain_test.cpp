// SPDX-License-Identifier: Apache-2.0
// Macvlan pods on a master that the agent's configuration has: routes through the host; and podlane appended to the
// reference macvlan plugin, with portmap after it.
//
//   container c1 eth0 - - eth0 192.168.0.1/24 :node 1 (podlane-agent, macvlan: [{master: eth0}])
//        (macvlan)          |
//                   [ wire 192.168.0.254/24 ]
#include <fstream>

#include "test/net/cni_runtime.h"

namespace podlane::net {
namespace {

using Routes = std::set<std::pair<std::string, std::string>>;

class CniMacvlanChainTest : public CniNode {
protected:
    void SetUp() override {
        std::filesystem::remove_all("/var/lib/cni/networks/lan");
        start({.nodes = 1,
               .extra_config =
                   "macvlan:\n  - {name: lan, master: eth0, shim: podlane-lan, serviceCIDRs: [10.32.0.0/24]}\n"});
    }
    [[nodiscard]] static Json ipam() {
        return Json::parse(R"({"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": "192.168.0.0/24", "rangeStart": "192.168.0.51", "rangeEnd": "192.168.0.98",
                         "gateway": "192.168.0.254"}]]})");
    }
    // One plugin of the chain "lan".
    [[nodiscard]] CniRuntime plugin(const std::string& type, const Json& keys = Json::object()) {
        auto plugin = runtime("1.0.0");  // the newest that Debian's plugins speak
        if (type == "podlane") {
            plugin.config.update({{"name", "lan"}});
        } else {
            plugin.plugin = "/usr/lib/cni/" + type;
            plugin.config = {{"cniVersion", "1.0.0"}, {"name", "lan"}, {"type", type}};
        }
        plugin.config.update(keys);
        return plugin;
    }
    [[nodiscard]] CniRuntime reference() { return plugin("macvlan", {{"master", "eth0"}, {"ipam", ipam()}}); }
    [[nodiscard]] CniRuntime own(const Json& keys = Json::object()) {
        auto own = plugin("podlane", {{"link", "macvlan"}, {"master", "eth0"}, {"ipam", ipam()}});
        own.config.update(keys);
        return own;
    }
    [[nodiscard]] static Routes routes_of(const Namespace& ns) {
        Routes routes;
        for (const auto& route : ip_json(ns, "route show")) {
            if (route.value("protocol", "") != "kernel") {
                routes.emplace(route["dst"], route.value("gateway", "-"));
            }
        }
        return routes;
    }
    const Routes through_host_{
        {"default", "192.168.0.254"}, {"10.244.0.0/16", "192.168.0.1"}, {"10.32.0.0/24", "192.168.0.1"}};
};

TEST_F(CniMacvlanChainTest, Add_AddsRoutesThroughTheHostAndReportsThem) {
    const Container container("c1");
    const auto result = own().add(container);
    EXPECT_EQ(result["routes"], Json::parse(R"([{"dst": "0.0.0.0/0"}, {"dst": "10.244.0.0/16", "gw": "192.168.0.1"},
                                                {"dst": "10.32.0.0/24", "gw": "192.168.0.1"}])"));
    EXPECT_EQ(routes_of(container.ns), through_host_);
    const auto checked = own().call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    ip(container.ns, "route del 10.32.0.0/24");
    const auto error = expect_error(own().call("CHECK", container, {{"prevResult", result}}), 101);
    EXPECT_NE(error.value("msg", "").find("the route 10.32.0.0/24 via 192.168.0.1 of interface eth0 is missing"),
              std::string::npos)
        << error;
    EXPECT_TRUE(own().call("DEL", container).ok());
}

TEST_F(CniMacvlanChainTest, PodAndItsHost_ReachEachOtherTheMomentAddReturns) {
    const Container container("c1");
    (void)own().add(container);
    EXPECT_EQ(ping(container.ns, node().address(), 1).answered, 1U);
    EXPECT_EQ(ping(node().ns(), *Ipv4Address::parse("192.168.0.51"), 1).answered, 1U);
    EXPECT_TRUE(own().call("DEL", container).ok());
}

TEST_F(CniMacvlanChainTest, PassthruBesideTheShim_IsRefusedInWords) {
    const Container container("c1");
    const auto error = expect_error(own({{"mode", "passthru"}}).call("ADD", container), 100);
    EXPECT_NE(error.value("msg", "").find("other macvlan devices hang on it (podlane's shim is one)"),
              std::string::npos)
        << error;
    EXPECT_FALSE(has_link(container.ns, "eth0"));
}

// The story's manual cure, still in the configuration.
TEST_F(CniMacvlanChainTest, RouteOfTheConfiguration_Stays) {
    const Container container("c1");
    auto with_route = own();
    with_route.config["ipam"]["routes"].push_back({{"dst", "10.32.0.0/24"}, {"gw", "192.168.0.253"}});
    const auto result = with_route.add(container);
    EXPECT_EQ(result["routes"].size(), 3U) << result;
    EXPECT_EQ(
        routes_of(container.ns),
        (Routes{{"default", "192.168.0.254"}, {"10.244.0.0/16", "192.168.0.1"}, {"10.32.0.0/24", "192.168.0.253"}}));
    EXPECT_TRUE(with_route.call("DEL", container).ok());
}

TEST_F(CniMacvlanChainTest, PodInAnotherSubnetOfTheLan_ReachesTheHostOnItsLink) {
    const Container container("c1");
    auto elsewhere = own();
    elsewhere.config["ipam"] = {{"type", "static"}, {"addresses", {{{"address", "172.30.0.5/24"}}}}};
    const auto result = elsewhere.add(container);
    EXPECT_EQ(routes_of(container.ns), (Routes{{"10.244.0.0/16", "192.168.0.1"}, {"10.32.0.0/24", "192.168.0.1"}}));
    const auto checked = elsewhere.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    EXPECT_TRUE(elsewhere.call("DEL", container).ok());
}

TEST_F(CniMacvlanChainTest, ModesThatCannotReachTheHost_GetNoRoutesAndSaySo) {
    for (const char* const mode : {"private", "vepa"}) {
        const Container container("c1");
        const auto added = own({{"mode", mode}}).call("ADD", container);
        EXPECT_TRUE(added.ok()) << added.describe();
        EXPECT_NE(added.err.find(fmt::format("a macvlan in mode {} has no way to its own host", mode)),
                  std::string::npos)
            << added.err;
        EXPECT_EQ(routes_of(container.ns), (Routes{{"default", "192.168.0.254"}}));
        EXPECT_TRUE(own({{"mode", mode}}).call("DEL", container).ok());
    }
}

TEST_F(CniMacvlanChainTest, AfterTheReferencePlugin_ItsInterfaceIsServedAndLeftToIt) {
    const Container container("c1");
    const auto theirs = reference();
    const auto podlane = plugin("podlane");
    auto portmap = plugin("portmap");
    portmap.config["runtimeConfig"]["portMappings"] = {
        {{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}}};
    const auto prev = theirs.add(container);
    const auto result = podlane.add(container, {{"prevResult", prev}});
    auto expected = prev;
    expected["routes"].push_back({{"dst", "10.244.0.0/16"}, {"gw", "192.168.0.1"}});
    expected["routes"].push_back({{"dst", "10.32.0.0/24"}, {"gw", "192.168.0.1"}});
    EXPECT_EQ(result, expected);
    EXPECT_EQ(routes_of(container.ns), through_host_);
    EXPECT_EQ(portmap.add(container, {{"prevResult", result}}), result);
    EXPECT_EQ(ping(container.ns, node().address(), 1).answered, 1U);
    EXPECT_EQ(ping(node().ns(), *Ipv4Address::parse("192.168.0.51"), 1).answered, 1U);

    std::ifstream file(record(container));
    const auto written = Json::parse(file);
    EXPECT_EQ(written["link"], "macvlan");
    EXPECT_EQ(written["master"], "eth0");
    EXPECT_EQ(written["mode"], "bridge");
    EXPECT_EQ(written["ip"], "192.168.0.51");
    EXPECT_EQ(written["mac"], prev["interfaces"][0]["mac"]);

    EXPECT_TRUE(theirs.call("CHECK", container, {{"prevResult", result}}).ok());
    auto checked = podlane.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    ip(container.ns, "route del 10.244.0.0/16");
    (void)expect_error(podlane.call("CHECK", container, {{"prevResult", result}}), 101);

    EXPECT_TRUE(portmap.call("DEL", container, {{"prevResult", result}}).ok());
    EXPECT_TRUE(podlane.call("DEL", container, {{"prevResult", result}}).ok());
    EXPECT_FALSE(std::filesystem::exists(record(container)));
    EXPECT_TRUE(has_link(container.ns, "eth0")) << "the reference plugin's to remove";
    EXPECT_TRUE(std::filesystem::exists("/var/lib/cni/networks/lan/192.168.0.51"));
    EXPECT_TRUE(theirs.call("DEL", container, {{"prevResult", result}}).ok());
    EXPECT_FALSE(has_link(container.ns, "eth0"));
    EXPECT_FALSE(std::filesystem::exists("/var/lib/cni/networks/lan/192.168.0.51"));
}

// CNI 0.3.1 gives DEL no prevResult, and there may be no agent either.
TEST_F(CniMacvlanChainTest, DelThatKnowsNothing_LeavesTheAdoptedInterface) {
    const Container container("c1");
    const auto theirs = reference();
    const auto podlane = plugin("podlane");
    (void)podlane.add(container, {{"prevResult", theirs.add(container)}});
    node().kill_agent();
    EXPECT_TRUE(podlane.call("DEL", container).ok());
    EXPECT_TRUE(has_link(container.ns, "eth0"));
    EXPECT_TRUE(theirs.call("DEL", container).ok());
    node().start_agent();
    node().wait_ready();
    EXPECT_EQ(node().agentctl_json({"pod", "list"}), Json::array());
}

TEST_F(CniMacvlanChainTest, LinkMacvlanAfterTheReferencePlugin_AdoptsToo) {
    const Container container("c1");
    const auto theirs = reference();
    const auto prev = theirs.add(container);
    const auto podlane = plugin("podlane", {{"link", "macvlan"}});
    const auto result = podlane.add(container, {{"prevResult", prev}});
    EXPECT_EQ(result["interfaces"], prev["interfaces"]);
    EXPECT_EQ(routes_of(container.ns), through_host_);
    const auto checked = podlane.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    EXPECT_TRUE(podlane.call("DEL", container, {{"prevResult", result}}).ok());
    EXPECT_TRUE(has_link(container.ns, "eth0"));
    EXPECT_EQ(expect_error(own().call("ADD", container, {{"prevResult", prev}}), 7).value("msg", ""),
              "ipam: prevResult holds eth0 already, with an address of its own");
    EXPECT_TRUE(theirs.call("DEL", container).ok());
}

TEST_F(CniMacvlanChainTest, MasterInsideTheContainer_IsNotServed) {
    const Container container("c1");
    ip(container.ns, "link add inner type veth peer name outer");
    ip(container.ns, "link add eth0 link inner type macvlan mode bridge");
    const auto mac = mac_of({container.ns, "eth0"}).to_string();
    const Json prev{{"cniVersion", "1.0.0"},
                    {"interfaces", {{{"name", "eth0"}, {"mac", mac}, {"sandbox", container.ns.path().string()}}}},
                    {"ips", {{{"address", "192.168.0.51/24"}, {"interface", 0}}}}};
    const auto error = expect_error(plugin("podlane").call("ADD", container, {{"prevResult", prev}}), 7);
    EXPECT_EQ(error.value("msg", ""), "prevResult: the master of macvlan eth0 is no device of this host");
    EXPECT_FALSE(std::filesystem::exists(record(container)));
}

}  // namespace
}  // namespace podlane::net
