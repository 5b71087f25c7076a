// SPDX-License-Identifier: Apache-2.0
// Rules that a flanneld left, among kube-proxy's and a user's, taken away and put back. One namespace, no traffic; the
// programs that made the rules say what is there.
#include <fcntl.h>
#include <sys/file.h>

#include <regex>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "agent/netfilter/flannel_rules.h"
#include "test/net/harness/namespace.h"
#include "test/net/harness/process.h"

namespace podlane::net {
namespace {

using netfilter::FlannelRules;
using testing::ElementsAre;
using testing::HasSubstr;

FlannelRules read_rules(const Namespace& ns) {
    return in_namespace(ns, [] { return netfilter::read_flannel_rules().value(); });
}

std::string problem_of(const Result<void>& done) {
    return done ? "" : done.error().message;
}

void expect_removed(const Namespace& ns, const FlannelRules& rules) {
    EXPECT_EQ(in_namespace(ns, [&] { return problem_of(netfilter::remove_flannel_rules(rules)); }), "");
}

// By way of the record's text.
void expect_restored(const Namespace& ns, const FlannelRules& rules) {
    const auto text = netfilter::to_json(rules).dump();
    const auto record = netfilter::flannel_rules_from_json(nlohmann::json::parse(text));
    ASSERT_TRUE(record) << record.error().message;
    EXPECT_EQ(*record, rules);
    EXPECT_EQ(in_namespace(ns, [&] { return problem_of(netfilter::restore_flannel_rules(*record)); }), "");
}

// What kube-proxy and a user have, in iptables-restore's form; flannel's lines stand behind "flannel|".
constexpr const char* nat_rules =
    "*nat\n"
    ":PREROUTING ACCEPT [0:0]\n"
    ":INPUT ACCEPT [0:0]\n"
    ":OUTPUT ACCEPT [0:0]\n"
    ":POSTROUTING ACCEPT [0:0]\n"
    "flannel|:FLANNEL-POSTRTG - [0:0]\n"
    ":KUBE-MARK-MASQ - [0:0]\n"
    ":KUBE-POSTROUTING - [0:0]\n"
    ":KUBE-SERVICES - [0:0]\n"
    "-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n"
    "-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\n"
    "flannel|-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\n"
    "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n"
    "-A POSTROUTING -s 10.9.0.0/16 -m comment --comment \"not flanneld masq\" -j ACCEPT\n"
    "-A POSTROUTING -s 10.9.0.0/16 -m comment --comment \"flanneld masquerade\" -j RETURN\n"
    "flannel|-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "flannel|-A FLANNEL-POSTRTG -s 10.244.1.0/24 -d 10.244.0.0/16 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "flannel|-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.1.0/24 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "flannel|-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.1.0/24 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "flannel|-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment \"flanneld masq\""
    " -j MASQUERADE --random-fully\n"
    "flannel|-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment \"flanneld masq\""
    " -j MASQUERADE --random-fully\n"
    "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n"
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n"
    "-A KUBE-POSTROUTING -m comment --comment \"flanneld masq\" -j MASQUERADE --random-fully\n"
    "COMMIT\n";

constexpr const char* filter_rules =
    "*filter\n"
    ":INPUT ACCEPT [0:0]\n"
    ":FORWARD DROP [0:0]\n"
    ":OUTPUT ACCEPT [0:0]\n"
    "flannel|:FLANNEL-FWD - [0:0]\n"
    ":KUBE-FORWARD - [0:0]\n"
    "flannel|-A FORWARD -m comment --comment \"flanneld forward\" -j FLANNEL-FWD\n"
    "-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n"
    "-A FORWARD -i eth1 -m comment --comment \"flanneld masq\" -j DROP\n"
    "flannel|-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment \"flanneld forward\" -j ACCEPT\n"
    "flannel|-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment \"flanneld forward\" -j ACCEPT\n"
    "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n"
    "COMMIT\n";

// As flannel before 0.20 put them.
constexpr const char* old_rules =
    "*nat\n"
    "-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j ACCEPT\n"
    "flannel|-A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "flannel|-A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment \"flanneld masq\""
    " -j MASQUERADE --random-fully\n"
    "-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE\n"
    "flannel|-A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.1.0/24 -m comment --comment \"flanneld masq\" -j RETURN\n"
    "COMMIT\n"
    "*filter\n"
    "flannel|-A FORWARD -s 10.244.0.0/16 -m comment --comment \"flanneld forward\" -j ACCEPT\n"
    "-A FORWARD -i eth1 -j DROP\n"
    "flannel|-A FORWARD -d 10.244.0.0/16 -m comment --comment \"flanneld forward\" -j ACCEPT\n"
    "COMMIT\n";

enum class Flannel : std::uint8_t { with, without };

std::string rules_of(const std::string& text, Flannel flannel) {
    return std::regex_replace(text, std::regex(flannel == Flannel::with ? R"(flannel\|)" : R"(flannel\|[^\n]*\n)"), "");
}

// "iptables-nft" or "iptables-legacy".
class FlannelRulesTest : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        if (const auto listed = run(ns_, {GetParam(), "-S"}); !listed.ok()) {
            GTEST_SKIP() << "this kernel has no tables for " << GetParam() << ": " << listed.err;
        }
    }
    void restore(const Namespace& ns, const std::string& rules) {
        RunOptions options;
        options.input = rules;
        must_run(ns, {std::string(GetParam()) + "-restore", "-w"}, options);
    }
    // Without counters and dates; in one order, which the kernel's is not.
    std::string saved(const Namespace& ns) {
        const auto program = std::string(GetParam()) + "-save";
        const auto text = must_run(ns, {program, "-t", "nat"}) + must_run(ns, {program, "-t", "filter"});
        return std::regex_replace(text, std::regex(R"(\[\d+:\d+\]|#[^\n]*\n)"), "");
    }
    std::string saved() { return saved(ns_); }
    // What the same rules look like that never had flannel's among them.
    std::string saved_without(const std::string& rules) {
        const Namespace other("rules");
        restore(other, rules_of(rules, Flannel::without));
        return saved(other);
    }
    void iptables(const std::string& arguments) {
        must_run(ns_, {"sh", "-ec", fmt::format("{} -w {}", GetParam(), arguments)});
    }

