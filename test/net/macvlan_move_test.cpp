// SPDX-License-Identifier: Apache-2.0
// `hostAddress: move`: the shim carries the host in its master's place, and all goes back when it is to.
//
//   veth a (10.244.1.x) --- node 1 --- podlane-lan .100 -+- em2 ---+ LAN +--- ... --- node 2 --- veth b (10.244.2.x)
//                             | eth0                     |         |     +--- neighbour .200
//   mac m1 .51, m2 .52 -------|--------------------------+         +--- gateway .254 --- internet 203.0.113.10
//                             +------------ wire: VXLAN or direct -----------+
//
// with the LAN on a NIC of its own (em2) or on the nodes' wire (eth0), which has the nodes' InternalIPs and their
// default route.
#include <filesystem>
#include <sstream>

#include "test/net/harness/sandbox.h"
#include "test/net/macvlan_scene.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

class MacvlanMove : public MacvlanScene {
protected:
    void TearDown() override {
        forget_census();  // the MAC changes with the device
        MacvlanScene::TearDown();
    }
    [[nodiscard]] bool is_moved(unsigned number = 1) {
        return ip(node(number).ns(), fmt::format("-4 address show dev {}", lan().device())).empty() &&
               ip(node(number).ns(), fmt::format("-4 address show dev {}", shim))
                   .contains(fmt::format("{}/24", lan().host_address(number)));
    }
    [[nodiscard]] bool is_kept(unsigned number = 1) {
        return ip(node(number).ns(), fmt::format("-4 address show dev {}", lan().device()))
            .contains(fmt::format("{}/24", lan().host_address(number)));
    }
    [[nodiscard]] std::string state(unsigned number = 1) {
        return faults(number) + ip(node(number).ns(), "-4 address show") +
               ip(node(number).ns(), "-4 route show table all") + node(number).agentctl({"status"}).out;
    }
    void expect_moved(unsigned number = 1) {
        EXPECT_TRUE(wait_until([&] { return is_moved(number) && faults(number).empty(); }, 20s)) << state(number);
    }
    void expect_kept(unsigned number = 1) {
        EXPECT_TRUE(
            wait_until([&] { return is_kept(number) && faults(number).empty() && has_link(number, shim); }, 20s))
            << state(number);
    }
    void move() {
        configure("move");
        expect_moved(1);
        expect_moved(2);
    }
    // What a host has of IPv4, but for podlane's own routes and devices.
    [[nodiscard]] std::string host_state() {
        std::string lines;
        for (const auto* command : {"-4 route show table all", "-4 -o address show", "-4 neigh show nud permanent"}) {
            std::istringstream text(ip(node(1).ns(), command));
            for (std::string line; std::getline(text, line);) {
                const bool own = line.contains("proto 80") || line.contains("podlane") || line.contains("dev pod");
                lines += own ? "" : line + "\n";
            }
        }
        return lines;
    }
    [[nodiscard]] std::string shim_mac() { return mac_of({node(1).ns(), shim}).to_string(); }
    [[nodiscard]] std::string master_mac() { return mac_of({node(1).ns(), lan().device()}).to_string(); }
};

INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanMove, testing::ValuesIn(every_layout), name_of_layout);

TEST_P(MacvlanMove, EveryCellIsReachedWithTheSourceOfTheContract) {
    move();
    add_macvlan_pods();
    const ArpQuestions questions(lan(), lan().host_address(1));
    MacCensus after(lan(), node(1).name(), lan().host_address(1));
    expect_all_cells();
    EXPECT_EQ(after.macs(), std::set<std::string>{shim_mac()});
    EXPECT_GT(after.frames(), 20U);
    node(1).kill_agent();
    node(2).kill_agent();
    expect_all_cells();
}

TEST_P(MacvlanMove, PodsReachTheInternetWithTheAddressOfTheShim) {
    if (GetParam().wire == Layout::Wire::own) {
        ip(node(1).ns(), fmt::format("route replace default via {}", lan().gateway()));
    }
    move();
    add_macvlan_pods();
    expect_reach(a().ns(), Lan::internet_address, "internet", lan().host_address(1));
    expect_reach(node(1).ns(), Lan::internet_address, "internet", lan().host_address(1));
    EXPECT_EQ(exchange_tcp({&a().ns(), a().address(), {}}, b().endpoint(), 5'000'000).problem, "");
}

