// SPDX-License-Identifier: Apache-2.0
// Who is translated to what, as annotations and ip-masq-agent's file have it, while it all runs:
//
//   pod a (10.244.1.x) --- node 1 (192.168.0.1) --+--- outside (192.168.0.200, 169.254.169.254), which reports whom it
//   pod b (10.244.2.x) --- node 2 (192.168.0.2) --+    sees, captures what comes, and has a route to node 1's pods
#include <gmock/gmock.h>

#include "test/net/harness/temp_dir.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// What is changed is in the datapath within this time.
constexpr auto deadline = 1000ms;

bool is_from_a_pod(const Frame& frame) {
    const auto packet = decode_ipv4_frame(frame.bytes);
    return !frame.outgoing && packet && (packet->ip.source.host() >> 16U) == 0x0af4;
}

struct Settings {
    std::string name;
    std::string config;
};

class SnatPolicy : public TwoNodes, public testing::WithParamInterface<Settings> {
protected:
    void SetUp() override {
        TwoNodes::SetUp();
        cluster_->underlay().join(outside_, "outside", outside_address);
        ip(outside_, fmt::format("route add 10.244.1.0/24 via {}", node(1).address()));
    }
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.extra_config =
            fmt::format("snat: {{ipMasqAgentFile: {}}}\n", masquerade_file().string()) + GetParam().config;
        return options;
    }

    [[nodiscard]] Endpoint outside() const { return {&outside_, outside_address, {}}; }
    // Writes pod a's annotations into node 1's state.
    void annotate(const std::map<std::string, std::string>& annotations) {
        node(1).write_state(to_object_list(
            cluster_->state(), {{.name = "a", .node = "n1", .annotations = annotations, .uid = uid_of(pod_a())}}));
    }
    [[nodiscard]] static std::string uid_of(const Pod& pod) { return "uid-" + pod.container_id(); }
    void expect_snat_soon(const std::string& snat) {
        EXPECT_TRUE(
            wait_until([&] { return node(1).agentctl_json({"pod", "list"}).at(0).at("snat") == snat; }, deadline))
            << snat << "\n"
            << node(1).agentctl({"pod", "list", "-o", "wide"}).out << node(1).agent().output();
    }
    // Whom the outside sees in a new connection of pod a's.
    Ipv4Address seen(Ipv4Address at = outside_address) {
        const auto tcp = exchange_tcp(pod_a().endpoint(), {&outside_, at, {}}, 300'000);
        EXPECT_EQ(tcp.problem, "");
        const auto udp = echo_udp(pod_a().endpoint(), {&outside_, at, {}}, {0, 700, 4000});
        EXPECT_EQ(udp.problem, "");
        EXPECT_EQ(tcp.client_seen_as, udp.client_seen_as);
        return tcp.client_seen_as;
    }

    // A mounted ConfigMap.
    [[nodiscard]] fs::path masquerade_file() const { return config_map_.path() / "ip-masq-agent"; }
    void publish_masquerade(const std::string& text) {
        const auto version = fmt::format("..v{}", ++version_);
        fs::create_directories(config_map_.path() / version);
        write_file_atomically(config_map_.path() / version / "ip-masq-agent", text);
        fs::create_directory_symlink(version, config_map_.path() / "..data_tmp");
        fs::rename(config_map_.path() / "..data_tmp", config_map_.path() / "..data");
        if (version_ == 1) {
            fs::create_symlink("..data/ip-masq-agent", masquerade_file());
        }
    }
    // Waits until the datapath of node 1 has so many networks besides clusterCIDRs and serviceCIDRs.
    void expect_networks_soon(std::size_t count, std::chrono::milliseconds within = deadline) {
        EXPECT_TRUE(wait_until([&] { return networks() == count; }, within)) << networks();
    }
    std::size_t networks() {
        const auto dump = node(1).agentctl_json({"map", "dump", "networks_by_prefix"});
        std::size_t count = 0;
        for (const auto& entry : dump.at(0).at("entries")) {
            const std::string kind = entry.at("value").at("class");
            count += kind == "untranslated" || kind == "translated" ? 1 : 0;
        }
        return count;
    }

    // The agent has been through its first pass.
    void expect_all_but_the_file_ok() {
        EXPECT_TRUE(wait_until(
            [&] {
                const auto status = node(1).agentctl({"status"});
                return status.status == 5 && status.out.find("not started yet") == std::string::npos;
            },
            20s))
            << node(1).agentctl({"status"}).out;
    }

    static inline const auto outside_address = Ipv4Address::from_host(0xc0a800c8);
    TempDir config_map_{"config-map"};
    unsigned version_ = 0;
    Namespace outside_{"outside"};
};

