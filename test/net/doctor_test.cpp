// SPDX-License-Identifier: Apache-2.0
// What `agentctl doctor` names on a node with macvlan pods; each command that it prints is run word for word, and then
// the finding is gone and traffic flows:
//
//   veth a (10.244.1.x) --- node 1 --- em2 .100 ---+ LAN +--- em2 .101 --- node 2 --- veth b (10.244.2.x)
//                             | eth0               |     |                   | eth0
//   mac m1 .51, m2 .52 -------|-------- em2 -------+     +------- em2 -------|------- mac m3 .61
//                             +------------ wire: VXLAN or direct -----------+
#include "test/net/harness/kube_proxy.h"
#include "test/net/macvlan_scene.h"

namespace podlane::net {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

// As CentOS and RHEL have them without firewalld, in iptables-restore's form.
constexpr const char* distribution_rules =
    "*filter\n"
    "-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n"
    "-A INPUT -p icmp -j ACCEPT\n"
    "-A INPUT -i lo -j ACCEPT\n"
    "-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT\n"
    "-A INPUT -j REJECT --reject-with icmp-host-prohibited\n"
    "-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n"
    "COMMIT\n";

class MacvlanDoctor : public MacvlanScene {
protected:
    void SetUp() override {
        MacvlanScene::SetUp();
        configure();
        add_macvlan_pods();
    }

    struct Diagnosis {
        int status = -1;
        json findings;
        std::string text;

        // All of one check; notes too.
        [[nodiscard]] std::vector<json> of(const std::string& id) const {
            std::vector<json> found;
            for (const auto& finding : findings) {
                if (finding.at("id") == id) {
                    found.push_back(finding);
                }
            }
            return found;
        }
        // What is more than a note.
        [[nodiscard]] std::string problems() const {
            std::string lines;
            for (const auto& finding : findings) {
                lines += finding.at("severity") == "note" ? "" : finding.dump() + "\n";
            }
            return lines;
        }
    };
    Diagnosis examine(const std::vector<std::string>& further = {}) {
        std::vector<std::string> arguments = {"doctor", "--config", node(1).config_file().string()};
        arguments.insert(arguments.end(), further.begin(), further.end());
        const auto text = node(1).agentctl(arguments);
        arguments.insert(arguments.end(), {"-o", "json"});
        const auto ran = node(1).agentctl(arguments);
        EXPECT_EQ(ran.err, "");
        return {ran.status, json::parse(ran.out), text.out};
    }
    void expect_nothing_wrong(const std::vector<std::string>& further = {}) {
        const auto diagnosis = examine(further);
        EXPECT_EQ(diagnosis.problems(), "");
        EXPECT_EQ(diagnosis.status, 0);
        EXPECT_THAT(diagnosis.text, HasSubstr("nothing found; looked at: "));
    }
    // The one finding of a check, shown to the operator in the same words.
    json the_finding(const std::string& id, const std::vector<std::string>& further = {}) {
        const auto diagnosis = examine(further);
        EXPECT_EQ(diagnosis.status, 5);
        const auto found = diagnosis.of(id);
        EXPECT_EQ(found.size(), 1U) << diagnosis.findings.dump(1);
        if (found.empty()) {
            return {{"what", ""}, {"evidence", ""}, {"mend", "false"}, {"severity", ""}};
        }
        for (const char* key : {"what", "evidence", "mend"}) {
            EXPECT_THAT(diagnosis.text, HasSubstr(found.front().at(key).get<std::string>()));
        }
        return found.front();
    }
    void mend(const json& finding) { must_run(node(1).ns(), {"sh", "-ec", finding.at("mend")}); }
    void restore(const std::string& program, const std::string& rules) {
        RunOptions options;
        options.input = rules;
        must_run(node(1).ns(), {program + "-restore", "-w"}, options);
    }
    void nft(const std::string& rules) {
        RunOptions options;
        options.input = rules;
        must_run(node(1).ns(), {"nft", "-f", "-"}, options);
    }
    // Nothing that the host accepts by itself: TCP and UDP to its ports, and through it.
    void expect_pods_reach_the_host_and_each_other() {
        expect_reach(m1().ns(), lan().host_address(1), "host-1", m1().address());
        expect_reach(m1().ns(), a().address(), "a", m1().address());
        expect_reach(a().ns(), m1().address(), "m1", a().address());
        expect_reach(m1().ns(), b().address(), "b", node(1).address());
        expect_reach(a().ns(), node(1).address(), "node-1", a().address());
    }
    [[nodiscard]] bool host_refuses() {
        return !ask_service(m1().ns(), {lan().host_address(1), port}, 1).problem.empty();
    }
    [[nodiscard]] bool stack_refuses() { return !ask_service(m1().ns(), {a().address(), port}, 1).problem.empty(); }

