// SPDX-License-Identifier: Apache-2.0
// Masters that stand on other devices: a VLAN and a bond.
//
//   macvlan pods - - em2.7 - em2 :node === trunk, VLAN 7 === switch --- LAN
//
//   macvlan pods - - bond0 - em2 :node === switch of the rack --- LAN
//                       \--- em3 ========/        (active-backup)
//
//   veth a (10.244.1.x) --- node 1 --- .100 ---+ LAN +--- .101 --- node 2 --- veth b (10.244.2.x)
//   m1 .51, m2 .52 -----------------------+    |     |    +------------------ m3 .61
//                         neighbour .200, gateway .254 with the internet behind it
//
// Whatever the test: the LAN sees one MAC for node 1's address.
#include "test/net/macvlan_scene.h"

namespace podlane::net {
namespace {

const Layout on_vlan{"Vlan", "vxlan", Layout::Wire::own, "", LanPort::vlan};
const Layout on_bond{"Bond", "vxlan", Layout::Wire::own, "", LanPort::bond};

class MacvlanOnStack : public MacvlanScene {
protected:
    void SetUp() override {
        MacvlanScene::SetUp();
        if (!IsSkipped()) {
            configure();
            add_macvlan_pods();
        }
    }
    void set_link(const Namespace& ns, const std::string& device, const char* state) {
        ip(ns, fmt::format("link set {} {}", device, state));
    }
    // A pod reaches its host again, and all is as it was.
    void expect_whole() {
        EXPECT_TRUE(wait_until([&] { return ping(m1().ns(), lan().host_address(1), 1).answered == 1; }, 15s, 1ms));
        EXPECT_TRUE(wait_until([&] { return faults().empty() && has_link(1, shim); }, 15s, 10ms)) << faults();
        node(1).wait_ready();
        expect_all_cells();
    }
};

INSTANTIATE_TEST_SUITE_P(Masters, MacvlanOnStack, testing::Values(on_vlan, on_bond), name_of_layout);

TEST_P(MacvlanOnStack, EveryCellIsReachedWithTheSourceOfTheContract) {
    expect_all_cells();
    EXPECT_EQ(census().macs(), std::set<std::string>{mac_of({node(1).ns(), lan().device()}).to_string()});
}

TEST_P(MacvlanOnStack, MasterThatWasDown_IsWholeAgain) {
    set_link(node(1).ns(), lan().device(), "down");
    EXPECT_EQ(ping(m1().ns(), lan().host_address(1), 1).answered, 0U);
    set_link(node(1).ns(), lan().device(), "up");
    expect_whole();
    lan().restart_network(node(1).ns(), 1);
    expect_whole();
}

TEST_P(MacvlanOnStack, NicBelowTheMasterThatWasDown_IsWholeAgain) {
    set_link(node(1).ns(), "em2", "down");
    set_link(node(1).ns(), "em2", "up");
    expect_whole();
}

TEST_P(MacvlanOnStack, PodOfThePlugin_ReachesItsHostAndTheLan) {
    const Container container("c1");
    const auto plugin = lan_plugin();
    const auto result = plugin.add(container);
    const auto address = lan().address(71);
    expect_reach(container.ns, lan().host_address(1), "host-1", address);
    expect_reach(container.ns, lan().neighbour_address(), "neighbour", address);
    expect_reach(container.ns, Lan::internet_address, "internet", address);
    expect_reach(container.ns, b().address(), "b", node(1).address());
    const auto checked = plugin.call("CHECK", container, {{"prevResult", result}});
    EXPECT_TRUE(checked.ok()) << checked.describe();
    const auto deleted = plugin.call("DEL", container);
    EXPECT_TRUE(deleted.ok()) << deleted.describe();
}

class MacvlanOnBond : public MacvlanOnStack {
protected:
    void pull_cable(const char* nic) { set_link(lan().ns(), Lan::end_of(nic, node(1).name()), "down"); }
    void put_cable_back(const char* nic) { set_link(lan().ns(), Lan::end_of(nic, node(1).name()), "up"); }
    void expect_active(const std::string& nic) {
        const auto active = [&] {
            return ip(node(1).ns(), "-d link show bond0").contains("active_slave " + nic + " ");
        };
        EXPECT_TRUE(wait_until(active, 10s)) << ip(node(1).ns(), "-d link show bond0");
    }
};

INSTANTIATE_TEST_SUITE_P(Masters, MacvlanOnBond, testing::Values(on_bond), name_of_layout);

// The bond then announces the addresses of all that stands on it, the shim's too: with whose MAC is what census sees.
TEST_P(MacvlanOnBond, LinkThatFails_IsReplacedByTheOtherWithoutATrace) {
    const LongConnection to_host(lan().neighbour(), {lan().host_address(1), port});
    const LongConnection from_pod(m1().ns(), {lan().neighbour_address(), port});
    for (const auto& [failing, next] : {std::pair{"em2", "em3"}, {"em3", "em2"}}) {
        expect_active(failing);
        pull_cable(failing);
        expect_active(next);
        EXPECT_EQ(to_host.ask(), fmt::format("host-1 {}", lan().neighbour_address()));
        EXPECT_EQ(from_pod.ask(), fmt::format("neighbour {}", m1().address()));
        expect_whole();
        put_cable_back(failing);
    }
    EXPECT_EQ(census().macs(), std::set<std::string>{mac_of({node(1).ns(), "bond0"}).to_string()});
}

}  // namespace
}  // namespace podlane::net