TEST_P(MacvlanMove, ConnectionsOfTheHostAndOfPods_OutliveEverySwitch) {
    configure();
    add_macvlan_pods();
    const LongConnection to_host(lan().neighbour(), {lan().host_address(1), port});
    const LongConnection from_pod(m1().ns(), {b().address(), port});
    const LongConnection pod_to_pod(a().ns(), {b().address(), port});
    const auto expect_alive = [&] {
        EXPECT_EQ(to_host.ask(), fmt::format("host-1 {}", lan().neighbour_address()));
        EXPECT_EQ(from_pod.ask(), fmt::format("b {}", node(1).address()));
        EXPECT_EQ(pod_to_pod.ask(), fmt::format("b {}", a().address()));
    };
    expect_alive();
    for (int round = 0; round < 2; ++round) {
        set_host_address(1, "move");
        expect_moved();
        expect_alive();
        set_host_address(1, "keep");
        expect_kept();
        expect_alive();
    }
    expect_all_cells();
}

TEST_P(MacvlanMove, CleanupPutsEverythingBack) {
    const auto& ns = node(1).ns();
    const auto device = lan().device();
    ip(ns, fmt::format("address add 172.31.9.1/24 dev {}", device));
    ip(ns, fmt::format("address add {}/24 dev {} valid_lft 7000 preferred_lft 6000", lan().address(140), device));
    ip(ns, fmt::format("route replace default via {} dev {} metric 50 proto static src {} mtu 1400 advmss 1300",
                       lan().gateway(), device, lan().host_address(1)));
    ip(ns, fmt::format("route add 198.51.100.0/24 via 198.51.99.1 dev {} onlink table 77 proto bird", device));
    ip(ns, fmt::format("route add 192.0.2.0/24 dev {} scope link metric 7", device));
    ip(ns, fmt::format("route add unreachable 198.18.0.0/15"));
    ip(ns, fmt::format("neigh add {} lladdr 02:00:00:00:09:09 nud permanent dev {}", lan().address(99), device));
    const auto strip_lifetimes = [](std::string text) {
        for (auto at = text.find("_lft "); at != std::string::npos; at = text.find("_lft ", at + 1)) {
            const auto end = text.find_first_of(" \n", at + 5);
            text.replace(at + 5, end - at - 5, text.substr(at + 5, end - at - 5) == "forever" ? "forever" : "some");
        }
        return text;
    };
    const auto before = strip_lifetimes(host_state());
    move();
    EXPECT_EQ(ip(ns, fmt::format("-4 route show table all dev {}", device)), "");
    EXPECT_THAT(ip(ns, fmt::format("route show table 77 dev {}", shim)), HasSubstr("onlink"));
    EXPECT_EQ(node(1).stop_agent(), 0);
    const auto cleaned =
        run(ns, {(program_dir() / "podlane-agent").string(), "cleanup", "--config", node(1).config_file().string()});
    EXPECT_THAT(cleaned.out, HasSubstr(fmt::format("move {} from {} to {}", lan().host_address(1), shim, device)));
    EXPECT_THAT(cleaned.out, HasSubstr("remains: nothing"));
    EXPECT_EQ(strip_lifetimes(host_state()), before);
    EXPECT_EQ(read("/proc/sys/net/ipv4/conf/all/send_redirects"), "1\n");
    expect_reach(lan().neighbour(), lan().host_address(1), "host-1", lan().neighbour_address());
}

