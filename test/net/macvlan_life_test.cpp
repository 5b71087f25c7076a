// SPDX-License-Identifier: Apache-2.0
// What happens to a macvlan shim in its life: made, broken, taken away, while the LAN goes on.
//
//   veth a (10.244.1.x) --- node 1 --- em2 .100 ---+ LAN +--- em2 .101 --- node 2 --- veth b (10.244.2.x)
//   mac m1 .51, m2 .52 ----------------- em2 ------+     +--- neighbour .200
//
// Whatever the test: the LAN sees one MAC for node 1's address.
#include <csignal>
#include <filesystem>

#include "test/net/harness/hooks.h"
#include "test/net/harness/sandbox.h"
#include "test/net/macvlan_scene.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

class MacvlanLife : public MacvlanScene {
protected:
    void SetUp() override {
        MacvlanScene::SetUp();
        configure();
        add_macvlan_pods();
    }
    void expect_whole() {
        EXPECT_TRUE(wait_until([&] { return faults().empty() && has_link(1, shim); }, 15s, 10ms)) << faults();
        node(1).wait_ready();
        expect_cells_of_lan();
        expect_reach(m1().ns(), a().address(), "a", m1().address());
        expect_reach(m1().ns(), b().address(), "b", node(1).address());
    }
    // Breaks something; a pod that keeps asking reaches its host again, and the time it took is printed.
    template <typename Damage>
    void expect_mended(Damage damage) {
        damage();
        const auto start = std::chrono::steady_clock::now();
        EXPECT_TRUE(wait_until([&] { return ping(m1().ns(), lan().host_address(1), 1).answered == 1; }, 15s, 1ms));
        const auto took =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
        std::printf("the host is reached again after %lld ms\n", static_cast<long long>(took.count()));
        RecordProperty("milliseconds", std::to_string(took.count()));
        expect_whole();
    }
    [[nodiscard]] nlohmann::json shim_link() {
        return nlohmann::json::parse(ip(node(1).ns(), fmt::format("-j link show {}", shim))).at(0);
    }
};

INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanLife, testing::Values(every_layout.front(), every_layout.back()),
                         name_of_layout);

TEST_P(MacvlanLife, ShimThatIsDeleted_ComesBackWithItsMac) {
    const auto mac = shim_link().at("address");
    expect_mended([&] { ip(node(1).ns(), fmt::format("link del {}", shim)); });
    EXPECT_EQ(shim_link().at("address"), mac);
    EXPECT_THAT(node(1).agentctl({"status"}).out, HasSubstr("repair"));
}

TEST_P(MacvlanLife, ShimThatIsDown_ComesUp) {
    expect_mended([&] { ip(node(1).ns(), fmt::format("link set {} down", shim)); });
}

TEST_P(MacvlanLife, ShimInAnotherMode_IsMadeAnew) {
    expect_mended([&] { ip(node(1).ns(), fmt::format("link set {} type macvlan mode private", shim)); });
}

TEST_P(MacvlanLife, AddressRoutesAndNeighboursOfTheShim_ComeBack) {
    expect_mended([&] { ip(node(1).ns(), fmt::format("address flush dev {}", shim)); });
    expect_mended([&] { ip(node(1).ns(), fmt::format("route flush dev {}", shim)); });
    expect_mended([&] { ip(node(1).ns(), fmt::format("neigh flush dev {} nud permanent", shim)); });
}

TEST_P(MacvlanLife, RestartOfTheNetwork_EndsWhole) {
    expect_mended([&] { lan().restart_network(node(1).ns(), 1); });
    expect_mended([&] {
        ip(node(1).ns(), fmt::format("link del {}", shim));
        lan().restart_network(node(1).ns(), 1);
    });
}

// Nothing tells the agent, which looks every 3 s; until then the LAN sees what the gates are for.
TEST_P(MacvlanLife, HooksThatAreDetached_AreAttachedAgain) {
    const auto index = shim_link().at("ifindex").get<int>();
    for (const auto& [hook, direction] : {std::pair{"from-shim", "ingress"}, {"to-shim", "egress"}}) {
        if (!std::filesystem::remove(node(1).bpffs() / "v1" / "links" / fmt::format("{}-{}", hook, index))) {
            must_run(node(1).ns(), {"tc", "filter", "del", "dev", shim, direction});
        }
    }
    EXPECT_TRUE(wait_until([&] { return census().macs().size() == 2; }, 5s)) << "no gate was needed";
    EXPECT_TRUE(wait_until([&] { return faults().empty(); }, 15s)) << faults();
    expect_cells_of_lan();
    forget_census();
}