INSTANTIATE_TEST_SUITE_P(Configured, SnatPolicy,
                         testing::Values(Settings{"NoServices", ""},
                                         Settings{"Services", "serviceCIDRs: [10.96.0.0/12]\n"}),
                         [](const auto& test) { return test.param.name; });

TEST_P(SnatPolicy, PodThatOptsOut_IsSeenWithItsAddressUntilItOptsInAgain) {
    annotate({});
    EXPECT_EQ(seen(), node(1).address());
    annotate({{"podlane.io/snat", "false"}});
    expect_snat_soon("off");
    EXPECT_EQ(seen(), pod_a().address());
    expect_ping(pod_a().ns(), outside_address);
    annotate({{"podlane.io/snat", "true"}});
    expect_snat_soon("node");
    Capture leaks(outside_, Underlay::node_device, is_from_a_pod);
    EXPECT_EQ(seen(), node(1).address());
    expect_ping(pod_a().ns(), outside_address);
    EXPECT_EQ(leaks.frames().size(), 0U);
}

TEST_P(SnatPolicy, RunningConnection_OutlivesItsPodsOptingOut) {
    annotate({});
    TcpStream stream(pod_a().endpoint(), outside());
    ASSERT_TRUE(wait_until([&] { return stream.received() > 1'000'000; }, 8s));
    Capture leaks(outside_, Underlay::node_device, is_from_a_pod);
    annotate({{"podlane.io/snat", "false"}});
    expect_snat_soon("off");
    const auto before = stream.received();
    EXPECT_TRUE(wait_until([&] { return stream.received() > before + 20'000'000; }, 8s));
    EXPECT_EQ(leaks.frames().size(), 0U) << "the connection changed its address";
    EXPECT_EQ(stream.stop(), "");
    EXPECT_EQ(seen(), pod_a().address()) << "a new one";
}

TEST_P(SnatPolicy, EgressAddress_IsSeenAsLongAsTheNodeHasIt) {
    const auto egress = Ipv4Address::from_host(0xc0a8004d);
    ip(node(1).ns(), fmt::format("address add {}/24 dev {}", egress, Underlay::node_device));
    annotate({{"podlane.io/egress-ip", egress.to_string()}});
    expect_snat_soon(egress.to_string());
    EXPECT_EQ(seen(), egress);
    expect_ping(pod_a().ns(), outside_address);
    ip(node(1).ns(), fmt::format("address delete {}/24 dev {}", egress, Underlay::node_device));
    expect_snat_soon("node");
    EXPECT_EQ(seen(), node(1).address());
    const auto status = node(1).agentctl({"status"});
    EXPECT_EQ(status.status, 0);
    EXPECT_THAT(status.out, HasSubstr("pod default/a: metadata.annotations[podlane.io/egress-ip]: 192.168.0.77 is"));
    ip(node(1).ns(), fmt::format("address add {}/24 dev {}", egress, Underlay::node_device));
    expect_snat_soon(egress.to_string());
    EXPECT_EQ(seen(), egress);
    EXPECT_THAT(node(1).agentctl({"status"}).out, testing::Not(HasSubstr("egress-ip")));
}

