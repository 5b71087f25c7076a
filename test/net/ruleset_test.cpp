// SPDX-License-Identifier: Apache-2.0
// Rules as iptables and nft put them into the kernel, read back. One namespace, no traffic.
#include <gmock/gmock.h>

#include "agent/netfilter/ruleset_readers.h"
#include "test/net/harness/namespace.h"
#include "test/net/harness/process.h"

namespace podlane::net {
namespace {

using netfilter::Act;
using netfilter::Dialect;
using netfilter::Field;
using netfilter::Table;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Table find_table(const std::vector<Table>& tables, const std::string& name) {
    for (const auto& table : tables) {
        if (table.name == name) {
            return table;
        }
    }
    ADD_FAILURE() << "no table " << name;
    return {};
}

std::vector<Table> read_nft(const Namespace& ns) {
    return in_namespace(ns, [] {
        auto socket = netlink::Socket::open(NETLINK_NETFILTER);
        return netfilter::read_nft_tables(socket.value()).value();
    });
}

std::vector<Table> read_legacy(const Namespace& ns) {
    return in_namespace(ns, [] { return netfilter::read_legacy_tables().value(); });
}

std::vector<std::string> lines_of(const Table& table, const std::string& chain) {
    std::vector<std::string> lines;
    const auto* found = table.find(chain);
    for (const auto& rule : found == nullptr ? std::vector<netfilter::Rule>() : found->rules) {
        lines.push_back(netfilter::to_string(table, *found, rule));
    }
    return lines;
}

// "iptables-nft" or "iptables-legacy".
class IptablesRuleset : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        if (const auto listed = run(ns_, {GetParam(), "-S"}); !listed.ok()) {
            GTEST_SKIP() << "this kernel has no tables for " << GetParam() << ": " << listed.err;
        }
    }
    void add(const std::string& rule) { must_run(ns_, {"sh", "-ec", fmt::format("{} {}", GetParam(), rule)}); }
    Table filter() {
        const bool legacy = std::string_view(GetParam()) == "iptables-legacy";
        return find_table(legacy ? read_legacy(ns_) : read_nft(ns_), "filter");
    }
    const Namespace ns_{"rules"};
};
INSTANTIATE_TEST_SUITE_P(Programs, IptablesRuleset, testing::Values("iptables-nft", "iptables-legacy"),
                         [](const auto& tested) {
                             return std::string_view(tested.param) == "iptables-nft" ? std::string("Nft") : "Legacy";
                         });

TEST_P(IptablesRuleset, Rules_AreWrittenAsIptablesWritesThem) {
    const std::vector<std::string> rules = {
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A INPUT -i lo -j ACCEPT",
        "-A INPUT -s 10.0.0.0/8 -i pod+ -j ACCEPT",
        "-A INPUT ! -s 172.16.0.0/12 -d 172.20.7.100/32 ! -i eth0 -j DROP",
        "-A INPUT -p icmp -j ACCEPT",
        "-A INPUT -j own",
        "-A INPUT -g own",
        "-A INPUT -s 172.20.7.128/25 -j RETURN",
        "-A INPUT -j REJECT --reject-with icmp-host-prohibited",
        "-A INPUT -j REJECT --reject-with icmp-port-unreachable",
        "-A INPUT -j REJECT --reject-with icmp-admin-prohibited",
    };
    add("-N own");
    for (const auto& rule : rules) {
        add(rule);
    }
    const auto table = filter();
    EXPECT_EQ(lines_of(table, "INPUT"), rules);
    std::string listed = "-P INPUT ACCEPT\n";
    for (const auto& rule : rules) {
        listed += rule + "\n";
    }
    EXPECT_EQ(must_run(ns_, {GetParam(), "-S", "INPUT"}), listed) << "not what iptables writes";
    EXPECT_EQ(table.find("INPUT")->rules.back().number, rules.size());
    EXPECT_FALSE(table.find("own")->base);
}

TEST_P(IptablesRuleset, PortsAndProtocols_AreRead) {
    add("-A INPUT -p udp -m udp --dport 8472 -j ACCEPT");
    add("-A INPUT -p udp -m udp ! --dport 1000:2000 -j ACCEPT");
    add("-A INPUT -p tcp -m multiport --dports 22,8000:8010 -j ACCEPT");
    add("-A INPUT -p tcp -m tcp --sport 53 -j ACCEPT");
    const auto table = filter();
    const auto& rules = table.find("INPUT")->rules;
    ASSERT_EQ(rules.size(), 4U);
    const auto port = [&](std::size_t rule) { return rules[rule].conditions.at(1); };
    EXPECT_THAT(port(0).ranges, ElementsAre(netfilter::Range{8472, 8472}));
    EXPECT_THAT(port(1).ranges, ElementsAre(netfilter::Range{1000, 2000}));
    EXPECT_EQ(port(1).sense, netfilter::Sense::is_not);
    EXPECT_THAT(port(2).ranges, ElementsAre(netfilter::Range{22, 22}, netfilter::Range{8000, 8010}));
    EXPECT_EQ(port(3).field, Field::other);
    for (const auto& rule : rules) {
        EXPECT_EQ(rule.conditions.front().field, Field::protocol);
    }
}

