// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/netfilter/ruleset.h"
#include "agent/netlink/socket.h"
#include "maps/base/result.h"

// The packet filters of IPv4 in the calling thread's network namespace. Nothing is made by reading: a host without a
// table stays without it. Needs CAP_NET_ADMIN.
namespace podlane::netfilter {

enum class Tables : std::uint8_t {
    all,
    filtering,  // those that may refuse what comes in or goes through: without nat, which kube-proxy makes large
};

// Tables filter and nat of ip_tables, those that are there.
[[nodiscard]] Result<std::vector<Table>> read_legacy_tables(Tables wanted = Tables::all);

// Tables of the families ip and inet of nf_tables; none where the kernel has no nf_tables. `socket`: of
// NETLINK_NETFILTER in that namespace. A table that changes meanwhile is read again, five times at the most.
[[nodiscard]] Result<std::vector<Table>> read_nft_tables(netlink::Socket& socket, Tables wanted = Tables::all);
// Changes whenever somebody changes anything of nf_tables in that namespace. Nothing: it cannot be told.
[[nodiscard]] std::optional<std::uint32_t> nft_generation(netlink::Socket& socket);

// Codec, for tests.
namespace nft {

// An element of a set or verdict map. Keys are as the kernel compares them: network byte order for addresses, the
// host's for connection tracking's states and interface numbers.
struct Element {
    std::vector<std::byte> key{};  // empty: everything that no other element has
    enum class Kind : std::uint8_t { value, end_of_interval } kind = Kind::value;
    Act act = Act::proceed;  // of a verdict map
    std::string target{};
};

// A condition that a set decides.
struct Lookup {
    std::string set{};
    Field field = Field::unreadable;
    Sense sense = Sense::is;
    enum class Kind : std::uint8_t { set, verdict_map } kind = Kind::set;
    std::size_t at = 0;  // how many conditions of the rule stand before it
};

// A rule as the kernel sends it.
struct DecodedRule {
    std::uint8_t family = 0;  // NFPROTO_*
    std::string table{};
    std::string chain{};
    Rule rule{};
    std::vector<Lookup> lookups{};
};

[[nodiscard]] std::optional<DecodedRule> decode_rule(const nlmsghdr& message);
[[nodiscard]] std::optional<std::vector<Element>> decode_elements(const nlmsghdr& message);
// The values that a set has of a field.
[[nodiscard]] Condition condition_of(const Lookup& lookup, const std::vector<Element>& elements);
// One rule for each element of a verdict map.
[[nodiscard]] std::vector<Rule> rules_of(const Rule& rule, const Lookup& lookup, const std::vector<Element>& elements);

}  // namespace nft
}  // namespace podlane::netfilter
