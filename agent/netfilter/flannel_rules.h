// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "maps/base/result.h"

// The rules that a flanneld left behind, in both packet filters of the calling thread's network namespace: found, taken
// away, put back. What is flannel's is known from flannel's source, pkg/trafficmngr (iptables.go, nftables.go):
//   - chains FLANNEL-* of the tables nat and filter with what is in them, and rules of any chain there that jump to
//   one;
//   - rules with the comment "flanneld masq" in nat's POSTROUTING and "flanneld forward" in filter's FORWARD, which is
//     all that flannel before 0.20 made;
//   - the tables flannel-ipv4 (family ip) and flannel-ipv6 (family ip6) of nf_tables, as a whole.
// No other rule is touched. ip6tables' chains of a flannel with IPv6 are not read: podlane has no IPv6 yet.
//
// Needs CAP_NET_ADMIN. nf_tables is changed in one transaction, which is begun anew, five times at the most, when
// others change something meanwhile; ip_tables' tables by one commit each, under iptables' own lock, which is not
// waited for. EAGAIN: others are at it, to be tried again. After an error in between, the same call does what is left
// to do.
namespace podlane::netfilter {

struct FlannelRule {
    std::uint32_t number = 0;  // in its chain, from 1, among all rules that were there
    // ip_tables: an ipt_entry without counters, the target (a verdict, a chain, a module) by its name. nf_tables: the
    // rule's expressions, counters at zero. Byte order of the machine.
    std::string content{};
    std::string user_data{};  // nf_tables: NFTA_RULE_USERDATA
    std::string line{};       // for people: as iptables -S or nft lists it; a module that podlane does not read by name

    // What it does, wherever it stands.
    [[nodiscard]] bool does_the_same(const FlannelRule& other) const {
        return content == other.content && user_data == other.user_data;
    }
    bool operator==(const FlannelRule&) const = default;
};

// A chain of nf_tables that is attached to a hook.
struct FlannelHook {
    std::string type{};         // "filter", "nat"
    std::uint32_t number = 0;   // NF_INET_*
    std::int32_t priority = 0;  // lower is earlier
    std::uint32_t policy = 0;   // NF_ACCEPT, NF_DROP

    bool operator==(const FlannelHook&) const = default;
};

struct FlannelChain {
    std::string name{};
    bool own = false;                   // flannel's; otherwise only `rules` are
    std::optional<FlannelHook> hook{};  // nf_tables
    std::string user_data{};            // nf_tables: NFTA_CHAIN_USERDATA
    std::vector<FlannelRule> rules{};   // numbers ascend

    bool operator==(const FlannelChain&) const = default;
};

enum class PacketFilter : std::uint8_t { ip_tables, nf_tables };

struct FlannelTable {
    PacketFilter filter = PacketFilter::ip_tables;
    std::string family = "ip";  // "ip", "ip6"
    std::string name{};
    bool own = false;         // flannel's, and all its chains
    std::string user_data{};  // nf_tables: NFTA_TABLE_USERDATA
    std::vector<FlannelChain> chains{};

    bool operator==(const FlannelTable&) const = default;
};

struct FlannelRules {
    std::vector<FlannelTable> tables{};  // those with something of flannel's

    [[nodiscard]] bool empty() const { return tables.empty(); }
    // Chains and rules as iptables -S has them, behind the program and the table: `iptables-legacy -t nat -A
    // POSTROUTING -m comment --comment "flanneld masq" -j FLANNEL-POSTRTG`; of flannel's own tables `nft ip
    // flannel-ipv4 forward: ip saddr 10.244.0.0/16 accept`.
    [[nodiscard]] std::vector<std::string> lines() const;
    bool operator==(const FlannelRules&) const = default;
};

// Makes nothing: neither table nor chain. An error too: a rule of flannel's uses a set or an object, which flannel
// never makes and which cannot be put back.
[[nodiscard]] Result<FlannelRules> read_flannel_rules();

// Jumps first, then chains. What stands in `rules` goes, and with a chain or a table of flannel's whatever is in it by
// now, and what jumps there. What is gone already is no error.
[[nodiscard]] Result<void> remove_flannel_rules(const FlannelRules& rules);

// Chain by chain, rules that are missing are put where they were: at their number, counted with the rules that are
// there now, or at the chain's end when it has become shorter. So a rule that stood first stands first, and one keeps
// its place as long as those before it are there and no more. A rule that does the same is taken for the one that it
// was and left where it is; so are chains and tables, with their hooks and policies. Counters start at zero.
[[nodiscard]] Result<void> restore_flannel_rules(const FlannelRules& rules);

[[nodiscard]] nlohmann::json to_json(const FlannelRules& rules);
// An error names the member: "flannel rules: tables[0]: chains[1]: name is not a text". What it returns can be handed
// to the kernel's interfaces without harm; the kernel may still refuse it.
[[nodiscard]] Result<FlannelRules> flannel_rules_from_json(const nlohmann::json& json);

}  // namespace podlane::netfilter
