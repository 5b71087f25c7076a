// SPDX-License-Identifier: Apache-2.0
// What the doctor makes of facts. Where the facts come from is in the net suite.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/doctor/checks.h"
#include "agent/doctor/packet_filter.h"
#include "agent/doctor/pod_traffic.h"

namespace podlane::doctor {
namespace {

using netfilter::Act;
using netfilter::BaseChain;
using netfilter::Chain;
using netfilter::Condition;
using netfilter::Dialect;
using netfilter::Field;
using netfilter::Hook;
using netfilter::Range;
using netfilter::Rule;
using netfilter::Sense;
using netfilter::Table;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}
Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

Condition from(std::string_view prefix_text, Sense sense = Sense::is) {
    return {.field = Field::source, .sense = sense, .ranges = {Range::of(prefix(prefix_text))}};
}
Condition to(std::string_view prefix_text) {
    return {.field = Field::destination, .ranges = {Range::of(prefix(prefix_text))}};
}
Condition in(const std::string& name, Sense sense = Sense::is) {
    return {.field = Field::in_interface, .sense = sense, .interfaces = {{.text = name}}};
}
Condition states(std::uint32_t bits) {
    return {.field = Field::state, .states = bits};
}
Condition port(std::uint16_t number) {
    return {.field = Field::port, .ranges = {{number, number}}};
}
const Condition rate{.field = Field::other, .text = "-m limit"};
const Condition mark{.field = Field::unreadable, .text = "-m mark"};

Rule rule(std::vector<Condition> conditions, Act act, std::string target = {}) {
    return {.conditions = std::move(conditions), .act = act, .target = std::move(target)};
}
Rule reject(std::vector<Condition> conditions = {}) {
    return rule(std::move(conditions), Act::reject, "icmp-host-prohibited");
}

Table filter(std::vector<Rule> input, Act policy = Act::accept, std::vector<Chain> further = {}) {
    Table table{.dialect = Dialect::iptables_nft, .family = "ip", .name = "filter"};
    table.chains = std::move(further);
    table.chains.insert(table.chains.begin(),
                        {.name = "INPUT", .base = BaseChain{Hook::input, policy}, .rules = std::move(input)});
    for (auto& chain : table.chains) {
        for (std::size_t i = 0; i < chain.rules.size(); ++i) {
            chain.rules[i].number = i + 1;
        }
    }
    return table;
}

// A macvlan pod to its host.
const Traffic pod_to_host{.hook = Hook::input,
                          .in = "podlane-lan",
                          .source = prefix("172.20.7.51/32"),
                          .destination = prefix("172.20.7.100/32"),
                          .what = "macvlan pod 172.20.7.51 to this host",
                          .accept_in = "podlane-lan"};

std::optional<Refusal> refusal_in(const Table& table) {
    return refusal_of(table, table.chains.front(), pod_to_host);
}

struct FilterCase {
    std::string name;
    Table table;
    enum class Wanted : std::uint8_t { passes, refused, unless_accepted, perhaps } wanted;
};
void PrintTo(const FilterCase& one, std::ostream* out) {
    *out << one.name;
}

class PacketFilter : public testing::TestWithParam<FilterCase> {};

TEST_P(PacketFilter, LetsThePodPassOrNot) {
    const auto refusal = refusal_in(GetParam().table);
    const auto is = !refusal                                                    ? FilterCase::Wanted::passes
                    : refusal->certainty == Refusal::Certainty::sure            ? FilterCase::Wanted::refused
                    : refusal->certainty == Refusal::Certainty::unless_accepted ? FilterCase::Wanted::unless_accepted
                                                                                : FilterCase::Wanted::perhaps;
    EXPECT_EQ(is, GetParam().wanted);
}

using enum FilterCase::Wanted;
const Rule accept = rule({}, Act::accept);
const Chain accepting{.name = "own", .rules = {accept}};
const Chain rejecting{.name = "own", .rules = {reject()}};
const Chain returning{.name = "own", .rules = {rule({from("172.20.7.0/26")}, Act::leave), reject()}};

INSTANTIATE_TEST_SUITE_P(
    Rules, PacketFilter,
    testing::Values(
        FilterCase{"NoRules", filter({}), passes}, FilterCase{"Policy", filter({}, Act::drop), refused},
        FilterCase{"RejectsAll", filter({reject()}), refused},
        FilterCase{"RejectsTheLan", filter({reject({from("172.20.7.0/24")})}), refused},
        FilterCase{"RejectsAllButTheLan", filter({reject({from("172.20.7.0/24", Sense::is_not)})}), passes},
        FilterCase{"RejectsAnotherDevice", filter({reject({in("eth0")})}), passes},
        FilterCase{"RejectsAllButAnotherDevice", filter({reject({in("eth0", Sense::is_not)})}), refused},
        FilterCase{"RejectsAPort", filter({reject({port(22)})}), passes},
        FilterCase{"RejectsToAnotherHost", filter({reject({to("172.20.7.101/32")})}), passes},
        FilterCase{"DropsInvalid", filter({rule({states(netfilter::state_invalid)}, Act::drop)}), passes},
        FilterCase{"DropsNew", filter({rule({states(netfilter::state_new)}, Act::drop)}), refused},
        FilterCase{"AcceptsTheShimFirst", filter({rule({in("podlane-lan")}, Act::accept), reject()}), passes},
        FilterCase{"AcceptsTheShimLast", filter({reject(), rule({in("podlane-lan")}, Act::accept)}), refused},
        FilterCase{"AcceptsAPortOnly", filter({rule({port(22)}, Act::accept), reject()}), refused},
        FilterCase{"AcceptsAtARate", filter({rule({rate}, Act::accept), reject()}), refused},
        FilterCase{"AcceptsEstablished", filter({rule({states(netfilter::state_established)}, Act::accept)}, Act::drop),
                   refused},
        FilterCase{"AcceptsByWhatIsNotRead", filter({rule({mark}, Act::accept), reject()}), unless_accepted},
        FilterCase{"RejectsByWhatIsNotRead", filter({reject({mark})}), perhaps},
        FilterCase{"RejectsByWhatIsNotReadOnAnotherDevice", filter({reject({mark, in("eth0")})}), passes},
        FilterCase{"JumpsToAccept", filter({rule({}, Act::jump, "own"), reject()}, Act::accept, {accepting}), passes},
        FilterCase{"JumpsToReject", filter({rule({}, Act::jump, "own")}, Act::accept, {rejecting}), refused},
        FilterCase{"JumpsToRejectForAPort", filter({rule({port(1)}, Act::jump, "own")}, Act::accept, {rejecting}),
                   passes},
        FilterCase{"JumpsToAcceptForAPort",
                   filter({rule({port(1)}, Act::jump, "own"), reject()}, Act::accept, {accepting}), refused},
        FilterCase{"ReturnsBeforeTheReject", filter({rule({}, Act::jump, "own")}, Act::accept, {returning}), passes},
        FilterCase{"GoesToAChainAndNotBack",
                   filter({rule({}, Act::go_to, "empty"), accept}, Act::drop, {Chain{.name = "empty"}}), refused},
        FilterCase{"GoesForAPortOnly",
                   filter({rule({port(1)}, Act::go_to, "empty"), accept}, Act::drop, {Chain{.name = "empty"}}), passes},
        FilterCase{"Logs", filter({rule({}, Act::proceed, "LOG"), accept}, Act::drop), passes},
        FilterCase{"JumpsInALoop",
                   filter({rule({}, Act::jump, "own")}, Act::drop,
                          {Chain{.name = "own", .rules = {rule({}, Act::jump, "own")}}}),
                   refused}),
    [](const auto& tested) { return tested.param.name; });

Endpoint macvlan_pod(Ipv4Address ip) {
    Endpoint pod;
    pod.link = "macvlan";
    pod.name_space = "default";
    pod.name = "m1";
    pod.netns = "/run/netns/x";
    pod.ip = ip;
    return pod;
}

Facts facts_with(Table table) {
    MacvlanConfig lan;
    lan.name = "lan";
    lan.master = "em2";
    lan.shim = "podlane-lan";
    Facts facts;
    facts.macvlans.push_back({.settings = lan,
                              .master_ifindex = 2,
                              .shim_ifindex = 3,
                              .host_address = address("172.20.7.100"),
                              .lan = prefix("172.20.7.0/24")});
    facts.macvlans.front().pods.push_back(macvlan_pod(address("172.20.7.51")));
    facts.tables.push_back(std::move(table));
    return facts;
}

Finding the_only(const std::vector<Finding>& findings) {
    EXPECT_THAT(findings, SizeIs(1));
    return findings.empty() ? Finding{} : findings.front();
}

TEST(FirewallCheck, RejectingRule_IsNamedWithItsNumberAndOneAcceptForEachWay) {
    const auto finding = the_only(check_firewall(facts_with(filter({rule({in("lo")}, Act::accept), reject()}))));
    EXPECT_EQ(finding.severity, Severity::problem);
    EXPECT_EQ(finding.evidence, "iptables-nft, rule 2 of INPUT: -A INPUT -j REJECT --reject-with icmp-host-prohibited");
    EXPECT_EQ(finding.mend,
              "iptables-nft -w -I INPUT 2 -i podlane-lan -j ACCEPT && iptables-nft -w -I INPUT 2 -s 10.244.0.0/16 -j "
              "ACCEPT");
}

TEST(FirewallCheck, ManyPods_AreOneFindingWithOneCommand) {
    auto facts = facts_with(filter({reject({in("podlane-lan")})}));
    for (unsigned i = 0; i < 50; ++i) {
        facts.macvlans.front().pods.push_back(macvlan_pod(Ipv4Address::from_host(0xac140734 + i)));
    }
    const auto finding = the_only(check_firewall(facts));
    EXPECT_THAT(finding.what, HasSubstr("and 48 more"));
    EXPECT_EQ(finding.mend, "iptables-nft -w -I INPUT 1 -i podlane-lan -j ACCEPT");
}

TEST(FirewallCheck, UnknownAcceptBefore_IsAWarningThatNamesIt) {
    const auto finding = the_only(check_firewall(facts_with(filter({rule({mark}, Act::accept)}, Act::drop))));
    EXPECT_EQ(finding.severity, Severity::warning);
    EXPECT_EQ(finding.evidence,
              "iptables-nft: -P INPUT DROP, and no rule before it accepts them; whether this one accepts them is not "
              "known: iptables-nft, rule 1 of INPUT: -A INPUT -m mark -j ACCEPT");
}

TEST(FirewallCheck, UnknownReject_IsANoteWithoutACommand) {
    const auto finding = the_only(check_firewall(facts_with(filter({reject({mark})}))));
    EXPECT_EQ(finding.severity, Severity::note);
    EXPECT_EQ(finding.mend, "");
}

TEST(FirewallCheck, RulesOfKubeProxy_AreNotNamed) {
    const Chain services{.name = "KUBE-SERVICES", .rules = {reject({mark})}};
    EXPECT_THAT(check_firewall(facts_with(filter({rule({}, Act::jump, "KUBE-SERVICES")}, Act::accept, {services}))),
                IsEmpty());
}

TEST(FirewallCheck, NetworkWithoutPods_IsJudgedByItsLan) {
    auto facts = facts_with(filter({reject({from("172.20.0.0/16")})}));
    facts.macvlans.front().pods.clear();
    EXPECT_THAT(the_only(check_firewall(facts)).what, HasSubstr("macvlan pods of lan to this host"));
}

TEST(FirewallCheck, VxlanOfPeers_NeedsItsPortOnly) {
    auto facts = facts_with(filter({rule({in("podlane-lan")}, Act::accept), rule({from("10.244.0.0/16")}, Act::accept),
                                    rule({port(22)}, Act::accept), reject()}));
    facts.underlay = UnderlayFacts{"eth0", address("192.168.0.1"), prefix("192.168.0.0/24")};
    const auto finding = the_only(check_firewall(facts));
    EXPECT_EQ(finding.mend, "iptables-nft -w -I INPUT 4 -i eth0 -p udp --dport 8472 -j ACCEPT");
    const Condition udp{.field = Field::protocol, .ranges = {{17, 17}}};
    facts.tables.front().chains.front().rules[2] = rule({udp, port(8472)}, Act::accept);
    EXPECT_THAT(check_firewall(facts), IsEmpty());
    facts.config.overlay.mode = OverlayMode::host_gw;
    facts.tables.front().chains.front().rules[2] = rule({port(22)}, Act::accept);
    EXPECT_THAT(check_firewall(facts), IsEmpty());
}

TEST(FirewallCheck, FirewalldThatRefusesNothing_IsANote) {
    auto facts = facts_with(filter({}));
    facts.firewalld = Firewalld{"table inet firewalld of nf_tables"};
    const auto finding = the_only(check_firewall(facts));
    EXPECT_EQ(finding.id, "firewalld");
    EXPECT_EQ(finding.severity, Severity::note);
}

struct ReversePathCase {
    unsigned all;
    unsigned own;
    const char* way_back;
    bool drops;
};
class ReversePaths : public testing::TestWithParam<ReversePathCase> {};
TEST_P(ReversePaths, LargerSettingCountsAndOnlyAnotherWayBackIsDropped) {
    const auto& [all, own, way_back, drops] = GetParam();
    Facts facts;
    facts.reverse_paths.push_back(
        {.device = "podlane0", .all = all, .own = own, .source = "packets", .way_back = way_back});
    EXPECT_THAT(check_reverse_paths(facts), SizeIs(drops ? 1 : 0));
}
INSTANTIATE_TEST_SUITE_P(Settings, ReversePaths,
                         testing::Values(ReversePathCase{1, 0, "eth0", true}, ReversePathCase{0, 1, "eth0", true},
                                         ReversePathCase{1, 1, "eth0", true}, ReversePathCase{1, 2, "eth0", false},
                                         ReversePathCase{2, 1, "eth0", false}, ReversePathCase{0, 0, "eth0", false},
                                         ReversePathCase{1, 1, "podlane0", false}, ReversePathCase{1, 0, "", true}));

TEST(ReversePathCheck, DeviceWithADotInItsName_IsSetByItsPath) {
    Facts facts;
    facts.reverse_paths.push_back({.device = "em2.7", .all = 1, .source = "packets", .way_back = "em3"});
    EXPECT_EQ(the_only(check_reverse_paths(facts)).mend, "sysctl -w net/ipv4/conf/em2.7/rp_filter=2");
}

struct ProbeCase {
    bool own;
    bool foreign;
    std::size_t findings;
    Severity severity;
};
class ForeignMacs : public testing::TestWithParam<ProbeCase> {};
TEST_P(ForeignMacs, OnlyAnswersToTheNicsOwnMacAlone_AreAProblem) {
    const auto& [own, foreign, count, severity] = GetParam();
    Facts facts;
    facts.probes.emplace().push_back({.master = "em2", .own_answered = own, .foreign_answered = foreign});
    const auto findings = check_foreign_macs(facts);
    ASSERT_THAT(findings, SizeIs(count));
    EXPECT_TRUE(findings.empty() || findings.front().severity == severity);
}
INSTANTIATE_TEST_SUITE_P(Answers, ForeignMacs,
                         testing::Values(ProbeCase{true, true, 0, Severity::note},
                                         ProbeCase{true, false, 1, Severity::problem},
                                         ProbeCase{false, false, 1, Severity::note}));

TEST(DhcpCheck, ClientOnMasterAlone_IsAsItShouldBe) {
    auto facts = facts_with(filter({}));
    facts.macvlans.front().dynamic_length = 24;
    facts.dhcp_clients.push_back({"em2", 7, "dhclient", "a packet socket on em2"});
    EXPECT_THAT(check_dhcp(facts), IsEmpty());
}

TEST(DhcpCheck, ClientsOnMasterAndShim_AreBothNamedAndTheShimsIsStopped) {
    auto facts = facts_with(filter({}));
    facts.dhcp_clients = {{"em2", 7, "dhclient", "a packet socket on em2"},
                          {"podlane-lan", 8, "dhclient", "a packet socket on podlane-lan"}};
    const auto finding = the_only(check_dhcp(facts));
    EXPECT_EQ(finding.evidence,
              "dhclient: a packet socket on podlane-lan, process 8; dhclient: a packet socket on em2, "
              "process 7");
    EXPECT_EQ(finding.mend, "kill 8");
}

TEST(DhcpCheck, ServiceOfTheSystem_IsToldToLeaveTheShimAlone) {
    auto facts = facts_with(filter({}));
    facts.dhcp_clients = {{"podlane-lan", 8, "NetworkManager", "a packet socket on podlane-lan"}};
    EXPECT_EQ(the_only(check_dhcp(facts)).mend, "nmcli device set podlane-lan managed no");
    facts.dhcp_clients.front().command = "systemd-network";
    EXPECT_THAT(the_only(check_dhcp(facts)).mend, HasSubstr("networkctl reload"));
}

TEST(DhcpCheck, LeaseThatIsMovedAway_IsNamed) {
    auto facts = facts_with(filter({}));
    facts.macvlans.front().dynamic_length = 24;
    facts.macvlans.front().settings.host_address = HostAddress::move;
    facts.dhcp_clients = {{"em2", 7, "dhclient", "a packet socket on em2"}};
    const auto finding = the_only(check_dhcp(facts));
    EXPECT_THAT(finding.evidence, HasSubstr("172.20.7.100/24 on em2 has a lifetime"));
    EXPECT_EQ(finding.mend,
              "kill 7 && ip address change 172.20.7.100/24 dev em2 valid_lft forever preferred_lft forever");
    facts.macvlans.front().dynamic_length.reset();
    EXPECT_EQ(the_only(check_dhcp(facts)).mend, "kill 7");
    facts.dhcp_clients.clear();
    EXPECT_THAT(check_dhcp(facts), IsEmpty());
}

PodRoutes pod_with(std::vector<netlink::Route> routes) {
    return {.pod = macvlan_pod(address("172.20.7.51")),
            .host_address = address("172.20.7.100"),
            .wanted = {prefix("10.32.0.0/24")},
            .routes = std::move(routes)};
}
netlink::Route via(std::string_view destination, std::string_view gateway) {
    return {.destination = prefix(destination), .oif = 2, .gateway = address(gateway)};
}

TEST(PodRoutesCheck, LongestRouteThatHoldsThemAllDecides) {
    const auto by_default = via("0.0.0.0/0", "172.20.7.254");
    Facts facts;
    for (const auto& routes : {std::vector{by_default, via("10.32.0.0/24", "172.20.7.100")},
                               std::vector{by_default, via("10.0.0.0/8", "172.20.7.100")},
                               std::vector{via("10.0.0.0/8", "172.20.7.254"), via("10.32.0.0/16", "172.20.7.100")}}) {
        facts.pod_routes = {pod_with(routes)};
        EXPECT_THAT(check_pod_routes(facts), IsEmpty());
    }
    facts.pod_routes = {pod_with({by_default, via("10.0.0.0/8", "172.20.7.100"), via("10.32.0.0/16", "172.20.7.9")})};
    const auto finding = the_only(check_pod_routes(facts));
    EXPECT_EQ(finding.evidence, "in /run/netns/x: 10.32.0.0/24 goes by 10.32.0.0/16 via 172.20.7.9");
    EXPECT_THAT(finding.mend,
                testing::StartsWith("nsenter --net=/run/netns/x ip route replace 10.32.0.0/24 via 172.20.7.100  # "));
}

TEST(PodRoutesCheck, PodWithoutAnyRoute_IsNamed) {
    Facts facts;
    facts.pod_routes = {pod_with({})};
    EXPECT_EQ(the_only(check_pod_routes(facts)).evidence, "in /run/netns/x: 10.32.0.0/24 goes by no route");
}

Table nat(const std::string& chain, std::vector<Rule> rules) {
    return {.dialect = Dialect::iptables_nft,
            .family = "ip",
            .name = "nat",
            .chains = {{.name = chain, .rules = std::move(rules)},
                       {.name = "KUBE-SVC-X", .rules = {rule({}, Act::jump, "KUBE-SEP-Y")}}}};
}
Rule masquerade_but(std::string_view cidr, std::string_view ip) {
    return rule({from(cidr, Sense::is_not), to(ip)}, Act::jump, "KUBE-MARK-MASQ");
}

TEST(KubeProxyCheck, CidrInsideTheConfigurations_IsRight) {
    Facts facts;
    for (const char* cidr : {"10.244.0.0/16", "10.244.1.0/24"}) {
        for (const char* chain : {"KUBE-SERVICES", "KUBE-SVC-Z"}) {
            facts.tables = {nat(chain, {masquerade_but(cidr, "10.32.0.10/32")})};
            EXPECT_THAT(check_kube_proxy(facts), IsEmpty()) << cidr << " in " << chain;
        }
    }
    facts.tables.clear();  // no kube-proxy
    EXPECT_THAT(check_kube_proxy(facts), IsEmpty());
}

TEST(KubeProxyCheck, OtherCidrAndNone_AreNamed) {
    Facts facts;
    facts.tables = {nat("KUBE-SERVICES", {masquerade_but("10.0.0.0/8", "10.32.0.10/32")})};
    EXPECT_EQ(the_only(check_kube_proxy(facts)).evidence,
              "-A KUBE-SERVICES ! -s 10.0.0.0/8 -d 10.32.0.10/32 -j KUBE-MARK-MASQ");
    facts.tables = {nat("KUBE-SERVICES", {})};
    EXPECT_THAT(the_only(check_kube_proxy(facts)).what, HasSubstr("without a cluster CIDR"));
}

// What is masqueraded for all comes back through the host, whoever asks.
TEST(KubeProxyCheck, MasqueradeAll_NeedsNoCidr) {
    const auto served = [](std::string_view ip) { return rule({to(ip)}, Act::jump, "KUBE-SVC-X"); };
    const auto masqueraded = [](std::string_view ip) { return rule({to(ip)}, Act::jump, "KUBE-MARK-MASQ"); };
    Facts facts;
    facts.tables = {nat("KUBE-SERVICES", {masqueraded("10.32.0.10/32"), served("10.32.0.10/32"),
                                          masqueraded("198.51.100.15/32"), served("198.51.100.15/32")})};
    EXPECT_THAT(check_kube_proxy(facts), IsEmpty());
    facts.tables.front().chains.front().rules.erase(facts.tables.front().chains.front().rules.begin());
    EXPECT_THAT(check_kube_proxy(facts), SizeIs(1));
}

TEST(KubeProxyCheck, NetworkOfServices_HoldsAllClusterIps) {
    const auto network = [](std::vector<std::string_view> ips) {
        KubeProxyRules rules;
        std::ranges::transform(ips, std::back_inserter(rules.cluster_ips), address);
        return service_network(rules);
    };
    EXPECT_EQ(network({"10.32.0.1", "10.32.0.14"}), prefix("10.32.0.0/24"));
    EXPECT_EQ(network({"10.96.0.1", "10.96.200.3"}), prefix("10.96.0.0/16"));
    EXPECT_EQ(network({"10.32.0.1", "198.51.100.1"}), std::nullopt);
    EXPECT_EQ(network({}), std::nullopt);
}

TEST(CheckAll, ProblemsComeFirstAndWhatWasNotSeenIsSaid) {
    auto facts = facts_with(filter({reject()}));
    facts.gaps.emplace_back("list the rules of nf_tables: Operation not permitted");
    const auto findings = check_all(facts);
    std::vector<std::string> ids;
    std::ranges::transform(findings, std::back_inserter(ids), &Finding::id);
    EXPECT_THAT(ids, ElementsAre("firewall", "doctor", "foreign-macs"));
    EXPECT_EQ(findings[1].severity, Severity::warning);
}

}  // namespace
}  // namespace podlane::doctor