    const Namespace ns_{"rules"};
    const std::string all_ = std::string(nat_rules) + filter_rules;
};
INSTANTIATE_TEST_SUITE_P(Programs, FlannelRulesTest, testing::Values("iptables-nft", "iptables-legacy"),
                         [](const auto& tested) {
                             return std::string_view(tested.param) == "iptables-nft" ? std::string("Nft") : "Legacy";
                         });

TEST_P(FlannelRulesTest, AmongOthersRules_GoAndComeBackAsTheyWere) {
    restore(ns_, rules_of(all_, Flannel::with));
    const auto before = saved();
    ASSERT_THAT(before, HasSubstr("--random-fully"));
    const auto rules = read_rules(ns_);
    expect_removed(ns_, rules);
    EXPECT_EQ(saved(), saved_without(all_));
    EXPECT_TRUE(read_rules(ns_).empty());
    expect_restored(ns_, rules);
    EXPECT_EQ(saved(), before);
    EXPECT_EQ(read_rules(ns_), rules);
}

TEST_P(FlannelRulesTest, RulesOfAnOlderFlannel_GoAndComeBackAsTheyWere) {
    restore(ns_, rules_of(old_rules, Flannel::with));
    const auto before = saved();
    const auto rules = read_rules(ns_);
    EXPECT_EQ(rules.lines().size(), 5U);
    expect_removed(ns_, rules);
    EXPECT_EQ(saved(), saved_without(old_rules));
    expect_restored(ns_, rules);
    EXPECT_EQ(saved(), before);
}

TEST_P(FlannelRulesTest, DoneTwice_IsDoneOnce) {
    restore(ns_, rules_of(all_, Flannel::with));
    const auto before = saved();
    const auto rules = read_rules(ns_);
    expect_restored(ns_, rules);
    EXPECT_EQ(saved(), before);
    expect_removed(ns_, rules);
    const auto without = saved();
    expect_removed(ns_, rules);
    EXPECT_EQ(saved(), without);
    expect_restored(ns_, rules);
    expect_restored(ns_, rules);
    EXPECT_EQ(saved(), before);
}

TEST_P(FlannelRulesTest, PartOfThem_IsMadeWhole) {
    restore(ns_, rules_of(all_, Flannel::with));
    const auto before = saved();
    const auto rules = read_rules(ns_);
    iptables("-D FORWARD 1");
    iptables("-t nat -D FLANNEL-POSTRTG 1");
    iptables("-t nat -D FLANNEL-POSTRTG 4");
    expect_restored(ns_, rules);
    EXPECT_EQ(saved(), before);
    iptables("-D FORWARD 1");
    iptables("-F FLANNEL-FWD");
    iptables("-X FLANNEL-FWD");
    expect_removed(ns_, rules);
    EXPECT_EQ(saved(), saved_without(all_));
}