TEST_P(SnatPolicy, EgressAddressOnTheLoopbackDevice_IsSeen) {
    const auto egress = Ipv4Address::from_host(0x0a4d0007);
    ip(node(1).ns(), fmt::format("address add {}/32 dev lo", egress));
    ip(outside_, fmt::format("route add {} via {}", egress, node(1).address()));
    annotate({{"podlane.io/egress-ip", egress.to_string()}});
    expect_snat_soon(egress.to_string());
    EXPECT_EQ(seen(), egress);
}

TEST_P(SnatPolicy, EgressAddressThatIsNotTheNodes_IsRefusedWithAWarningAndNothingLeaks) {
    Capture leaks(outside_, Underlay::node_device, is_from_a_pod);
    annotate({{"podlane.io/egress-ip", outside_address.to_string()}, {"podlane.io/snat", "off"}});
    const auto said = [&](const std::string& text) {
        return wait_until([&] { return node(1).agent().output().find(text) != std::string::npos; }, deadline);
    };
    EXPECT_TRUE(said("pod default/a: metadata.annotations[podlane.io/egress-ip]: 192.168.0.200 is not an address"));
    EXPECT_TRUE(said("pod default/a: metadata.annotations[podlane.io/snat]: \"off\" is neither"));
    expect_snat_soon("node");
    EXPECT_EQ(seen(), node(1).address());
    EXPECT_EQ(leaks.frames().size(), 0U);
}

TEST_P(SnatPolicy, NetworksOfIpMasqAgentsFile_AreFollowedThroughTheSwapOfAConfigMap) {
    EXPECT_EQ(seen(), node(1).address()) << "there is no file";
    publish_masquerade("nonMasqueradeCIDRs:\n- 192.168.0.200/32\n- fd00::/8\n");
    expect_networks_soon(1);
    EXPECT_EQ(seen(), pod_a().address());
    publish_masquerade("nonMasqueradeCIDRs: []\nresyncInterval: 60s\n");
    expect_networks_soon(0);
    Capture leaks(outside_, Underlay::node_device, is_from_a_pod);
    EXPECT_EQ(seen(), node(1).address());
    EXPECT_EQ(leaks.frames().size(), 0U);
    std::string many = R"({"nonMasqueradeCIDRs": ["192.168.0.200/32")";
    for (unsigned i = 0; i < 1000; ++i) {
        many += fmt::format(R"(, "172.{}.{}.0/24")", 16 + i / 256, i % 256);
    }
    publish_masquerade(many + "]}");
    expect_networks_soon(1001);
    EXPECT_EQ(seen(), pod_a().address());
    fs::remove(masquerade_file());
    expect_networks_soon(0);
    EXPECT_EQ(seen(), node(1).address());
    EXPECT_EQ(node(1).agentctl({"status"}).status, 0);
}

// A file with so many networks below <octet>.0.0.0/8.
std::string many_networks(unsigned octet, unsigned count) {
    std::string text = "nonMasqueradeCIDRs:\n";
    for (unsigned i = 0; i < count; ++i) {
        text += fmt::format("- {}.{}.{}.0/24\n", octet, i / 256, i % 256);
    }
    return text;
}

