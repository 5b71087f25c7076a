// SPDX-License-Identifier: Apache-2.0
// Agents that take other ways than the ones before them, while packets flow.
//
//   pod a --- node 1 === VXLAN === node 2 --- pod b          agent 1 is started anew with other switches
#include <atomic>
#include <csignal>
#include <fstream>
#include <future>
#include <iterator>

#include "test/net/harness/sandbox.h"
#include "test/net/two_nodes_with_switches.h"

namespace podlane::net {
namespace {

class SwitchTest : public TwoNodesWithSwitches {
protected:
    [[nodiscard]] bool has_tcx() { return features_of(node(1)).at("hooks") == "tcx"; }
    [[nodiscard]] std::vector<std::string> devices() {
        return {overlay_device, Underlay::node_device, pod_a().host_device()};
    }
    void expect_no_hooks() {
        for (const auto& device : {std::string(Underlay::node_device), pod_a().host_device()}) {
            EXPECT_EQ(count_hooks({node(1).ns(), device}), HookCount{}) << device;
        }
    }
    Completed clean_up(const std::vector<std::string>& switches) {
        std::vector<std::string> command = {(program_dir() / "podlane-agent").string(), "cleanup", "--config",
                                            node(1).config_file().string()};
        command.insert(command.end(), switches.begin(), switches.end());
        return run(node(1).ns(), command);
    }
    void use_underlay(const std::string& device) {
        std::ifstream file(node(1).config_file());
        std::string config(std::istreambuf_iterator<char>(file), {});
        const auto at = config.find("device: ");
        write_file_atomically(node(1).config_file(),
                              config.replace(at, config.find('}', at) - at, "device: " + device));
    }
    // There and back, until the stream has seen both.
    void switch_during_a_stream(const std::vector<std::string>& without) {
        std::atomic<bool> done{false};
        auto transfer = std::async(std::launch::async, [&] {
            auto outcome = exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), 1'000'000'000);
            done = true;
            return outcome;
        });
        unsigned rounds = 0;
        for (; !done && rounds < 3; ++rounds) {
            restart_without(node(1), without);
            expect_one_set_of_hooks(node(1), devices());
            restart_without(node(1), {});
            expect_one_set_of_hooks(node(1), devices());
        }
        EXPECT_EQ(transfer.get().problem, "");
        EXPECT_GE(rounds, 1U);
    }
    void expect_no_loss_while_switching(const std::vector<std::string>& there, const std::vector<std::string>& back) {
        UdpStream outward(pod_a().endpoint(), pod_b().endpoint());
        UdpStream inward(pod_b().endpoint(), pod_a().endpoint());
        UdpStream from_host(node(1).endpoint(), pod_b().endpoint());
        ASSERT_TRUE(wait_until([&] { return outward.echoed() > 100 && inward.echoed() > 100; }, 20s));
        restart_without(node(1), there);
        expect_one_set_of_hooks(node(1), devices());
        restart_without(node(1), back);
        expect_one_set_of_hooks(node(1), devices());
        for (UdpStream* stream : {&outward, &inward, &from_host}) {
            const auto totals = stream->stop();
            EXPECT_GT(totals.sent, 200U);
            EXPECT_EQ(totals.at_server, totals.sent);
            EXPECT_EQ(totals.echoed, totals.sent);
        }
    }
};

TEST_F(SwitchTest, OtherHooks_CarryARunningTcpStream) {
    if (!has_tcx()) {
        GTEST_SKIP() << "this kernel has no TCX to switch from";
    }
    switch_during_a_stream({"tcx"});
}

TEST_F(SwitchTest, OtherHooks_LoseNoPacket) {
    if (!has_tcx()) {
        GTEST_SKIP() << "this kernel has no TCX to switch from";
    }
    // The first time a clsact qdisc is added to each device. The kernel stops a device for that (qdisc_graft), and what
    // is sent meanwhile is lost, whoever asks for it.
    restart_without(node(1), {"tcx"});
    expect_no_loss_while_switching({}, {"tcx"});
}

TEST_F(SwitchTest, OtherEncapsulation_CarriesARunningTcpStream) {
    switch_during_a_stream({"own-headers"});
}

TEST_F(SwitchTest, OtherEncapsulation_LosesNoPacket) {
    expect_no_loss_while_switching({"own-headers"}, {});
}

TEST_F(SwitchTest, EverythingAtOnce_CarriesARunningTcpStream) {
    switch_during_a_stream({"tcx", "own-headers"});
}

// An agent that was killed between attaching by one way and detaching by the other leaves both.
TEST_F(SwitchTest, HooksOfBothKinds_AreOneSetAfterTheNextStart) {
    if (!has_tcx()) {
        GTEST_SKIP() << "this kernel has no TCX to have both with";
    }
    const auto pins = node(1).bpffs() / "v1" / "links";
    const auto aside = node(1).bpffs() / "aside";
    node(1).stop_agent();
    std::filesystem::create_directory(aside);
    for (const auto& pin : std::filesystem::directory_iterator(pins)) {
        std::filesystem::rename(pin.path(), aside / pin.path().filename());
    }
    node(1).set_without({"tcx"});
    node(1).start_agent();
    node(1).wait_ready();
    node(1).stop_agent();
    for (const auto& pin : std::filesystem::directory_iterator(aside)) {
        std::filesystem::rename(pin.path(), pins / pin.path().filename());
    }
    EXPECT_EQ(count_hooks(node(1).device()), (HookCount{1, 1, 1, 1}));

    node(1).start_agent();
    node(1).wait_ready();
    expect_one_set_of_hooks(node(1), devices());
    restart_without(node(1), {});
    expect_one_set_of_hooks(node(1), devices());
    expect_ping(pod_a().ns(), pod_b().address());
}

// A device that was the underlay of an earlier agent, and became a bridge's port: routed packets leave by the bridge.
TEST_F(SwitchTest, FiltersOnADeviceThatIsNoLongerWanted_AreGoneAfterTheNextStart) {
    connect_by_veth({node(1).ns(), "spare0"}, {wire(), "spare-end"}, 1500);
    ip(node(1).ns(), "link add bridge0 type bridge");
    const DeviceRef spare{node(1).ns(), "spare0"};
    for (const auto& without : {std::vector<std::string>{"tcx"}, std::vector<std::string>{}}) {
        node(1).stop_agent();
        ip(node(1).ns(), "link set spare0 nomaster");
        node(1).set_without({"tcx"});
        use_underlay("spare0");
        node(1).start_agent();
        ASSERT_TRUE(wait_until([&] { return count_hooks(spare) == one_by_clsact; }, 20s));
        node(1).stop_agent();
        ip(node(1).ns(), "link set spare0 master bridge0");
        use_underlay(Underlay::node_device);
        node(1).set_without(without);
        node(1).start_agent();
        node(1).wait_ready();
        EXPECT_EQ(count_hooks(spare), HookCount{});
    }
}

TEST_F(SwitchTest, Reload_KeepsTheSwitch) {
    restart_without(node(1), {"tcx", "own-headers"});
    node(1).agent().signal(SIGHUP);
    ASSERT_TRUE(wait_until([&] { return node(1).agent().output().find("starting anew") != std::string::npos; }, 20s));
    node(1).wait_ready();
    EXPECT_EQ(features_of(node(1)).at("hooks"), "clsact");
    EXPECT_EQ(features_of(node(1)).at("encapsulation"), "tunnel device");
    expect_one_set_of_hooks(node(1), devices());
}

TEST_F(SwitchTest, Cleanup_RemovesTheHooksOfEitherKindWhateverTheSwitch) {
    node(1).stop_agent();
    const auto cleaned = clean_up({"--without-feature", "tcx"});
    EXPECT_TRUE(cleaned.ok()) << cleaned.describe();
    EXPECT_EQ(cleaned.err, "");
    expect_no_hooks();

    node(1).set_without({"tcx"});
    node(1).start_agent();
    node(1).wait_ready();
    EXPECT_EQ(count_hooks(node(1).device()), one_by_clsact);
    node(1).stop_agent();
    const auto again = clean_up({});
    EXPECT_TRUE(again.ok()) << again.describe();
    EXPECT_EQ(again.err, "");
    expect_no_hooks();
}

}  // namespace
}  // namespace podlane::net