    void distribution_rejects(const std::string& program) {
        if (const auto listed = run(Namespace("probe"), {program, "-S"}); !listed.ok()) {
            GTEST_SKIP() << "this kernel has no tables for " << program << ": " << listed.err;
        }
        backend(node(1).ns(), node(1).address(), "node-1");
        expect_nothing_wrong();
        expect_pods_reach_the_host_and_each_other();
        restore(program, distribution_rules);
        EXPECT_TRUE(host_refuses());
        EXPECT_TRUE(stack_refuses());
        const auto found = examine().of("firewall");
        ASSERT_EQ(found.size(), 2U) << examine().text;
        EXPECT_THAT(found[0].at("evidence"),
                    program + ", rule 5 of INPUT: -A INPUT -j REJECT --reject-with icmp-host-prohibited");
        EXPECT_THAT(found[0].at("what").get<std::string>(), HasSubstr(m1().address().to_string() + " to this host"));
        EXPECT_THAT(found[1].at("evidence"),
                    program + ", rule 1 of FORWARD: -A FORWARD -j REJECT --reject-with icmp-host-prohibited");
        // The agent tells of it as well.
        node(1).wait_for_status(5);
        EXPECT_THAT(node(1).agentctl({"status"}).out,
                    AllOf(HasSubstr("-A INPUT -j REJECT --reject-with icmp-host-prohibited"),
                          HasSubstr(found[0].at("mend").get<std::string>())));
        for (const auto& finding : found) {
            EXPECT_EQ(finding.at("severity"), "problem");
            mend(finding);
        }
        node(1).wait_ready();
        expect_nothing_wrong();
        expect_pods_reach_the_host_and_each_other();
        // Nobody else is let in by it.
        EXPECT_NE(ask_service(lan().neighbour(), {lan().host_address(1), port}, 1).problem, "");
    }
};

INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanDoctor, testing::Values(Layout{"VxlanOwnNic", "vxlan", Layout::Wire::own, ""}),
                         name_of_layout);

TEST_P(MacvlanDoctor, HealthyNode_HasNothingFound) {
    expect_nothing_wrong();
    node(1).kill_agent();
    expect_nothing_wrong();
}

TEST_P(MacvlanDoctor, KubeProxysRulesBesideDockers_AreNoFinding) {
    load_kube_proxy_rules(node(1), RuleForm::iptables_nft, {a().address(), b().address()}, LocalBackend::none);
    drop_by_policy(node(1).ns(), RuleForm::iptables_nft);
    EXPECT_TRUE(
        wait_until([&] { return forward_rules(node(1).ns(), RuleForm::iptables_nft).contains("podlane"); }, 10s));
    expect_nothing_wrong();
}

TEST_P(MacvlanDoctor, RejectOfTheDistributionInIptablesNft_IsNamedAndMended) {
    distribution_rejects("iptables-nft");
}

TEST_P(MacvlanDoctor, RejectOfTheDistributionInIptablesLegacy_IsNamedAndMended) {
    distribution_rejects("iptables-legacy");
}