TEST_P(IptablesRuleset, MaskWithHoles_IsUnreadable) {
    add("-A INPUT -s 10.0.1.0/255.0.255.0 -j DROP");
    add("-A INPUT ! -d 10.0.0.1/255.0.0.1 -j DROP");
    const auto table = filter();
    const auto& rules = table.find("INPUT")->rules;
    ASSERT_EQ(rules.size(), 2U);
    for (const auto& rule : rules) {
        ASSERT_EQ(rule.conditions.size(), 1U);
        EXPECT_EQ(rule.conditions.front().field, Field::unreadable);
        EXPECT_THAT(rule.conditions.front().ranges, IsEmpty());
    }
}

TEST_P(IptablesRuleset, PolicyMarksAndUnknownModules_AreToldAsWhatTheyAre) {
    add("-P FORWARD DROP");
    add("-A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT");
    add("-A FORWARD -m limit --limit 5/sec -j LOG");
    add("-A FORWARD -m comment --comment \"nothing\" -j ACCEPT");
    const auto table = filter();
    const auto& chain = *table.find("FORWARD");
    EXPECT_EQ(chain.base, (netfilter::BaseChain{netfilter::Hook::forward, Act::drop}));
    ASSERT_EQ(chain.rules.size(), 3U);
    EXPECT_EQ(chain.rules[0].conditions.front().field, Field::unreadable);
    EXPECT_EQ(chain.rules[1].conditions.front().field, Field::other);
    EXPECT_EQ(chain.rules[1].act, Act::proceed);
    EXPECT_THAT(chain.rules[2].conditions, IsEmpty());
}

TEST(NftRuleset, EveryFormOfACondition_IsRead) {
    const Namespace ns("rules");
    RunOptions rules;
    rules.input =
        "table inet own {\n"
        " set lans { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 172.20.0.0-172.20.7.255 }\n }\n"
        " chain in { type filter hook input priority 0; policy drop;\n"
        "  ct state vmap { established : accept, new : jump rest, invalid : drop }\n"
        "  ct state established,related accept\n"
        "  ct status dnat accept\n"
        "  iifname { \"lo\", \"podlane-lan\" } accept\n"
        "  iif lo accept\n"
        "  iifname \"pod*\" oifname != \"eth0\" accept\n"
        "  ip saddr @lans ip daddr != 10.1.0.0/16 drop\n"
        "  ip saddr 10.1.1.1-10.1.1.9 return\n"
        "  udp dport { 53, 8000-8010 } accept\n"
        "  meta nfproto ipv6 drop\n"
        "  iifname . ip saddr { \"lo\" . 1.1.1.1 } accept\n"
        "  meta mark 7 accept\n"
        "  reject with icmpx type admin-prohibited\n"
        " }\n"
        " chain rest { reject with tcp reset\n }\n"
        "}\n"
        "table ip6 other { chain in { type filter hook input priority 0; policy drop; }\n }\n";
    must_run(ns, {"nft", "-f", "-"}, rules);
    const auto tables = read_nft(ns);
    ASSERT_EQ(tables.size(), 1U);  // IPv6's own are none of ours
    const auto& table = tables.front();
    EXPECT_EQ(table.dialect, Dialect::nft);
    EXPECT_EQ(table.family, "inet");
    EXPECT_THAT(
        lines_of(table, "in"),
        ElementsAre("ct state invalid drop", "ct state established accept", "ct state new jump rest",
                    "ct state { related, established } accept", "ct status dnat accept",
                    "iifname { \"lo\", \"podlane-lan\" } accept", "iifname \"lo\" accept",
                    "iifname \"pod*\" oifname != \"eth0\" accept",
                    "meta nfproto ipv4 ip saddr { 10.0.0.0/8, 172.20.0.0/21 } ip daddr != 10.1.0.0/16 drop",
                    "meta nfproto ipv4 ip saddr 10.1.1.1-10.1.1.9 return",
                    "meta l4proto udp th dport { 53, 8000-8010 } accept", "meta nfproto ipv6 drop",
                    "meta nfproto ipv4 @__set2 accept", "meta mark accept", "reject with icmpx admin-prohibited"));
    // Numbers and handles are the kernel's rules', of which a verdict map is one.
    const auto& chain = *table.find("in");
    EXPECT_EQ(chain.rules[2].handle, chain.rules[0].handle);
    EXPECT_EQ(chain.rules.back().number, 13U);
}

TEST(NftRuleset, HostWithoutTables_HasNoneAndGetsNone) {
    const Namespace ns("rules");
    EXPECT_THAT(read_nft(ns), IsEmpty());
    EXPECT_THAT(read_legacy(ns), IsEmpty());
    EXPECT_EQ(must_run(ns, {"nft", "list", "ruleset"}), "");
    EXPECT_THAT(must_run(ns, {"cat", "/proc/net/ip_tables_names"}), testing::Not(HasSubstr("filter")));
}

}  // namespace
}  // namespace podlane::net