// Without a shim at first.
class MacvlanStart : public MacvlanScene {};
INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanStart, testing::ValuesIn(every_layout), name_of_layout);

TEST_P(MacvlanStart, ConnectionsFromTheLanOutliveTheMakingOfTheShim) {
    const LongConnection to_host(lan().neighbour(), {lan().host_address(1), port});
    const auto seen = fmt::format("host-1 {}", lan().neighbour_address());
    EXPECT_EQ(to_host.ask(), seen);
    configure();
    EXPECT_EQ(to_host.ask(), seen);
    node(1).kill_agent();
    ip(node(1).ns(), fmt::format("link del {}", shim));
    node(1).start_agent();
    wait_for_shim(1);
    EXPECT_EQ(to_host.ask(), seen);
}

TEST_P(MacvlanStart, DeviceOfThatNameThatIsSomebodyElses_IsLeftAlone) {
    ip(node(1).ns(), fmt::format("link add {} link {} type macvlan mode bridge", shim, lan().device()));
    set_macvlan(1, fmt::format("macvlan: [{{name: lan, master: {}, shim: {}}}]\n", lan().device(), shim));
    node(1).wait_for_status(5);
    EXPECT_TRUE(wait_until([&] { return node(1).agentctl({"status"}).out.contains("it is not podlane's"); }, 10s))
        << node(1).agentctl({"status"}).out;
    EXPECT_THAT(node(1).agentctl({"link", "list"}).out, Not(HasSubstr("from-shim")));
    EXPECT_EQ(ip(node(1).ns(), fmt::format("address show {} up", shim)), "");
    expect_ping(a().ns(), b().address(), 1);
    MacvlanPod pod(node(1), lan(), "m1", 51);
    const auto reply = pod.put();
    EXPECT_EQ(reply.status, 409);
    EXPECT_THAT(reply.body, HasSubstr("the shim of"));
    ip(node(1).ns(), fmt::format("link del {}", shim));
    wait_for_shim(1);
    EXPECT_EQ(pod.put().status, 200);
    expect_reach(pod.ns(), lan().host_address(1), "host-1", pod.address());
}

TEST_P(MacvlanStart, MasterThatIsAMacvlan_IsRefusedInWords) {
    ip(node(1).ns(), fmt::format("link add mac0 link {} type macvlan mode bridge", lan().device()));
    set_macvlan(1, fmt::format("macvlan: [{{name: lan, master: mac0, shim: {}}}]\n", shim));
    node(1).wait_for_status(5);
    EXPECT_TRUE(wait_until(
        [&] {
            return node(1)
                .agentctl({"status"})
                .out.contains("its master mac0 is a macvlan itself; the device that it is on can be the master");
        },
        10s))
        << node(1).agentctl({"status"}).out;
    EXPECT_FALSE(has_link(1, shim));
}

class MacvlanMaster : public MacvlanLife {};
INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanMaster, testing::Values(every_layout.front()), name_of_layout);

TEST_P(MacvlanMaster, AnotherMtu_IsTheShimsToo) {
    ip(node(1).ns(), "link set em2 mtu 1400");
    EXPECT_TRUE(wait_until([&] { return shim_link().at("mtu") == 1400; }, 10s));
    ip(node(1).ns(), "link set em2 mtu 1500");
    EXPECT_TRUE(wait_until([&] { return shim_link().at("mtu") == 1500; }, 10s));
    expect_whole();
}

TEST_P(MacvlanMaster, AnotherAddress_IsTheShimsToo) {
    const auto has_address = [&](std::string_view address) {
        return wait_until(
            [&] { return faults().empty() && ip(node(1).ns(), "route show 172.20.7.51").contains(address); }, 10s);
    };
    ip(node(1).ns(), "address flush dev em2");
    EXPECT_TRUE(wait_until([&] { return node(1).agentctl({"status"}).status == 5; }, 10s));
    ip(node(1).ns(), "address add 172.20.7.110/24 dev em2");
    EXPECT_TRUE(has_address("172.20.7.110"));
    expect_ping(m1().ns(), lan().address(110), 1);
    ip(node(1).ns(), "address flush dev em2");
    ip(node(1).ns(), "address add 172.20.7.100/24 dev em2");
    EXPECT_TRUE(has_address("172.20.7.100"));
    expect_whole();
}