TEST_P(MacvlanDoctor, ForwardPolicyWithoutTheAgent_IsNamedAndMended) {
    node(1).kill_agent();
    must_run(node(1).ns(), {"iptables-nft", "-P", "FORWARD", "DROP"});
    EXPECT_TRUE(stack_refuses());
    const auto finding = the_finding("firewall");
    EXPECT_THAT(finding.at("evidence").get<std::string>(), HasSubstr("iptables-nft: -P FORWARD DROP"));
    mend(finding);
    expect_nothing_wrong();
    EXPECT_FALSE(stack_refuses());
}

TEST_P(MacvlanDoctor, NativeTableThatDropsByPolicyAndRejects_IsNamedAndMended) {
    nft("table inet own {\n"
        " chain in { type filter hook input priority 0; policy drop;\n"
        "  ct state vmap { established : accept, related : accept, invalid : drop }\n"
        "  iifname { \"lo\", \"eth0\" } accept\n"
        "  ip saddr { 10.244.0.0/16, 192.168.0.0/16 } accept\n"
        "  ip protocol icmp accept\n"
        "  tcp dport { 22, 80 } accept\n"
        " }\n"
        " chain through { type filter hook forward priority 0;\n"
        "  ct state established,related accept\n"
        "  iifname \"podlane-*\" jump rest\n"
        " }\n"
        " chain rest { counter reject with icmpx type admin-prohibited\n }\n"
        "}\n");
    EXPECT_TRUE(host_refuses());
    EXPECT_TRUE(stack_refuses());
    const auto found = examine().of("firewall");
    ASSERT_EQ(found.size(), 2U) << examine().text;
    EXPECT_THAT(found[0].at("evidence").get<std::string>(), HasSubstr("table inet own, chain in: policy drop"));
    EXPECT_THAT(found[1].at("evidence").get<std::string>(), AllOf(HasSubstr("table inet own, chain rest, handle "),
                                                                  HasSubstr(": reject with icmpx admin-prohibited")));
    mend(found[0]);
    mend(found[1]);
    expect_nothing_wrong();
    EXPECT_FALSE(host_refuses());
    EXPECT_FALSE(stack_refuses());
}

// The table that firewalld 1.3 makes of its zones public and trusted, shortened to what decides.
TEST_P(MacvlanDoctor, Firewalld_IsNamedUntilTheShimIsInItsTrustedZone) {
    nft("table inet firewalld {\n"
        " chain filter_INPUT { type filter hook input priority filter + 10;\n"
        "  ct state { established, related } accept\n"
        "  ct status dnat accept\n"
        "  iifname \"lo\" accept\n"
        "  ct state invalid drop\n"
        "  jump filter_INPUT_ZONES\n"
        "  reject with icmpx type admin-prohibited\n"
        " }\n"
        " chain filter_INPUT_ZONES {\n"
        "  iifname \"eth0\" goto filter_IN_trusted\n"
        "  ip saddr 10.244.0.0/16 goto filter_IN_trusted\n"
        "  goto filter_IN_public\n"
        " }\n"
        " chain filter_IN_public { jump filter_IN_public_allow\n  meta l4proto { icmp, ipv6-icmp } accept\n }\n"
        " chain filter_IN_public_allow { tcp dport 22 accept\n }\n"
        " chain filter_IN_trusted { accept\n }\n"
        "}\n");
    EXPECT_TRUE(host_refuses());
    const auto finding = the_finding("firewalld");
    EXPECT_THAT(finding.at("what").get<std::string>(), HasSubstr("firewalld refuses in INPUT: macvlan pod"));
    EXPECT_THAT(finding.at("evidence").get<std::string>(), HasSubstr("chain filter_INPUT, handle "));
    EXPECT_EQ(finding.at("mend"),
              "firewall-cmd --permanent --zone=trusted --add-interface=podlane-lan && "
              "firewall-cmd --permanent --zone=trusted --add-interface=podlane0 && "
              "firewall-cmd --permanent --zone=trusted --add-source=10.244.0.0/16 && firewall-cmd --reload");
    // What that comes to.
    must_run(node(1).ns(), {"nft", "insert", "rule", "inet", "firewalld", "filter_INPUT_ZONES", "iifname",
                            "podlane-lan", "goto", "filter_IN_trusted"});
    expect_nothing_wrong();
    EXPECT_EQ(examine().of("firewalld").front().at("evidence"), "table inet firewalld of nf_tables");
    EXPECT_FALSE(host_refuses());
}