TEST_P(FlannelRulesTest, ChainsThatOthersChangedMeanwhile_GetTheJumpAtItsNumber) {
    restore(ns_, rules_of(all_, Flannel::with));
    const auto rules = read_rules(ns_);
    expect_removed(ns_, rules);
    iptables("-t nat -F POSTROUTING");
    iptables("-A FORWARD -i eth2 -j DROP");
    expect_restored(ns_, rules);
    EXPECT_THAT(saved(),
                HasSubstr("-A FORWARD -m comment --comment \"flanneld forward\" -j FLANNEL-FWD\n"
                          "-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n"));
    EXPECT_EQ(must_run(ns_, {GetParam(), "-t", "nat", "-S", "POSTROUTING"}),
              "-P POSTROUTING ACCEPT\n-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\n");
}

TEST_P(FlannelRulesTest, UsersJumpsIntoFlannelsChains_GoWithThem) {
    restore(ns_, rules_of(all_, Flannel::with));
    const auto first = read_rules(ns_);
    iptables("-N own");
    iptables("-A own -p tcp -m tcp --dport 80 -j FLANNEL-FWD");
    iptables("-A own ! -p udp -g FLANNEL-FWD");
    iptables("-A own -j ACCEPT");
    const auto before = saved();
    const auto rules = read_rules(ns_);
    // With a record of before the jumps, too: a chain that is jumped to cannot go.
    expect_removed(ns_, first);
    EXPECT_EQ(must_run(ns_, {GetParam(), "-S", "own"}), "-N own\n-A own -j ACCEPT\n");
    expect_restored(ns_, rules);
    EXPECT_EQ(saved(), before);
}

TEST_P(FlannelRulesTest, Lines_AreWhatIptablesLists) {
    restore(ns_, rules_of(all_, Flannel::with));
    std::vector<std::string> wanted;
    for (const std::string table : {"nat", "filter"}) {
        std::istringstream listed(must_run(ns_, {GetParam(), "-t", table, "-S"}));
        for (std::string line; std::getline(listed, line);) {
            if (line.contains("FLANNEL")) {
                wanted.push_back(fmt::format("{} -t {} {}", GetParam(), table, line));
            }
        }
    }
    EXPECT_EQ(wanted.size(), 12U);
    EXPECT_THAT(read_rules(ns_).lines(), testing::UnorderedElementsAreArray(wanted));
}

TEST_P(FlannelRulesTest, NodeWithoutFlannel_HasNoneAndGetsNoTables) {
    const Namespace bare("rules");
    const auto rules = read_rules(bare);
    EXPECT_TRUE(rules.empty());
    expect_removed(bare, rules);
    expect_restored(bare, rules);
    EXPECT_EQ(must_run(bare, {"nft", "list", "ruleset"}), "");
    EXPECT_EQ(must_run(bare, {"cat", "/proc/net/ip_tables_names"}), "");
}

TEST_P(FlannelRulesTest, TablesThatAreGone_AreMadeAnew) {
    restore(ns_, rules_of(all_, Flannel::with));
    const auto rules = read_rules(ns_);
    const Namespace bare("rules");
    expect_removed(bare, rules);
    EXPECT_EQ(must_run(bare, {"nft", "list", "ruleset"}), "");
    expect_restored(bare, rules);
    EXPECT_THAT(saved(bare), HasSubstr("-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\n"));
    EXPECT_EQ(read_rules(bare).lines(), rules.lines());
}