// The datapath has room for 16384.
TEST_P(SnatPolicy, ThousandsOfNetworks_GiveWayToAsManyOthersAndTooManyAreRefused) {
    publish_masquerade(many_networks(20, 9000));
    expect_networks_soon(9000, 5s);
    publish_masquerade(many_networks(21, 9000) + "- 192.168.0.200/32\n");
    expect_networks_soon(9001, 5s);
    EXPECT_EQ(seen(), pod_a().address());
    EXPECT_EQ(node(1).agentctl({"status"}).status, 0);
    publish_masquerade(many_networks(22, 17'000));
    node(1).wait_for_status(5, 5s);
    EXPECT_THAT(node(1).agentctl({"status"}).out,
                HasSubstr(masquerade_file().string() + ": its 17000 networks are too many"));
    EXPECT_EQ(networks(), 9001U);
    EXPECT_EQ(seen(), pod_a().address());
    publish_masquerade("nonMasqueradeCIDRs: []\n");
    node(1).wait_for_status(0, 5s);
    expect_networks_soon(0);
    EXPECT_EQ(seen(), node(1).address());
}

TEST_P(SnatPolicy, BrokenIpMasqAgentsFile_ChangesNothingAndIsReportedUntilItIsMended) {
    publish_masquerade("nonMasqueradeCIDRs: [192.168.0.200/32]\n");
    expect_networks_soon(1);
    publish_masquerade("nonMasqueradeCIDRs:\n- 192.168.0.1/24\n");
    node(1).wait_for_status(5, 2s);
    EXPECT_THAT(node(1).agentctl({"status"}).out, HasSubstr(masquerade_file().string() + ":2: nonMasqueradeCIDRs[0]"));
    EXPECT_THAT(node(1).agent().output(), HasSubstr(masquerade_file().string() + ":2: nonMasqueradeCIDRs[0]"));
    EXPECT_EQ(seen(), pod_a().address());
    publish_masquerade("nonMasqueradeCIDRs: []\n");
    node(1).wait_for_status(0, 2s);
    expect_networks_soon(0);
    EXPECT_EQ(seen(), node(1).address());
}

TEST_P(SnatPolicy, RestartAndReloadBesideABrokenFile_KeepWhatItSaidBefore) {
    publish_masquerade("nonMasqueradeCIDRs: [192.168.0.200/32]\nmasqLinkLocal: true\n");
    expect_networks_soon(2);
    publish_masquerade("masqLinkLocal: perhaps\n");
    node(1).wait_for_status(5, 2s);
    EXPECT_EQ(node(1).stop_agent(), 0);
    node(1).start_agent();
    expect_all_but_the_file_ok();
    EXPECT_EQ(networks(), 2U);
    EXPECT_EQ(seen(), pod_a().address());
    node(1).agent().signal(SIGHUP);
    EXPECT_TRUE(wait_until([&] { return node(1).agent().output().find("starting anew") != std::string::npos; }, 2s));
    expect_all_but_the_file_ok();
    EXPECT_EQ(networks(), 2U);
    EXPECT_EQ(seen(), pod_a().address());
    fs::remove(masquerade_file());
    node(1).wait_ready();
    expect_networks_soon(0);
    EXPECT_EQ(seen(), node(1).address());
}

TEST_P(SnatPolicy, LinkLocal_IsReachedWhenTheFileSaysSo) {
    const auto metadata = Ipv4Address::from_host(0xa9fea9fe);
    ip(outside_, fmt::format("address add {}/32 dev lo", metadata));
    ip(node(1).ns(), fmt::format("route add {} via {}", metadata, outside_address));
    Capture leaks(outside_, Underlay::node_device, is_from_a_pod);
    EXPECT_EQ(ping(pod_a().ns(), metadata, 1).answered, 0U);
    EXPECT_GT(node(1).drops("nat-local-scope"), 0U);
    publish_masquerade("nonMasqueradeCIDRs: []\nmasqLinkLocal: true\n");
    expect_networks_soon(1);
    EXPECT_EQ(seen(metadata), node(1).address());
    expect_ping(pod_a().ns(), metadata);
    // Node-local DNS is an address of the node itself.
    const auto local_dns = Ipv4Address::from_host(0xa9fe140a);
    ip(node(1).ns(), fmt::format("address add {}/32 dev lo", local_dns));
    const auto dns = echo_udp(pod_a().endpoint(), {&node(1).ns(), local_dns, {}}, {100});
    EXPECT_EQ(dns.problem, "");
    EXPECT_EQ(dns.client_seen_as, pod_a().address());
    EXPECT_EQ(leaks.frames().size(), 0U);
}

}  // namespace
}  // namespace podlane::net