TEST_P(MacvlanDoctor, LanThatDropsForeignMacs_IsFoundByProbing) {
    expect_nothing_wrong({"--probe"});
    EXPECT_THAT(examine().of("foreign-macs").front().at("what").get<std::string>(), HasSubstr("was not tried"));
    // A switch port that lets its own station's MAC pass and no other.
    const auto own = mac_of({node(1).ns(), lan().device()}).to_string();
    RunOptions rules;
    rules.input = fmt::format(
        "table bridge port_security {{ chain forward {{ type filter hook forward priority 0;\n"
        " iifname \"port-{}\" ether saddr != {} drop\n }}\n }}\n",
        node(1).name(), own);
    must_run(lan().ns(), {"nft", "-f", "-"}, rules);
    const auto started = std::chrono::steady_clock::now();
    const auto finding = the_finding("foreign-macs", {"--probe"});
    EXPECT_LT(std::chrono::steady_clock::now() - started, 8s);  // twice, as text and as JSON
    EXPECT_THAT(finding.at("evidence").get<std::string>(),
                AllOf(HasSubstr("answers an ARP probe from " + own), HasSubstr("and none from 06:70:6c:")));
    EXPECT_NE(ask_service(m1().ns(), {lan().neighbour_address(), port}, 1).problem, "");
    // The switch lets them pass again.
    must_run(lan().ns(), {"nft", "delete", "table", "bridge", "port_security"});
    expect_nothing_wrong({"--probe"});
    EXPECT_EQ(ask_service(m1().ns(), {lan().neighbour_address(), port}, 1).problem, "");
}

TEST_P(MacvlanDoctor, DhcpClientOnTheShim_IsNamedAndMended) {
    Process client(node(1).ns(), {"busybox", "udhcpc", "-f", "-i", shim, "-s", "/bin/true"});
    EXPECT_TRUE(wait_until([&] { return !examine().of("dhcp").empty(); }, 5s));
    const auto finding = the_finding("dhcp");
    EXPECT_THAT(finding.at("evidence").get<std::string>(), HasSubstr(fmt::format("process {}", client.pid())));
    EXPECT_EQ(finding.at("mend"), fmt::format("kill {}", client.pid()));
    mend(finding);
    EXPECT_TRUE(client.wait(5s).has_value());
    expect_nothing_wrong();
}

TEST_P(MacvlanDoctor, RouteThatAPodLost_IsNamedAndMended) {
    load_kube_proxy_rules(node(1), RuleForm::iptables_nft, {a().address(), b().address()}, LocalBackend::none);
    expect_nothing_wrong();
    EXPECT_EQ(ask_service(m1().ns(), service::echo, 1).problem, "");
    ip(m1().ns(), "route del 10.32.0.0/24");
    EXPECT_NE(ask_service(m1().ns(), service::echo, 1).problem, "");
    const auto finding = the_finding("pod-routes");
    EXPECT_THAT(finding.at("what").get<std::string>(), AllOf(HasSubstr("default/m1"), HasSubstr("10.32.0.0/24")));
    EXPECT_THAT(finding.at("evidence").get<std::string>(),
                HasSubstr(fmt::format("10.32.0.0/24 goes by default via {}", lan().gateway())));
    mend(finding);
    expect_nothing_wrong();
    EXPECT_EQ(ask_service(m1().ns(), service::echo, 1).problem, "");
}

