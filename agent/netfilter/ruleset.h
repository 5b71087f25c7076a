// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/address.h"

// Packet filter rules that others made, as far as it can be told from them what becomes of a pod's packet. Both of the
// kernel's packet filters, ip_tables and nf_tables, are read into this form; nothing here changes a rule.
namespace podlane::netfilter {

// Whose words a rule is named by, and which program changes it.
enum class Dialect : std::uint8_t { iptables_legacy, iptables_nft, nft };

enum class Field : std::uint8_t {
    in_interface,
    out_interface,
    source,
    destination,
    family,  // of an inet table: IPv4 or not
    protocol,
    port,        // the destination's
    state,       // connection tracking's
    translated,  // connection tracking's: address translation has touched it
    other,       // holds for some packets of every kind: rate, length, ...
    unreadable,  // nothing is known of it: marks, sets, modules that podlane does not read
};

struct InterfaceName {
    enum class Match : std::uint8_t { whole, prefix } match = Match::whole;
    std::string text{};

    [[nodiscard]] bool covers(std::string_view name) const;
    bool operator==(const InterfaceName&) const = default;
};

// Of addresses or numbers; host byte order, both ends included.
struct Range {
    std::uint32_t first = 0;
    std::uint32_t last = 0;

    [[nodiscard]] static Range of(const Ipv4Prefix& prefix);
    // Nothing unless it is exactly one prefix.
    [[nodiscard]] std::optional<Ipv4Prefix> prefix() const;
    bool operator==(const Range&) const = default;
};

// Bits of Condition::states, ctinfo's as nf_tables and xt_conntrack count them.
inline constexpr std::uint32_t state_invalid = 1;
inline constexpr std::uint32_t state_established = 2;
inline constexpr std::uint32_t state_related = 4;
inline constexpr std::uint32_t state_new = 8;

enum class Sense : std::uint8_t { is, is_not };

// Holds for any of the listed values of its field.
struct Condition {
    Field field = Field::unreadable;
    Sense sense = Sense::is;
    std::vector<InterfaceName> interfaces{};  // in_interface, out_interface
    std::vector<Range> ranges{};              // source, destination, protocol, port
    std::uint32_t states = 0;                 // state
    std::string text{};                       // translated: which way; other, unreadable: "-m limit"

    bool operator==(const Condition&) const = default;
};

enum class Act : std::uint8_t {
    proceed,  // to the next rule
    accept,
    drop,
    reject,
    jump,
    go_to,
    leave,    // back to the chain that jumped here
    unknown,  // to user space, or to a module that podlane does not read
};

struct Rule {
    std::uint64_t number = 0;  // in its chain, from 1
    std::uint64_t handle = 0;  // nf_tables only
    std::vector<Condition> conditions{};
    Act act = Act::proceed;
    std::string target{};  // jump, go_to: the chain; reject: what with, in the dialect's words; proceed: the module

    bool operator==(const Rule&) const = default;
};

enum class Hook : std::uint8_t { input, forward, other };
struct BaseChain {
    Hook hook = Hook::other;
    Act policy = Act::accept;

    bool operator==(const BaseChain&) const = default;
};

struct Chain {
    std::string name{};
    std::optional<BaseChain> base{};
    std::vector<Rule> rules{};
};

struct Table {
    Dialect dialect = Dialect::nft;
    std::string family{};  // "ip", "inet"
    std::string name{};
    std::vector<Chain> chains{};

    [[nodiscard]] const Chain* find(std::string_view chain) const;
};

// "iptables-nft -w", "iptables-legacy -w"; "nft" for nft.
[[nodiscard]] std::string_view program_of(Dialect dialect);
// The rule as its program lists it: "-A INPUT -j REJECT --reject-with icmp-host-prohibited". What is not read of it
// stands as its module's name.
[[nodiscard]] std::string to_string(const Table& table, const Chain& chain, const Rule& rule);

// Shared by both readers.
// Of a match module of xtables: none for what tells nothing (a comment).
[[nodiscard]] std::vector<Condition> xt_match(std::string_view name, unsigned revision,
                                              std::span<const std::byte> info);
// What a target module of xtables does; `info` is read for REJECT.
struct Target {
    Act act = Act::proceed;
    std::string text{};  // as Rule::target
};
[[nodiscard]] Target xt_target(std::string_view name, std::span<const std::byte> info);
[[nodiscard]] std::string protocol_name(unsigned number);  // IPPROTO_*
[[nodiscard]] std::string_view icmp_reject_name(unsigned xt_code);

}  // namespace podlane::netfilter
