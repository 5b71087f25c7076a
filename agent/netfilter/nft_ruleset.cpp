// SPDX-License-Identifier: Apache-2.0
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "agent/netfilter/nft_message.h"
#include "agent/netfilter/ruleset_readers.h"

namespace podlane::netfilter {
namespace {

using netlink::Attributes;
using netlink::Message;
using nft::request;

// Elements of larger verdict maps are not rules that somebody wrote.
constexpr std::size_t largest_verdict_map = 256;
constexpr int attempts = 5;

struct DecodedChain {
    std::uint8_t family = 0;
    std::string table;
    Chain chain;
};

Hook hook_of(std::uint32_t number) {
    return number == NF_INET_LOCAL_IN ? Hook::input : number == NF_INET_FORWARD ? Hook::forward : Hook::other;
}

std::optional<DecodedChain> decode_chain(const nlmsghdr& message) {
    const auto* header = nft::header_if(message, NFT_MSG_NEWCHAIN);
    if (header == nullptr) {
        return std::nullopt;
    }
    const Attributes attributes(message, sizeof(nfgenmsg));
    DecodedChain decoded{header->nfgen_family,
                         attributes.string(NFTA_CHAIN_TABLE).value_or(""),
                         {.name = attributes.string(NFTA_CHAIN_NAME).value_or("")}};
    if (attributes.has(NFTA_CHAIN_HOOK)) {
        const auto number =
            attributes.nested(NFTA_CHAIN_HOOK).network_u32(NFTA_HOOK_HOOKNUM).value_or(NF_INET_NUMHOOKS);
        const bool drops = attributes.network_u32(NFTA_CHAIN_POLICY) == std::uint32_t{NF_DROP};
        decoded.chain.base = BaseChain{hook_of(number), drops ? Act::drop : Act::accept};
    }
    return decoded;
}

using SetName = std::tuple<std::uint8_t, std::string, std::string>;

// One reading of everything; EINTR when it changed meanwhile.
class Reader {
public:
    Reader(netlink::Socket& socket, Tables wanted) : socket_(socket), wanted_(wanted) {}

    Result<std::vector<Table>> read() {
        auto chains =
            socket_.dump(request(NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, "list the chains of nf_tables"), &decode_chain);
        if (!chains) {
            return std::unexpected(chains.error());
        }
        for (auto& decoded : *chains) {
            if (Table* table = table_of(decoded.family, decoded.table)) {
                table->chains.push_back(std::move(decoded.chain));
            }
        }
        std::vector<Message> requests;
        if (wanted_ == Tables::all) {
            requests.push_back(request(NFT_MSG_GETRULE, NFPROTO_UNSPEC, rules_label));
        }
        for (const auto& [key, table] : tables_) {
            if (wanted_ == Tables::filtering && may_refuse(table)) {
                requests.push_back(request(NFT_MSG_GETRULE, key.first, rules_label));
                requests.back().put_string(NFTA_RULE_TABLE, key.second);
            }
        }
        for (auto& ask : requests) {
            if (auto read = read_rules(std::move(ask)); !read) {
                return std::unexpected(read.error());
            }
        }
        return finish();
    }

private:
    static constexpr const char* rules_label = "list the rules of nf_tables";

    static bool may_refuse(const Table& table) {
        return std::ranges::any_of(table.chains,
                                   [](const Chain& chain) { return chain.base && chain.base->hook != Hook::other; });
    }
    Result<void> read_rules(Message ask) {
        auto rules = socket_.dump(std::move(ask), &nft::decode_rule);
        if (!rules) {
            return std::unexpected(rules.error());
        }
        for (auto& decoded : *rules) {
            if (auto added = add(std::move(decoded)); !added) {
                return added;
            }
        }
        return {};
    }
    using Key = std::pair<std::uint8_t, std::string>;