// The cluster IPs stand in kube-proxy's rules, too.
TEST_P(MacvlanDoctor, RouteThatAPodLost_IsFoundWithoutServiceCidrsInTheConfiguration) {
    set_macvlan(1, fmt::format("macvlan: [{{name: lan, master: {}, shim: {}}}]\n", lan().device(), shim));
    load_kube_proxy_rules(node(1), RuleForm::iptables_nft, {a().address(), b().address()}, LocalBackend::none);
    expect_nothing_wrong();
    ip(m1().ns(), "route del 10.32.0.0/24");
    mend(the_finding("pod-routes"));
    expect_nothing_wrong();
    EXPECT_EQ(ask_service(m1().ns(), service::echo, 1).problem, "");
}

// Its rules, as a real one wrote them, with another --cluster-cidr, and with none.
TEST_P(MacvlanDoctor, ClusterCidrOfKubeProxy_IsComparedWithTheConfigurations) {
    const Backends backends{a().address(), b().address()};
    load_kube_proxy_rules(node(1), RuleForm::iptables_nft, backends, LocalBackend::none);
    auto rules = must_run(node(1).ns(), {"iptables-nft-save", "-t", "nat"});
    expect_nothing_wrong();
    EXPECT_EQ(ask_service(m1().ns(), service::echo, 4).problem, "");
    const std::string right = "! -s 10.244.0.0/16 ";
    for (const auto& wrong : {std::string("! -s 172.16.0.0/12 "), std::string()}) {
        auto changed = rules;
        for (auto at = changed.find(right); at != std::string::npos; at = changed.find(right)) {
            const auto line = changed.rfind('\n', at) + 1;
            if (wrong.empty()) {
                changed.erase(line, changed.find('\n', at) + 1 - line);
            } else {
                changed.replace(at, right.size(), wrong);
            }
        }
        restore("iptables-nft", changed);
        const auto finding = the_finding("kube-proxy");
        EXPECT_THAT(finding.at("evidence").get<std::string>(),
                    HasSubstr(wrong.empty() ? "have no rule" : "-A KUBE-SERVICES ! -s 172.16.0.0/12 -d 10.32.0."));
        EXPECT_THAT(finding.at("mend").get<std::string>(), HasSubstr("--cluster-cidr=10.244.0.0/16"));
    }
    restore("iptables-nft", rules);
    expect_nothing_wrong();
    EXPECT_EQ(ask_service(m1().ns(), service::echo, 4).problem, "");
}

class MacvlanDoctorDirect : public MacvlanDoctor {};
INSTANTIATE_TEST_SUITE_P(Layouts, MacvlanDoctorDirect,
                         testing::Values(Layout{"DirectOwnNic", "auto", Layout::Wire::own, ""}), name_of_layout);

// Node 2 speaks VXLAN, and the way back from node 1 is direct.
TEST_P(MacvlanDoctorDirect, StrictReversePathFiltering_IsNamedAndMended) {
    node(1).kill_agent();
    auto config = read(node(2).config_file());
    config.replace(config.find("mode: auto"), 10, "mode: vxlan");
    write_file_atomically(node(2).config_file(), config);
    EXPECT_TRUE(wait_until([&] { return node(2).agentctl({"node", "list"}).out.contains("vxlan"); }, 20s));
    expect_nothing_wrong();
    expect_ping(b().ns(), node(1).address());
    set_sysctl(node(1).ns(), "net/ipv4/conf/podlane0/rp_filter", "1");
    EXPECT_FALSE(run(b().ns(), {"ping", "-c", "1", "-W", "1", node(1).address().to_string()}).ok());
    const auto finding = the_finding("rp-filter");
    EXPECT_THAT(finding.at("evidence").get<std::string>(),
                AllOf(HasSubstr("net.ipv4.conf.podlane0.rp_filter = 1"), HasSubstr("the way back is eth0")));
    EXPECT_EQ(finding.at("mend"), "sysctl -w net.ipv4.conf.podlane0.rp_filter=2");
    mend(finding);
    expect_nothing_wrong();
    expect_ping(b().ns(), node(1).address());
}

}  // namespace
}  // namespace podlane::net