// keepalived's, with its default mask. Pods have routes by the host's own.
TEST_P(MacvlanMaster, AddressThatFailsOverBetweenHosts_DoesNotTakeThePlaceOfTheHosts) {
    const auto own = fmt::format("{}/24", lan().host_address(1));
    ip(node(1).ns(), fmt::format("address add {}/32 dev em2", lan().address(253)));
    ip(node(1).ns(), fmt::format("address delete {} dev em2", own));
    ip(node(1).ns(), fmt::format("address add {} dev em2", own));
    ip(node(1).ns(), fmt::format("route replace default via {} dev em2", lan().gateway()));
    EXPECT_TRUE(wait_until(
        [&] {
            return ip(node(1).ns(), fmt::format("-4 address show {}", shim))
                .contains(lan().host_address(1).to_string());
        },
        10s));
    expect_whole();
}

TEST_P(MacvlanMaster, ThatGoesAndComesBack_HasItsShimAgain) {
    ip(node(1).ns(), "link del em2");  // and the pods' macvlans on it
    EXPECT_TRUE(wait_until([&] { return node(1).agentctl({"status"}).status == 5; }, 10s));
    EXPECT_THAT(node(1).agentctl({"status"}).out, HasSubstr("its master em2 is not there"));
    lan().join(node(1).ns(), node(1).name() + "x", 1);
    wait_for_shim(1);
    node(1).wait_ready();
    EXPECT_TRUE(wait_until([&] { return !ip(node(1).ns(), "route show 172.20.7.51 dev podlane-lan").empty(); }, 5s));
}

class MacvlanAgent : public MacvlanLife {};
INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanAgent, testing::Values(every_layout.front(), every_layout[1]), name_of_layout);

TEST_P(MacvlanAgent, RestartChangesNothing) {
    const auto before = shim_link();
    node(1).kill_agent();
    node(1).start_agent();
    node(1).wait_ready();
    EXPECT_EQ(shim_link(), before);
    expect_all_cells();
}

// Its records are gone too: the pods are known by the shim's neighbours.
TEST_P(MacvlanAgent, LostRunDirectory_LosesNoPod) {
    node(1).kill_agent();
    std::filesystem::remove_all(node(1).run_dir() / "endpoints");
    node(1).start_agent();
    node(1).wait_ready();
    expect_cells_of_lan();
    expect_reach(m1().ns(), b().address(), "b", node(1).address());
    EXPECT_EQ(m1().put().status, 200) << "its record comes back";
    EXPECT_EQ(m1().remove().status, 200);
    EXPECT_EQ(ip(node(1).ns(), fmt::format("route show {}", m1().address())), "");
}

// The plugin removes the record; what the shim knows of the pod is left over.
TEST_P(MacvlanAgent, PodThatIsDeletedWhileNoAgentRuns_IsNotTakenOver) {
    const auto record = node(1).run_dir() / "endpoints" / "n1-m2-eth0.json";
    ASSERT_TRUE(std::filesystem::exists(record));
    node(1).kill_agent();
    std::filesystem::remove(record);
    node(1).start_agent();
    node(1).wait_ready();
    EXPECT_TRUE(wait_until(
        [&] { return !ip(node(1).ns(), fmt::format("route show dev {}", shim)).contains(m2().address().to_string()); },
        10s));
    EXPECT_EQ(ip(node(1).ns(), fmt::format("neighbour show {} dev {}", m2().address(), shim)), "");
    expect_reach(m1().ns(), lan().host_address(1), "host-1", m1().address());
}

// The first agent to find the records lost takes the pods over; the next ones still know them.
TEST_P(MacvlanAgent, PodsThatWereTakenOver_StayOverFurtherRestarts) {
    node(1).kill_agent();
    std::filesystem::remove_all(node(1).run_dir() / "endpoints");
    for (int restart = 0; restart < 2; ++restart) {
        node(1).start_agent();
        node(1).wait_ready();
        expect_reach(m1().ns(), lan().host_address(1), "host-1", m1().address());
        node(1).kill_agent();
    }
    node(1).start_agent();
    node(1).wait_ready();
    expect_reach(m1().ns(), lan().host_address(1), "host-1", m1().address());
}