TEST_P(MacvlanMove, RestartOfTheNetwork_EndsMovedAgain) {
    move();
    add_macvlan_pods();
    for (const bool deleted : {false, true}) {
        ip(node(1).ns(), fmt::format("{} {}", deleted ? "link del" : "address flush dev", shim));
        lan().restart_network(node(1).ns(), 1);
        const auto start = std::chrono::steady_clock::now();
        EXPECT_TRUE(wait_until([&] { return is_moved(); }, 15s, 10ms)) << state();
        const auto took = std::chrono::steady_clock::now() - start;
        std::printf("moved again after %lld ms\n",
                    static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
        EXPECT_LT(took, 5s);
        expect_moved();
        node(1).wait_ready();
        expect_cells_of_lan();
        expect_reach(m1().ns(), b().address(), "b", node(1).address());
    }
}

TEST_P(MacvlanMove, NetworkThatIsTakenOutOfTheConfiguration_LeavesTheHostOnItsMaster) {
    const auto before = host_state();
    move();
    const LongConnection to_host(lan().neighbour(), {lan().host_address(1), port});
    EXPECT_EQ(to_host.ask(), fmt::format("host-1 {}", lan().neighbour_address()));
    set_macvlan(1, "");
    EXPECT_TRUE(wait_until([&] { return is_kept() && !has_link(1, shim) && faults().empty(); }, 15s)) << state();
    EXPECT_EQ(to_host.ask(), fmt::format("host-1 {}", lan().neighbour_address()));
    EXPECT_EQ(host_state(), before);
    expect_reach(a().ns(), b().address(), "b", a().address());
}

// Records that are lost as well: the pods are known by the shim's neighbours, the host's own are none.
TEST_P(MacvlanMove, RestartOfTheAgent_MovesNothing) {
    ip(node(1).ns(),
       fmt::format("neigh add {} lladdr 02:00:00:00:09:09 nud permanent dev {}", lan().address(99), lan().device()));
    move();
    add_macvlan_pods();
    const auto link = ip(node(1).ns(), fmt::format("-o link show {}", shim));
    node(1).kill_agent();
    std::filesystem::remove_all(node(1).run_dir() / "endpoints");
    node(1).start_agent();
    node(1).wait_ready();
    EXPECT_EQ(ip(node(1).ns(), fmt::format("-o link show {}", shim)), link);
    expect_moved();
    EXPECT_THAT(node(1).agentctl({"status"}).out, HasSubstr("moved from"));
    EXPECT_THAT(node(1).agentctl({"status"}).out, HasSubstr("2 pods"));
    EXPECT_THAT(ip(node(1).ns(), "neigh show nud permanent"), HasSubstr("02:00:00:00:09:09"));
    expect_reach(m1().ns(), b().address(), "b", node(1).address());
}

// The port behind the host lets one MAC pass, as port security and hypervisors do.
class MacvlanMoveRefused : public MacvlanMove {
protected:
    void SetUp() override {
        MacvlanMove::SetUp();
        if (GetParam().wire == Layout::Wire::own) {
            ip(node(1).ns(), fmt::format("route replace default via {}", lan().gateway()));
        }
        must_run(lan().ns(), {"bridge", "fdb", "replace", master_mac(), "dev", "port-n1", "master", "static"});
        must_run(lan().ns(), {"bridge", "link", "set", "dev", "port-n1", "locked", "on"});
    }
};
INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanMoveRefused, testing::Values(every_layout.front(), every_layout.back()),
                         name_of_layout);

TEST_P(MacvlanMoveRefused, GatewayThatDoesNotAnswerTheShim_HasEverythingBackInTime) {
    const auto before = host_state();
    const LongConnection to_host(lan().neighbour(), {lan().host_address(1), port});
    EXPECT_EQ(to_host.ask(), fmt::format("host-1 {}", lan().neighbour_address()));
    set_host_address(1, "move");
    EXPECT_TRUE(wait_until([&] { return is_moved(); }, 15s, 5ms)) << state();
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(wait_until([&] { return is_kept() && !is_moved(); }, 15s, 5ms)) << state();
    EXPECT_LT(std::chrono::steady_clock::now() - start, 4s);
    EXPECT_TRUE(wait_until([&] { return faults().empty(); }, 5s)) << faults();
    EXPECT_EQ(to_host.ask(), fmt::format("host-1 {}", lan().neighbour_address()));
    EXPECT_EQ(host_state(), before);
    EXPECT_EQ(node(1).agentctl({"status"}).status, 5);
    const auto status = node(1).agentctl({"status"}).out;
    EXPECT_THAT(status, HasSubstr(fmt::format("the gateway {} did not answer", lan().gateway())));
    EXPECT_THAT(status, HasSubstr("kill -HUP"));
    // Not again, until the port is another.
    EXPECT_FALSE(wait_until([&] { return is_moved(); }, 4s, 50ms));
    must_run(lan().ns(), {"bridge", "link", "set", "dev", "port-n1", "locked", "off"});
    ip(lan().ns(), "link set port-n1 down");
    std::this_thread::sleep_for(200ms);
    ip(lan().ns(), "link set port-n1 up");
    expect_moved();
    node(1).wait_ready();
    EXPECT_EQ(to_host.ask(), fmt::format("host-1 {}", lan().neighbour_address()));
    std::this_thread::sleep_for(4s);
    EXPECT_TRUE(is_moved()) << state();
}

}  // namespace
}  // namespace podlane::net
