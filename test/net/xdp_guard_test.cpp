// SPDX-License-Identifier: Apache-2.0
// The XDP guard on the underlay: where it runs, what it keeps out, what keeps it off.
//
//   forger (raw frames on the wire's bridge) --- port-n2 --- eth0 [guard] node 2 --- pod b
//                                   node 1, pod a --- port-n1 ---'
#include <csignal>

#include <gmock/gmock.h>

#include "test/net/harness/sandbox.h"
#include "test/net/harness/two_nodes.h"
#include "test/net/harness/xdp.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t bulk = 50'000'000;
// Audits come every three seconds.
constexpr auto audit = 5s;

class XdpGuardTest : public TwoNodes {
protected:
    [[nodiscard]] XdpHook hook() { return xdp_hook(node(2).device()); }
    [[nodiscard]] bool runs(std::string_view mode) { return hook().mode == mode; }
    [[nodiscard]] bool runs_within(std::string_view mode, std::chrono::milliseconds timeout = 20s) {
        return wait_until([&] { return runs(mode); }, timeout);
    }
    // Puts it into the configuration of node 2 and waits until the agent says so and has done so.
    void switch_to(const std::string& mode) {
        node(2).set_xdp(mode);
        ASSERT_TRUE(runs_within(mode == "native" || mode == "generic" ? mode : "")) << hook();
        node(2).wait_ready();
    }
    [[nodiscard]] nlohmann::json guard_status() {
        const auto shown = node(2).agentctl({"status", "-o", "json"});
        const auto status = nlohmann::json::parse(shown.out, nullptr, false);
        if (!status.is_object()) {
            return {{"state", "no answer"}, {"reason", ""}, {"action", ""}};
        }
        for (const auto& one : status.at("subsystems")) {
            if (one.at("name") == "guard") {
                return one;
            }
        }
        return nullptr;
    }
    // Waits until the guard's line of `agentctl status` has this state and says that.
    [[nodiscard]] testing::AssertionResult reports(std::string_view state, const std::string& words) {
        nlohmann::json last;
        const bool reached = wait_until(
            [&] {
                last = guard_status();
                return last.at("state") == state &&
                       last.at("reason").get<std::string>().find(words) != std::string::npos;
            },
            audit);
        return reached ? testing::AssertionSuccess() : testing::AssertionFailure() << last;
    }
    [[nodiscard]] nlohmann::json listed() {
        for (const auto& item : node(2).agentctl_json({"link", "list"})) {
            if (item.at("name") == "eth0 underlay-guard") {
                return item;
            }
        }
        return nullptr;
    }
    [[nodiscard]] std::filesystem::path link_pin() {
        for (const auto& entry : std::filesystem::directory_iterator(node(2).bpffs() / "v1" / "links")) {
            if (entry.path().filename().string().starts_with("underlay-guard-")) {
                return entry.path();
            }
        }
        return {};
    }

    // How often the agent has attached the guard, by its log.
    [[nodiscard]] unsigned attachments() {
        constexpr std::string_view line = "attach eth0 underlay-guard";
        const auto log = node(2).agent().output();
        unsigned count = 0;
        for (auto at = log.find(line); at != std::string::npos; at = log.find(line, at + 1)) {
            ++count;
        }
        return count;
    }

    // What a host that is no node sends in pod a's name.
    [[nodiscard]] Bytes spoofed() {
        const Bytes inner =
            ethernet_frame({mac_of({node(2).ns(), overlay_device}), MacAddress({2, 0, 0, 0, 0, 9})},
                           udp_packet({pod_a().address(), pod_b().address()}, {5000, 5001}, Bytes(64, 1)));
        const auto packet = udp_packet({Ipv4Address::parse("192.168.0.77").value(), node(2).address()},
                                       {40000, overlay_port}, vxlan_message(vxlan_flags, 1, inner), UdpChecksum::none);
        return ethernet_frame({mac_of(node(2).device()), mac_of({wire(), Underlay::bridge})}, packet);
    }
    // All are refused by the program that counts under `direction`, none by another, and pod b sees none.
    void expect_spoofed_packets_dropped_at(std::string_view direction) {
        constexpr unsigned count = 200;
        const auto before = node(2).drops("unknown-vtep", direction);
        const auto all_before = node(2).drops("unknown-vtep");
        Capture at_pod(pod_b().ns(), "eth0", udp_frames_to(5001));
        const RawSender sender(wire(), Underlay::bridge);
        const Bytes frame = spoofed();
        for (unsigned i = 0; i < count; ++i) {
            sender.send(frame);
        }
        EXPECT_TRUE(wait_until([&] { return node(2).drops("unknown-vtep", direction) == before + count; }, 20s))
            << node(2).drops("unknown-vtep", direction) - before;
        EXPECT_EQ(node(2).drops("unknown-vtep"), all_before + count);
        EXPECT_TRUE(at_pod.frames().empty());
    }
    void expect_real_traffic_passes() {
        expect_ping(pod_a().ns(), pod_b().address());
        EXPECT_EQ(echo_udp(pod_a().endpoint(), pod_b().endpoint(), {1, 1000, 1422, 1423, 8000}).problem, "");
        EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), bulk).problem, "");
        EXPECT_EQ(exchange_tcp(pod_b().endpoint(), pod_a().endpoint(), bulk).problem, "");
        EXPECT_EQ(exchange_tcp(node(1).endpoint(), pod_b().endpoint(), 1'000'000).problem, "");
        EXPECT_EQ(exchange_tcp(node(1).endpoint(), node(2).endpoint(), bulk).problem, "");
    }
};