TEST_P(MacvlanAgent, PodWhoseNamespaceIsGone_IsForgotten) {
    macvlan_pods_.push_back(std::make_unique<MacvlanPod>(node(1), lan(), "m4", 54));
    auto& brief = *macvlan_pods_.back();
    const auto link = node(1).run_dir() / "m4-netns";
    std::filesystem::create_symlink(brief.ns().path(), link);
    brief.record()["netns"] = link.string();
    ASSERT_EQ(brief.put().status, 200);
    expect_reach(brief.ns(), lan().host_address(1), "host-1", brief.address());
    std::filesystem::remove(link);
    EXPECT_TRUE(
        wait_until([&] { return ip(node(1).ns(), fmt::format("route show {}", brief.address())).empty(); }, 10s));
    EXPECT_EQ(brief.remove().status, 404);
}

TEST_P(MacvlanAgent, NetworkThatIsRenamedOrRemoved_IsSoInTheKernel) {
    const auto mac = shim_link().at("address");
    set_macvlan(1, fmt::format("macvlan: [{{name: lan, master: {}, shim: podlane-other}}]\n", lan().device()));
    wait_for_shim(1, "podlane-other");
    EXPECT_FALSE(has_link(1, shim));
    expect_reach(m1().ns(), lan().host_address(1), "host-1", m1().address());
    set_macvlan(1, "");
    EXPECT_TRUE(wait_until([&] { return !has_link(1, "podlane-other"); }, 15s));
    node(1).wait_ready();
    EXPECT_EQ(ping(m1().ns(), lan().host_address(1), 1).answered, 0U);
    configure();
    EXPECT_EQ(shim_link().at("address"), mac);
    expect_whole();
}

TEST_P(MacvlanAgent, LongConnectionsFromTheLan_OutliveEverything) {
    const LongConnection to_host(lan().neighbour(), {lan().host_address(1), port});
    const LongConnection from_pod(m1().ns(), {b().address(), port});
    const auto expect_alive = [&] {
        EXPECT_EQ(to_host.ask(), fmt::format("host-1 {}", lan().neighbour_address()));
        EXPECT_EQ(from_pod.ask(), fmt::format("b {}", node(1).address()));
    };
    expect_alive();
    ip(node(1).ns(), fmt::format("link del {}", shim));
    EXPECT_TRUE(wait_until([&] { return faults().empty() && has_link(1, shim); }, 15s)) << faults();
    expect_alive();
    node(1).kill_agent();
    expect_alive();
    node(1).start_agent();
    node(1).wait_ready();
    expect_alive();
    for (const auto& pod : macvlan_pods_) {
        static_cast<void>(pod->remove());
    }
    node(1).remove_pod(a());
    EXPECT_EQ(node(1).stop_agent(), 0);
    const auto cleaned = run(node(1).ns(), {(program_dir() / "podlane-agent").string(), "cleanup", "--config",
                                            node(1).config_file().string()});
    EXPECT_THAT(cleaned.out, HasSubstr(fmt::format("delete link {}", shim)));
    EXPECT_THAT(cleaned.out, HasSubstr("remains: nothing"));
    EXPECT_FALSE(has_link(1, shim));
    EXPECT_EQ(to_host.ask(), fmt::format("host-1 {}", lan().neighbour_address()));
}

TEST_P(MacvlanAgent, MacOfTheMaster_MayChange) {
    // The LAN is told the new one by ARP; so there are two over time, and one at any moment.
    const auto mac = shim_link().at("address");
    set_mac({node(1).ns(), lan().device()}, MacAddress({2, 0, 0, 0, 7, 0x64}));
    MacCensus after(lan(), node(1).name(), lan().host_address(1));
    EXPECT_TRUE(wait_until([&] { return ping(lan().neighbour(), lan().host_address(1), 1).answered == 1; }, 60s));
    expect_whole();
    EXPECT_EQ(shim_link().at("address"), mac);
    EXPECT_EQ(after.macs(), std::set<std::string>{"02:00:00:00:07:64"});
    forget_census();
}

}  // namespace
}  // namespace podlane::net