TEST(FlannelLegacyRules, WhileAnotherHoldsTheLock_NothingIsChanged) {
    const Namespace ns("rules");
    RunOptions options;
    options.input = rules_of(filter_rules, Flannel::with);
    if (const auto done = run(ns, {"iptables-legacy-restore", "-w"}, options); !done.ok()) {
        GTEST_SKIP() << "this kernel has no ip_tables: " << done.err;
    }
    const auto rules = read_rules(ns);
    Fd lock(::open("/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    const auto done = in_namespace(ns, [&] { return netfilter::remove_flannel_rules(rules); });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EAGAIN);
    EXPECT_EQ(read_rules(ns), rules);
    lock.reset();
    expect_removed(ns, rules);
    EXPECT_TRUE(read_rules(ns).empty());
}

// As flannel with EnableNFTables makes them.
constexpr const char* own_tables =
    "table ip flannel-ipv4 {\n"
    " comment \"rules for flannel-ipv4\"\n"
    " chain forward {\n"
    "  comment \"chain to accept flannel traffic\"\n"
    "  type filter hook forward priority filter; policy accept;\n"
    "  ip saddr 10.244.0.0/16 accept\n"
    "  ip daddr 10.244.0.0/16 accept\n"
    " }\n"
    " chain postrtg {\n"
    "  comment \"chain to manage traffic masquerading by flannel\"\n"
    "  type nat hook postrouting priority srcnat; policy accept;\n"
    "  meta mark 0x4000 return\n"
    "  ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return\n"
    "  ip saddr != 10.244.1.0/24 ip daddr 10.244.0.0/16 return\n"
    "  ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random\n"
    " }\n"
    "}\n"
    "table ip6 flannel-ipv6 {\n"
    " comment \"rules for flannel-ipv6\"\n"
    " chain forward {\n"
    "  type filter hook forward priority filter - 5; policy accept;\n"
    "  ip6 saddr fd00:244::/60 counter accept\n"
    "  ip6 daddr != fd00:244::/48 accept\n"
    " }\n"
    "}\n";
constexpr const char* others_tables =
    "table ip flannel {\n"
    " chain forward {\n"
    "  type filter hook forward priority 0;\n"
    "  ip saddr 10.244.0.0/16 accept\n"
    " }\n"
    "}\n"
    "table inet flannel-ipv4 {\n"
    " set s {\n"
    "  type ipv4_addr\n"
    " }\n"
    " chain FLANNEL-FWD {\n"
    "  ip saddr @s accept\n"
    " }\n"
    "}\n";

class FlannelNftTables : public testing::Test {
protected:
    void nft(const std::string& rules) {
        RunOptions options;
        options.input = rules;
        must_run(ns_, {"nft", "-f", "-"}, options);
    }
    std::string listed() { return must_run(ns_, {"nft", "--stateless", "list", "ruleset"}); }

    const Namespace ns_{"rules"};
};

TEST_F(FlannelNftTables, GoAndComeBackAsTheyWere) {
    nft(others_tables);
    const auto without = listed();
    nft(own_tables);
    const auto before = listed();
    const auto rules = read_rules(ns_);
    expect_removed(ns_, rules);
    EXPECT_EQ(listed(), without);
    expect_removed(ns_, rules);
    EXPECT_EQ(listed(), without);
    expect_restored(ns_, rules);
    EXPECT_EQ(listed(), before);
    expect_restored(ns_, rules);
    EXPECT_EQ(listed(), before);
}

TEST_F(FlannelNftTables, PartOfThem_IsMadeWhole) {
    nft(own_tables);
    const auto before = listed();
    const auto rules = read_rules(ns_);
    nft("flush chain ip flannel-ipv4 postrtg\ndelete table ip6 flannel-ipv6\n");
    expect_restored(ns_, rules);
    EXPECT_EQ(listed(), before);
}

TEST_F(FlannelNftTables, Lines_NameTableChainAndRule) {
    nft(own_tables);
    EXPECT_THAT(read_rules(ns_).lines(),
                ElementsAre("nft ip flannel-ipv4", "nft ip flannel-ipv4 forward: ip saddr 10.244.0.0/16 accept",
                            "nft ip flannel-ipv4 forward: ip daddr 10.244.0.0/16 accept",
                            "nft ip flannel-ipv4 postrtg: meta mark 0x00004000 return",
                            "nft ip flannel-ipv4 postrtg: ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return",
                            "nft ip flannel-ipv4 postrtg: ip saddr != 10.244.1.0/24 ip daddr 10.244.0.0/16 return",
                            "nft ip flannel-ipv4 postrtg: ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade "
                            "fully-random",
                            "nft ip6 flannel-ipv6", "nft ip6 flannel-ipv6 forward: ip6 saddr fd00:244::/60 accept",
                            "nft ip6 flannel-ipv6 forward: ip6 daddr != fd00:244::/48 accept"));
}

TEST_F(FlannelNftTables, RuleWithASet_IsRefusedRatherThanLost) {
    nft("table ip flannel-ipv4 {\n chain forward {\n  ip saddr { 10.244.0.1, 10.244.0.3 } accept\n }\n}\n");
    const auto read = in_namespace(ns_, [] { return netfilter::read_flannel_rules(); });
    ASSERT_FALSE(read);
    EXPECT_THAT(read.error().message, HasSubstr("flannel-ipv4"));
    EXPECT_THAT(read.error().message, HasSubstr("lookup"));
}

// All or nothing: one rule that the kernel refuses.
TEST_F(FlannelNftTables, RefusedByTheKernel_LeavesNothingBehind) {
    nft(own_tables);
    auto rules = read_rules(ns_);
    expect_removed(ns_, rules);
    const auto without = listed();
    rules.tables.front().chains.back().hook->type = "route";
    const auto done = in_namespace(ns_, [&] { return netfilter::restore_flannel_rules(rules); });
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr("postrtg"));
    EXPECT_EQ(listed(), without);
}

}  // namespace
}  // namespace podlane::net
