// SPDX-License-Identifier: Apache-2.0
// The rules of others in the node's namespace: what Docker and flannel masquerade by, and Services of kube-proxy whose
// endpoint lies outside. harness/snat.h has the topology.
#include "test/net/harness/kube_proxy.h"
#include "test/net/harness/snat.h"

namespace podlane::net {
namespace {

struct Rules {
    std::string name;
    RuleForm form;
    std::string config;
};

class SnatRules : public SnatTest, public testing::WithParamInterface<Rules> {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.extra_config = GetParam().config;
        return options;
    }
    [[nodiscard]] static bool services_are_known() { return !GetParam().config.empty(); }
    [[nodiscard]] static std::string program() {
        return GetParam().form == RuleForm::iptables_legacy ? "iptables-legacy" : "iptables-nft";
    }
    // Docker's for its own bridge and for pods as somebody copied it; flannel's chain.
    void masquerade() {
        RunOptions rules;
        rules.input = fmt::format(
            "*nat\n:FLANNEL-POSTRTG - [0:0]\n"
            "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
            "-A POSTROUTING -j FLANNEL-POSTRTG\n"
            "-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN\n"
            "-A FLANNEL-POSTRTG -s {0} -d 10.244.0.0/16 -j RETURN\n"
            "-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d {0} -j RETURN\n"
            "-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d {0} -j RETURN\n"
            "-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully\n"
            "-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE --random-fully\n"
            "-A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE\nCOMMIT\n",
            node(1).pod_cidr());
        must_run(node(1).ns(), {program() + "-restore", "-w", "--noflush"}, rules);
    }
    // Packets, over all rules of that kind: each flow's first.
    [[nodiscard]] std::uint64_t masqueraded() {
        const auto listed = must_run(node(1).ns(), {program(), "-w", "-t", "nat", "-v", "-S"});
        std::istringstream lines(listed);
        std::uint64_t packets = 0;
        for (std::string line; std::getline(lines, line);) {
            const auto at = line.find("-c ");
            if (at != std::string::npos && line.find("MASQUERADE") != std::string::npos) {
                packets += std::stoull(line.substr(at + 3));
            }
        }
        return packets;
    }
    void expect_pods_reach_each_other() {
        for (const auto& [from, to] : {std::pair{&pod_a(), &pod_b()}, {&pod_b(), &pod_a()}}) {
            for (const auto& outcome : {exchange_tcp(from->endpoint(), to->endpoint(), 1'000'000),
                                        echo_udp(from->endpoint(), to->endpoint(), {1, 1400, 8000})}) {
                EXPECT_EQ(outcome.problem, "");
                EXPECT_EQ(outcome.client_seen_as, from->address());
            }
        }
    }
};

const std::string known_services = "serviceCIDRs: [10.32.0.0/16]\n";
INSTANTIATE_TEST_SUITE_P(Configured, SnatRules,
                         testing::Values(Rules{"Nft", RuleForm::iptables_nft, ""},
                                         Rules{"NftWithServices", RuleForm::iptables_nft, known_services},
                                         Rules{"Legacy", RuleForm::iptables_legacy, ""},
                                         Rules{"LegacyWithServices", RuleForm::iptables_legacy, known_services}),
                         [](const auto& test) { return test.param.name; });

// With the Services known nothing of a pod's to the outside meets the rules; otherwise each flow's first packet does,
// and what a rule masquerades there is the stack's for good.
TEST_P(SnatRules, RulesThatMasquerade_BreakNothingAndAreNotMetWhenServicesAreKnown) {
    masquerade();
    expect_seen_as_node(exchange_tcp(pod_a().endpoint(), outside(), 5'000'000));
    expect_seen_as_node(echo_udp(pod_a().endpoint(), outside(), {1, 700, 1400}));
    expect_seen_as_node(exchange_on_parallel_connections(pod_a().endpoint(), outside(), 100, ClientPorts::translated));
    expect_ping(pod_a().ns(), outside_address);
    expect_pods_reach_each_other();
    if (services_are_known()) {
        EXPECT_EQ(masqueraded(), 0U);
        EXPECT_GT(counted("pod-to-outside"), 300U);
    } else {
        EXPECT_GE(masqueraded(), 103U) << "a flow's first packet each";
        EXPECT_EQ(counted("pod-to-outside"), 0U);
    }
    // Fragments go through the stack in either case.
    expect_seen_as_node(echo_udp(pod_a().endpoint(), outside(), {8000, 100, 8000}));
    EXPECT_EQ(drops(), "[]");
}

// kube-proxy translates the destination on the way out, and must see the replies; the source is ours to translate.
TEST_P(SnatRules, ServiceWhoseEndpointLiesOutside_IsReachedWithTheNodesAddress) {
    const auto service = Ipv4Address::from_host(0x0a200164);
    load_kube_proxy_rules(node(1), GetParam().form, {pod_b().address(), pod_b().address()}, LocalBackend::none);
    translate_all(node(1).ns(), GetParam().form, service, outside_address);
    const Endpoint endpoint{&outside_, outside_address, service};
    expect_seen_as_node(exchange_tcp(pod_a().endpoint(), endpoint, 5'000'000));
    expect_seen_as_node(echo_udp(pod_a().endpoint(), endpoint, {1, 1400, 8000}));
    EXPECT_EQ(counted("outside-to-pod"), 0U);
    EXPECT_GT(counted("outside-to-stack"), 10U);
    // And directly, beside it.
    expect_seen_as_node(exchange_tcp(pod_a().endpoint(), outside(), 1'000'000));
    EXPECT_GT(counted("outside-to-pod"), 10U);
    EXPECT_EQ(invalid_drops(node(1).ns(), GetParam().form), 0U);
    EXPECT_EQ(drops(), "[]");
}

}  // namespace
}  // namespace podlane::net