// --- insisting ---

class XdpGuardModes : public XdpGuardTest, public testing::WithParamInterface<std::string> {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.xdp = GetParam();
        return options;
    }
};

TEST_P(XdpGuardModes, Guard_RunsInThatMode) {
    EXPECT_TRUE(runs(GetParam())) << hook();
    EXPECT_TRUE(reports("ok", "eth0: " + GetParam()));
    EXPECT_EQ(listed().at("wanted"), GetParam());
    EXPECT_EQ(listed().at("actual"), GetParam());
    EXPECT_EQ(listed().at("state"), "ok");
}

TEST_P(XdpGuardModes, SpoofedPackets_AreDroppedByTheGuard) {
    expect_spoofed_packets_dropped_at("underlay-guard");
}

TEST_P(XdpGuardModes, RealTraffic_PassesAndNothingIsDropped) {
    expect_real_traffic_passes();
    EXPECT_EQ(node(2).agentctl_json({"map", "dump", "drop_counters"}).at(0).at("entries"), nlohmann::json::array());
}

TEST_P(XdpGuardModes, RemovedLink_IsAttachedAgain) {
    const auto before = hook();
    EXPECT_EQ(attachments(), 1U);
    detach_link(link_pin());
    EXPECT_TRUE(wait_until([&] { return attachments() == 2; }, audit));
    EXPECT_EQ(hook(), before);
    std::filesystem::remove(link_pin());
    EXPECT_TRUE(wait_until([&] { return attachments() == 3; }, audit));
    EXPECT_EQ(hook(), before);
    EXPECT_FALSE(link_pin().empty());
    EXPECT_TRUE(reports("ok", GetParam()));
}

TEST_P(XdpGuardModes, RestartedAgent_ReplacesTheProgramInPlace) {
    const auto before = hook();
    node(2).kill_agent();
    EXPECT_EQ(hook(), before) << "the guard stays without an agent";
    expect_spoofed_packets_dropped_at("underlay-guard");
    node(2).start_agent();
    EXPECT_TRUE(wait_until([&] { return hook().program != before.program; }, 20s));
    node(2).wait_ready();
    EXPECT_TRUE(runs(GetParam()));
    expect_spoofed_packets_dropped_at("underlay-guard");
}

TEST_P(XdpGuardModes, Cleanup_TakesItOff) {
    node(2).stop_agent();
    const auto cleaned = run(node(2).ns(), {(program_dir() / "podlane-agent").string(), "cleanup", "--config",
                                            node(2).config_file().string()});
    EXPECT_TRUE(cleaned.ok()) << cleaned.describe();
    EXPECT_THAT(cleaned.out, HasSubstr("underlay-guard-"));
    EXPECT_TRUE(runs_within("", 20s)) << hook();
}

// What another run left is known by its pin, and goes as soon as nobody wants it.
TEST_P(XdpGuardModes, LeftByAnEarlierAgent_IsSwept) {
    node(2).kill_agent();
    node(2).set_xdp("off");
    EXPECT_TRUE(runs(GetParam()));
    node(2).start_agent();
    node(2).wait_ready();
    EXPECT_EQ(hook(), XdpHook());
    EXPECT_EQ(link_pin(), std::filesystem::path());
}

TEST_P(XdpGuardModes, ForeignProgram_SurvivesAndTheNodeIsDegradedUntilItGoes) {
    auto foreign = [this] {
        switch_to("off");
        return std::make_unique<ForeignXdp>(node(2).device());
    }();
    const auto theirs = hook();
    node(2).set_xdp(GetParam());
    node(2).wait_for_status(5);
    EXPECT_TRUE(reports("degraded", "somebody_elses"));
    EXPECT_NE(guard_status().at("action"), "");
    EXPECT_EQ(listed().at("state"), "missing");
    EXPECT_EQ(hook(), theirs);
    expect_spoofed_packets_dropped_at("from-underlay");
    foreign.reset();
    EXPECT_TRUE(runs_within(GetParam(), audit));
    EXPECT_TRUE(reports("ok", GetParam()));
}

