// SPDX-License-Identifier: Apache-2.0
// What somebody breaks behind the agent's back, while packets flow: mended without a trigger, counted, and said.
//
//   pod a --- node 1 === VXLAN === node 2 --- pod b          node 1 is what breaks
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/mount.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>

#include <gmock/gmock.h>

#include "maps/typed_map.h"
#include "test/net/two_nodes_with_switches.h"

namespace podlane::net {
namespace {

using testing::Contains;
using testing::HasSubstr;

// The contract's are 1 s where the kernel tells, and 5 s where one has to look. What it took is printed; the limits
// here only keep a busy machine from failing a test.
constexpr auto patience = 15s;

class HealingTest : public TwoNodesWithSwitches {
protected:
    // Also of a node that is degraded for the moment.
    [[nodiscard]] nlohmann::json repairs() {
        const auto status = nlohmann::json::parse(node(1).agentctl({"status", "-o", "json"}).out);
        return status.at("details").at("repairs");
    }
    [[nodiscard]] std::uint64_t repair_count() { return repairs().at("total").get<std::uint64_t>(); }
    // "overlay: add route 10.244.2.0/24 ...", oldest first.
    [[nodiscard]] std::vector<std::string> repairs_made() {
        std::vector<std::string> lines;
        const auto made = repairs();
        for (const auto& one : made.at("recent")) {
            lines.push_back(one.at("subsystem").get<std::string>() + ": " + one.at("what").get<std::string>());
        }
        return lines;
    }
    // Devices, routes and hooks that are not as wanted.
    [[nodiscard]] std::string faults() {
        std::string lines;
        for (const auto& item : node(1).agentctl_json({"link", "list"})) {
            if (item.at("state") != "ok") {
                lines += item.dump() + "\n";
            }
        }
        return lines;
    }
    // Breaks something, and waits until it is whole again by a repair that reads like `repair`.
    template <typename Damage>
    void expect_mended(Damage damage, const std::string& repair) {
        const auto before = repair_count();
        const auto start = std::chrono::steady_clock::now();
        damage();
        const bool mended = wait_until([&] { return repair_count() > before && faults().empty(); }, patience, 5ms);
        const auto took =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
        EXPECT_TRUE(mended) << faults();
        EXPECT_THAT(repairs_made(), Contains(HasSubstr(repair)));
        std::printf("mended after %lld ms: %s\n", static_cast<long long>(took.count()), repair.c_str());
        RecordProperty("milliseconds", std::to_string(took.count()));
        node(1).wait_ready();
        expect_ping(pod_a().ns(), pod_b().address());
        expect_ping(node(1).ns(), pod_b().address());
    }
    [[nodiscard]] std::string pin(std::string_view kind, std::string_view name) {
        return node(1).bpffs() / "v1" / kind / name;
    }
    [[nodiscard]] std::string hook_pin(std::string_view hook, const std::string& device) {
        return pin("links", fmt::format("{}-{}", hook, ifindex_of(device)));
    }
    [[nodiscard]] std::uint32_t ifindex_of(const std::string& device) {
        const auto link = nlohmann::json::parse(ip(node(1).ns(), "-j link show " + device));
        return link.at(0).at("ifindex").get<std::uint32_t>();
    }
    [[nodiscard]] static std::uint32_t map_id(const std::string& pin) {
        const Fd map(bpf_obj_get(pin.c_str()));
        bpf_map_info info{};
        __u32 length = sizeof(info);
        return bpf_obj_get_info_by_fd(map.get(), &info, &length) == 0 ? info.id : 0;
    }
};

struct NetworkDamage {
    std::string name;
    std::string command;  // of ip; {pod} is the pod's device
    std::string repair;
};

class NetworkDamageTest : public HealingTest, public testing::WithParamInterface<NetworkDamage> {};

TEST_P(NetworkDamageTest, IsMendedAndCounted) {
    UdpStream stream(pod_a().endpoint(), pod_b().endpoint());
    ASSERT_TRUE(wait_until([&] { return stream.echoed() > 100; }, 5s));
    auto command = GetParam().command;
    if (const auto at = command.find("{pod}"); at != std::string::npos) {
        command.replace(at, 5, pod_a().host_device());
    }
    expect_mended([&] { ip(node(1).ns(), command); }, GetParam().repair);
    const auto echoed = stream.echoed();
    EXPECT_TRUE(wait_until([&] { return stream.echoed() > echoed + 100; }, 5s));
    const auto totals = stream.stop();
    std::printf("lost %zu of %zu datagrams\n", totals.sent - totals.echoed, totals.sent);
}

INSTANTIATE_TEST_SUITE_P(
    Damages, NetworkDamageTest,
    testing::Values(
        NetworkDamage{"OverlayDeviceDeleted", "link del podlane0", "overlay: create link podlane0"},
        NetworkDamage{"OverlayDeviceDown", "link set podlane0 down", "overlay: change link podlane0"},
        NetworkDamage{"OverlayDeviceWithAnotherMac", "link set podlane0 address 02:11:22:33:44:55",
                      "overlay: change link podlane0"},
        NetworkDamage{"OverlayDeviceWithAnotherMtu", "link set podlane0 mtu 1300", "overlay: change link podlane0"},
        NetworkDamage{"OverlayAddressRemoved", "addr flush dev podlane0", "overlay: add address 192.168.0.1"},
        NetworkDamage{"RoutesFlushed", "route flush proto 80", "overlay: add route 10.244.2.0/24"},
        NetworkDamage{"RouteElsewhere", "route replace 10.244.2.0/24 dev eth0 proto 80",
                      "overlay: change route 10.244.2.0/24"},
        NetworkDamage{"NeighbourRemoved", "neigh flush nud permanent dev {pod}", "overlay: add neighbour 10.244.1."}),
    [](const auto& damage) { return damage.param.name; });

struct SettingDamage {
    std::string name;
    std::string key;  // below net/ipv4/conf/DEVICE
    std::string value;
    bool on_pod = false;
};

class SettingDamageTest : public HealingTest, public testing::WithParamInterface<SettingDamage> {};

TEST_P(SettingDamageTest, IsMendedAndCounted) {
    const auto& [name, setting, value, on_pod] = GetParam();
    const auto key = fmt::format("net/ipv4/conf/{}/{}", on_pod ? pod_a().host_device() : overlay_device, setting);
    expect_mended([&] { set_sysctl(node(1).ns(), key, value); }, "overlay: set " + key);
}

INSTANTIATE_TEST_SUITE_P(Damages, SettingDamageTest,
                         testing::Values(SettingDamage{"OverlayForwarding", "forwarding", "0"},
                                         SettingDamage{"OverlayReversePathFilter", "rp_filter", "1"},
                                         SettingDamage{"OverlayAcceptLocal", "accept_local", "1"},
                                         SettingDamage{"PodForwarding", "forwarding", "0", true},
                                         SettingDamage{"PodReversePathFilter", "rp_filter", "1", true},
                                         SettingDamage{"PodAcceptLocal", "accept_local", "1", true}),
                         [](const auto& damage) { return damage.param.name; });

TEST_F(HealingTest, ForwardingOfTheHost_IsTurnedOnAgain) {
    expect_mended([&] { set_sysctl(node(1).ns(), "net/ipv4/ip_forward", "0"); }, "overlay: set net/ipv4/ip_forward");
}

TEST_F(HealingTest, UntouchedNode_HasNoRepairs) {
    ip(node(1).ns(), "link set eth0 mtu 1400");  // another wish, no damage
    EXPECT_TRUE(wait_until([&] { return ip(node(1).ns(), "link show podlane0").find("mtu 1350") != std::string::npos; },
                           patience));
    EXPECT_EQ(repair_count(), 0U) << repairs();
    EXPECT_THAT(node(1).agentctl({"status"}).out, HasSubstr("none needed"));
}

TEST_F(HealingTest, DetachedTcxLink_IsAttachedAgain) {
    if (features_of(node(1)).at("hooks") != "tcx") {
        GTEST_SKIP() << "this kernel has no TCX";
    }
    for (const auto& [hook, device] :
         std::vector<std::pair<std::string, std::string>>{{"from-pod", pod_a().host_device()},
                                                          {"from-underlay", Underlay::node_device},
                                                          {"to-overlay", overlay_device}}) {
        expect_mended(
            [&] {
                const Fd link(bpf_obj_get(hook_pin(hook, device).c_str()));
                ASSERT_EQ(bpf_link_detach(link.get()), 0);
            },
            fmt::format("datapath: attach {} {}", device, hook));
    }
}

TEST_F(HealingTest, RemovedLinkPin_IsAttachedAgain) {
    if (features_of(node(1)).at("hooks") != "tcx") {
        GTEST_SKIP() << "this kernel has no TCX";
    }
    const auto path = hook_pin("to-pod", pod_a().host_device());
    expect_mended([&] { ASSERT_EQ(::unlink(path.c_str()), 0); }, "datapath: attach " + pod_a().host_device());
}

TEST_F(HealingTest, RemovedMapPins_AreThoseOfTheSameMapsAgain) {
    const auto path = pin("maps", "nodes_by_pod_cidr");
    const auto id = map_id(path);
    ASSERT_NE(id, 0U);
    expect_mended(
        [&] {
            for (const auto& entry : std::filesystem::directory_iterator(node(1).bpffs() / "v1" / "maps")) {
                std::filesystem::remove(entry.path());
            }
        },
        "datapath: pin map nodes_by_pod_cidr");
    EXPECT_EQ(map_id(path), id);
}

TEST_F(HealingTest, UnmountedBpfFileSystem_IsThereAgainWithEverythingInIt) {
    const auto path = pin("maps", "flow_owners");
    const auto id = map_id(path);
    expect_mended([&] { ASSERT_EQ(::umount2(node(1).bpffs().parent_path().c_str(), MNT_DETACH), 0); },
                  "datapath: pin map flow_owners");
    EXPECT_EQ(map_id(path), id);
    node(1).kill_agent();
    node(1).start_agent();
    node(1).wait_ready();
    EXPECT_EQ(map_id(path), id);
    expect_ping(pod_a().ns(), pod_b().address());
}

TEST_F(HealingTest, RemovedRunDirectory_IsThereAgainWithItsSocketAndThePods) {
    const auto files = [&] {
        return must_run(node(1).ns(), {"find", (node(1).run_dir() / "endpoints").string(), "-type", "f"});
    };
    const auto recorded = [&] {
        return must_run(node(1).ns(), {"cat", (node(1).run_dir() / "sysctls.json").string()});
    };
    const auto files_before = files();
    const auto settings_before = recorded();
    const auto pods_before = node(1).agentctl_json({"pod", "list"});
    UdpStream stream(pod_a().endpoint(), pod_b().endpoint());
    std::filesystem::remove_all(node(1).run_dir());
    EXPECT_EQ(node(1).agentctl({"status"}).status, 3);
    node(1).wait_ready();
    EXPECT_EQ(node(1).agentctl_json({"pod", "list"}), pods_before);
    EXPECT_EQ(files(), files_before);
    EXPECT_EQ(recorded(), settings_before) << "what cleanup puts back";
    EXPECT_THAT(repairs_made(), Contains(HasSubstr("control: listen on ")));
    const auto totals = stream.stop();
    EXPECT_GT(totals.sent, 0U);
    EXPECT_EQ(totals.echoed, totals.sent);
    EXPECT_EQ(faults(), "");
}

// What an upgrade meets that changed the schema.
TEST_F(HealingTest, MapOfAnotherShape_IsMadeAnewWithoutALoss) {
    UdpStream stream(pod_a().endpoint(), pod_b().endpoint());
    ASSERT_TRUE(wait_until([&] { return stream.echoed() > 100; }, 5s));
    node(1).kill_agent();
    for (const auto* name : {"path_counters", "nodes_by_pod_cidr", "flow_owners"}) {
        ASSERT_EQ(::unlink(pin("maps", name).c_str()), 0);
        const Fd other(bpf_map_create(BPF_MAP_TYPE_HASH, name, 2, 2, 2, nullptr));
        ASSERT_EQ(bpf_obj_pin(other.get(), pin("maps", name).c_str()), 0);
    }
    node(1).start_agent();
    node(1).wait_ready();
    EXPECT_EQ(node(1).agentctl({"map", "dump"}).status, 0);
    const auto totals = stream.stop();
    EXPECT_EQ(totals.echoed, totals.sent);
    expect_ping(pod_a().ns(), pod_b().address());
}

TEST_F(HealingTest, RemovedMapEntry_IsPutBack) {
    using PodMap = Map<spec::pods_by_ipv4>;
    auto map = PodMap::open(pin("maps", "pods_by_ipv4"));
    ASSERT_TRUE(map.has_value());
    const auto entries = map->entries();
    ASSERT_TRUE(entries.has_value());
    ASSERT_FALSE(entries->empty());
    expect_mended([&] { ASSERT_TRUE(map->erase(entries->front().first).has_value()); },
                  "maps: 1 entries that somebody changed");
    EXPECT_EQ(map->entries()->size(), entries->size());
}

// A program that lets everything pass to the next one.
Fd foreign_program() {
    const std::array<bpf_insn, 2> body = {
        bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = -1},  // TCX_NEXT
        bpf_insn{.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
    return Fd(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", body.data(), body.size(), nullptr));
}

TEST_F(HealingTest, ForeignProgramOnTheSameHook_SurvivesAndSoDoOurs) {
    if (features_of(node(1)).at("hooks") != "tcx") {
        GTEST_SKIP() << "this kernel has no TCX";
    }
    const Fd program = foreign_program();
    ASSERT_TRUE(program.valid());
    const auto device = pod_a().host_device();
    const Fd foreign = in_namespace(node(1).ns(), [&] {
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = BPF_F_BEFORE);
        return Fd(bpf_link_create(program.get(), static_cast<int>(ifindex_of(device)), BPF_TCX_INGRESS, &options));
    });
    ASSERT_TRUE(foreign.valid());
    expect_ping(pod_a().ns(), pod_b().address());
    expect_mended([&] { ASSERT_EQ(::unlink(hook_pin("from-pod", device).c_str()), 0); }, "datapath: attach " + device);
    EXPECT_EQ(count_hooks({node(1).ns(), device}), (HookCount{2, 1, 0, 0}));
}

TEST_F(HealingTest, CarrierLostAndBack_IsWholeAgain) {
    UdpStream stream(pod_a().endpoint(), pod_b().endpoint());
    ASSERT_TRUE(wait_until([&] { return stream.echoed() > 100; }, 5s));
    ip(wire(), "link set port-n1 down");
    node(1).wait_for_status(5);
    ip(wire(), "link set port-n1 up");
    node(1).wait_ready();
    const auto echoed = stream.echoed();
    EXPECT_TRUE(wait_until([&] { return stream.echoed() > echoed + 100; }, patience));
    EXPECT_EQ(faults(), "");
    EXPECT_EQ(repair_count(), 0U) << repairs();
}

TEST_F(HealingTest, UnderlayTakenDownAndUp_IsWholeAgain) {
    const auto routes = ip(node(1).ns(), "route show default");
    ip(node(1).ns(), "link set eth0 down");
    node(1).wait_for_status(5);
    ip(node(1).ns(), "link set eth0 up");
    ip(node(1).ns(), "route add " + routes.substr(0, routes.find('\n')));  // the network scripts' part
    node(1).wait_ready();
    EXPECT_EQ(faults(), "");
    expect_ping(pod_a().ns(), pod_b().address());
}

// What a network restart does to a VLAN or a bond: the device is another one, of the same name.
TEST_F(HealingTest, UnderlayThatIsMadeAnew_CarriesTheOverlayAgain) {
    ip(node(1).ns(), "link del eth0");
    node(1).wait_for_status(5);
    cluster_->underlay().join(node(1).ns(), "n1", node(1).address());
    node(1).wait_ready();
    EXPECT_EQ(faults(), "");
    expect_ping(pod_a().ns(), pod_b().address());
    EXPECT_EQ(exchange_tcp(pod_b().endpoint(), pod_a().endpoint(), 10'000'000).problem, "");
}

TEST_F(HealingTest, LostEvents_CauseAFreshLook) {
    const auto overruns = [&] {
        return node(1).agentctl_json({"status"}).at("details").at("netlinkOverruns").get<std::uint64_t>();
    };
    ASSERT_EQ(overruns(), 0U);
    TempDir files("batch");
    std::string batch;
    for (unsigned round = 0; round < 40; ++round) {
        for (unsigned i = 0; i < 2000; ++i) {
            batch += fmt::format("route {} 10.{}.{}.0/24 dev eth0\n", round % 2 == 0 ? "add" : "del", 100 + i / 250,
                                 i % 250);
        }
    }
    const auto script = files.path() / "routes";
    write_file_atomically(script, batch);
    expect_mended(
        [&] {
            ASSERT_EQ(::kill(node(1).agent().pid(), SIGSTOP), 0);
            must_run(node(1).ns(), {"ip", "-batch", script.string()},
                     {.input = {}, .environment = {}, .timeout = 120s});
            ip(node(1).ns(), "route del 10.244.2.0/24");
            ASSERT_EQ(::kill(node(1).agent().pid(), SIGCONT), 0);
        },
        "overlay: add route 10.244.2.0/24");
    EXPECT_GE(overruns(), 1U);
}

class ClsactHealingTest : public HealingTest {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.without = {"tcx"};
        return options;
    }
};

TEST_F(ClsactHealingTest, DeletedQdisc_IsThereAgainWithItsFilters) {
    const auto device = pod_a().host_device();
    expect_mended([&] { must_run(node(1).ns(), {"tc", "qdisc", "del", "dev", device, "clsact"}); },
                  fmt::format("datapath: attach {} from-pod", device));
    EXPECT_EQ(count_hooks({node(1).ns(), device}), one_by_clsact);
}

TEST_F(ClsactHealingTest, DeletedFilter_IsThereAgain) {
    const auto device = pod_a().host_device();
    expect_mended([&] { must_run(node(1).ns(), {"tc", "filter", "del", "dev", device, "ingress"}); },
                  fmt::format("datapath: attach {} from-pod", device));
    EXPECT_EQ(count_hooks({node(1).ns(), device}), one_by_clsact);
}

}  // namespace
}  // namespace podlane::net