    Table* table_of(std::uint8_t family, const std::string& name) {
        if (family != NFPROTO_IPV4 && family != NFPROTO_INET) {
            return nullptr;
        }
        auto& table = tables_[Key(family, name)];
        table.family = family == NFPROTO_INET ? "inet" : "ip";
        table.name = name;
        return &table;
    }
    Result<void> add(nft::DecodedRule decoded) {
        Table* table = table_of(decoded.family, decoded.table);
        const auto chain = table == nullptr ? std::vector<Chain>::iterator()
                                            : std::ranges::find(table->chains, decoded.chain, &Chain::name);
        if (table == nullptr || chain == table->chains.end()) {
            return {};
        }
        auto rules = resolve(decoded);
        if (!rules) {
            return std::unexpected(rules.error());
        }
        const auto number = ++numbers_[{decoded.family, decoded.table, decoded.chain}];
        for (auto& rule : *rules) {
            rule.number = number;
            chain->rules.push_back(std::move(rule));
        }
        if (!decoded.lookups.empty()) {
            with_sets_.emplace_back(decoded.family, decoded.table);
        }
        return {};
    }
    // Sets become conditions; a verdict map, which ends its rule, becomes rules.
    Result<std::vector<Rule>> resolve(nft::DecodedRule& decoded) {
        std::size_t added = 0;
        for (auto& lookup : decoded.lookups) {
            const auto elements = elements_of({decoded.family, decoded.table, lookup.set});
            if (!elements) {
                return std::unexpected(elements.error());
            }
            lookup.at += added++;
            if (lookup.kind == nft::Lookup::Kind::verdict_map && (*elements)->size() <= largest_verdict_map) {
                return nft::rules_of(decoded.rule, lookup, **elements);
            }
            auto& conditions = decoded.rule.conditions;
            conditions.insert(conditions.begin() + static_cast<std::ptrdiff_t>(lookup.at),
                              nft::condition_of(lookup, **elements));
            if (lookup.kind == nft::Lookup::Kind::verdict_map) {
                decoded.rule.act = Act::unknown;
                decoded.rule.target = fmt::format("vmap @{}", lookup.set);
            }
        }
        return std::vector{decoded.rule};
    }
    Result<const std::vector<nft::Element>*> elements_of(const SetName& name) {
        if (const auto found = sets_.find(name); found != sets_.end()) {
            return &found->second;
        }
        const auto& [family, table, set] = name;
        Message ask = request(NFT_MSG_GETSETELEM, family, fmt::format("list set {} of nf_tables", set));
        ask.put_string(NFTA_SET_ELEM_LIST_TABLE, table);
        ask.put_string(NFTA_SET_ELEM_LIST_SET, set);
        const auto parts = socket_.dump(std::move(ask), &nft::decode_elements);
        if (!parts) {
            return std::unexpected(parts.error());
        }
        auto& elements = sets_[name];
        for (const auto& part : *parts) {
            elements.insert(elements.end(), part.begin(), part.end());
        }
        return &elements;
    }
    // iptables-nft makes no sets: a table with some is listed and changed by nft alone.
    std::vector<Table> finish() {
        std::vector<Table> tables;
        for (auto& [key, table] : tables_) {
            const bool name = table.name == "filter" || table.name == "nat";
            const bool iptables =
                name && table.family == "ip" && std::ranges::find(with_sets_, key) == with_sets_.end();
            const bool upper = table.find("INPUT") != nullptr || table.find("FORWARD") != nullptr ||
                               table.find("PREROUTING") != nullptr || table.find("POSTROUTING") != nullptr;
            table.dialect = iptables && upper ? Dialect::iptables_nft : Dialect::nft;
            tables.push_back(std::move(table));
        }
        return tables;
    }

    netlink::Socket& socket_;
    Tables wanted_;
    std::map<Key, Table> tables_;
    std::map<SetName, std::uint64_t> numbers_;  // rules so far, by chain
    std::map<SetName, std::vector<nft::Element>> sets_;
    std::vector<Key> with_sets_;
};

}  // namespace

Result<std::vector<Table>> read_nft_tables(netlink::Socket& socket, Tables wanted) {
    for (int attempt = 1;; ++attempt) {
        auto tables = Reader(socket, wanted).read();
        // EINVAL: a kernel without nf_tables.
        if (!tables && tables.error().code == EINVAL) {
            return std::vector<Table>();
        }
        // ENOENT: a set that went with its rule since that was listed.
        const bool again = !tables && (tables.error().code == EINTR || tables.error().code == ENOENT);
        if (!again || attempt == attempts) {
            return tables;
        }
    }
}

std::optional<std::uint32_t> nft_generation(netlink::Socket& socket) {
    std::optional<std::uint32_t> generation;
    Message ask = request(NFT_MSG_GETGEN, NFPROTO_UNSPEC, "read the generation of nf_tables");
    const auto done = socket.query(std::span(&ask, 1), [&](std::size_t, const nlmsghdr& message) {
        generation = Attributes(message, sizeof(nfgenmsg)).network_u32(NFTA_GEN_ID);
    });
    return done.front() ? generation : std::nullopt;
}

}  // namespace podlane::netfilter