TEST_P(XdpGuardModes, ForeignProgramThatComesLater_Survives) {
    // The agent would be quicker: the kernel tells it of a program that goes.
    node(2).agent().signal(SIGSTOP);
    detach_link(link_pin());
    auto foreign = std::make_unique<ForeignXdp>(node(2).device());
    node(2).agent().signal(SIGCONT);
    const auto theirs = hook();
    EXPECT_TRUE(reports("degraded", "somebody_elses"));
    EXPECT_EQ(hook(), theirs);
    foreign.reset();
    EXPECT_TRUE(runs_within(GetParam(), audit));
    EXPECT_TRUE(reports("ok", GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Modes, XdpGuardModes, testing::Values("generic", "native"),
                         [](const auto& mode) { return mode.param; });

// --- choosing ---

TEST_F(XdpGuardTest, AutoOnVeth_LeavesTheDeviceToTcAndSaysWhy) {
    EXPECT_EQ(hook(), XdpHook());
    EXPECT_TRUE(reports("ok", "eth0: tc alone: XDP in a veth's driver turns its peer's segmentation offload off"));
    EXPECT_EQ(listed().at("wanted"), "auto");
    EXPECT_THAT(listed().at("actual").get<std::string>(), HasSubstr("tc alone"));
    EXPECT_EQ(listed().at("state"), "ok");
    expect_spoofed_packets_dropped_at("from-underlay");
}

// Why auto does not: what it would cost is seen at the other end.
TEST_F(XdpGuardTest, NativeOnVeth_TakesThePeersSegmentationOffload) {
    const DeviceRef peer{wire(), Underlay::port_of("n2")};
    EXPECT_EQ(offload_of(peer, "tcp-segmentation-offload"), Offload::on);
    switch_to("native");
    EXPECT_EQ(offload_of(peer, "tcp-segmentation-offload"), Offload::off);
    switch_to("auto");
    EXPECT_EQ(offload_of(peer, "tcp-segmentation-offload"), Offload::on);
}

TEST_F(XdpGuardTest, AutoBesideAForeignProgram_StepsBackAndSaysSo) {
    const ForeignXdp foreign(node(2).device());
    const auto theirs = hook();
    EXPECT_TRUE(reports("ok", "eth0: tc alone: another XDP program runs there: somebody_elses"));
    EXPECT_EQ(node(2).agentctl({"status"}).status, 0);
    EXPECT_EQ(hook(), theirs);
    expect_spoofed_packets_dropped_at("from-underlay");
}

TEST_F(XdpGuardTest, ChangedConfiguration_SwitchesARunningAgent) {
    for (const char* mode : {"native", "generic", "off", "generic", "native", "auto"}) {
        SCOPED_TRACE(mode);
        switch_to(mode);
        const bool guarded = !hook().mode.empty();
        expect_spoofed_packets_dropped_at(guarded ? "underlay-guard" : "from-underlay");
        EXPECT_EQ(link_pin().empty(), !guarded);
    }
}

TEST_F(XdpGuardTest, Off_IsSaidAndListsNothing) {
    switch_to("off");
    EXPECT_TRUE(reports("ok", "off: the programs at tc check alone"));
    EXPECT_TRUE(listed().is_null());
}

// --- jumbo frames ---

class XdpGuardJumbo : public XdpGuardTest {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.underlay_mtu = 9000;
        return options;
    }
    void SetUp() override {
        XdpGuardTest::SetUp();
        if (node(2).agentctl_json({"status"}).at("details").at("features").at("xdp") != "several buffers") {
            GTEST_SKIP() << "this kernel gives XDP programs one buffer (needs Linux 5.18)";
        }
    }
};

TEST_F(XdpGuardJumbo, NativeGuardForSeveralBuffers_LetsRealTrafficPass) {
    switch_to("native");
    expect_real_traffic_passes();
    expect_spoofed_packets_dropped_at("underlay-guard");
}

class XdpGuardRefused : public XdpGuardTest {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.underlay_mtu = 9000;
        options.without = {"xdp-fragments"};
        return options;
    }
};

// A veth takes a program for one buffer up to some 3,500 bytes of MTU.
TEST_F(XdpGuardRefused, DriverThatRefuses_DegradesTheNodeAndTrafficGoesOn) {
    node(2).set_xdp("native");
    node(2).wait_for_status(5);
    EXPECT_TRUE(reports("degraded", "eth0: tc alone: the driver refuses it"));
    EXPECT_EQ(hook(), XdpHook());
    EXPECT_EQ(exchange_tcp(pod_a().endpoint(), pod_b().endpoint(), bulk).problem, "");
    expect_spoofed_packets_dropped_at("from-underlay");
    switch_to("auto");
}

}  // namespace
}  // namespace podlane::net
