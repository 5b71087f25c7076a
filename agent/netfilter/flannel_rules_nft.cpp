// SPDX-License-Identifier: Apache-2.0
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <map>

#include "agent/netfilter/flannel_nft_ruleset.h"
#include "agent/netfilter/flannel_rules_parts.h"
#include "agent/netfilter/nft_message.h"

namespace podlane::netfilter::flannel {
namespace {

using netlink::Message;
using nft::request;

constexpr int attempts = 5;

// Changes that the kernel makes all at once.
class Transaction {
public:
    void delete_table(const FlannelTable& table) {
        Message& message = add(NFT_MSG_DELTABLE, table, "delete table " + table.name);
        message.put_string(NFTA_TABLE_NAME, table.name);
    }
    void delete_rule(const NftRow& row) {
        Message& message = add(NFT_MSG_DELRULE, row.table, "delete " + row.rule.line);
        put_chain(message, row.table, row.chain);
        nft::put_handle(message, NFTA_RULE_HANDLE, row.handle);
    }
    void empty_chain(const FlannelTable& table, const std::string& chain) {
        put_chain(add(NFT_MSG_DELRULE, table, "empty chain " + chain), table, chain);
    }
    void delete_chain(const FlannelTable& table, const std::string& chain) {
        Message& message = add(NFT_MSG_DELCHAIN, table, "delete chain " + chain);
        message.put_string(NFTA_CHAIN_TABLE, table.name);
        message.put_string(NFTA_CHAIN_NAME, chain);
    }
    void make_table(const FlannelTable& table) {
        Message& message = add(NFT_MSG_NEWTABLE, table, "make table " + table.name, NLM_F_CREATE);
        message.put_string(NFTA_TABLE_NAME, table.name);
        put_user_data(message, NFTA_TABLE_USERDATA, table.user_data);
    }
    void make_chain(const FlannelTable& table, const FlannelChain& chain) {
        Message& message = add(NFT_MSG_NEWCHAIN, table, "make chain " + chain.name, NLM_F_CREATE);
        message.put_string(NFTA_CHAIN_TABLE, table.name);
        message.put_string(NFTA_CHAIN_NAME, chain.name);
        if (chain.hook) {
            message.put_nested(NFTA_CHAIN_HOOK, [&](Message& hook) {
                hook.put_network_u32(NFTA_HOOK_HOOKNUM, chain.hook->number);
                hook.put_network_u32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(chain.hook->priority));
            });
            message.put_network_u32(NFTA_CHAIN_POLICY, chain.hook->policy);
            message.put_string(NFTA_CHAIN_TYPE, chain.hook->type);
        }
        put_user_data(message, NFTA_CHAIN_USERDATA, chain.user_data);
    }
    // `before`: the handle of the rule that it is put before; 0: at the chain's end.
    void make_rule(const FlannelTable& table, const std::string& chain, const FlannelRule& rule, std::uint64_t before) {
        const auto flags = static_cast<std::uint16_t>(before != 0 ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_APPEND);
        Message& message = add(NFT_MSG_NEWRULE, table, rule.line, flags);
        put_chain(message, table, chain);
        message.put_bytes(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED, std::as_bytes(std::span(rule.content)));
        put_user_data(message, NFTA_RULE_USERDATA, rule.user_data);
        if (const auto protocol = protocol_of(rule.content)) {
            message.put_nested(NFTA_RULE_COMPAT, [&](Message& compat) {
                compat.put_network_u32(NFTA_RULE_COMPAT_PROTO, protocol->number);
                compat.put_network_u32(NFTA_RULE_COMPAT_FLAGS, protocol->inverted ? NFT_RULE_COMPAT_F_INV : 0);
            });
        }
        if (before != 0) {
            nft::put_handle(message, NFTA_RULE_POSITION, before);
        }
    }
    // ERESTART: something changed since `generation`.
    Result<void> commit(netlink::Socket& socket, std::uint32_t generation) {
        if (changes_.empty()) {
            return {};
        }
        std::vector<Message> batch;
        batch.push_back(nft::bracket(NFNL_MSG_BATCH_BEGIN));
        batch.back().put_network_u32(NFNL_BATCH_GENID, generation);
        std::ranges::move(changes_, std::back_inserter(batch));
        batch.push_back(nft::bracket(NFNL_MSG_BATCH_END));
        return socket.transact(batch);
    }

private:
    Message& add(unsigned type, const FlannelTable& table, std::string label, std::uint16_t flags = 0) {
        return changes_.emplace_back(request(type, family_number(table.family),
                                             fmt::format("{} {}: {}", table.family, table.name, label), flags));
    }
    Message& add(unsigned type, const NftTableName& table, std::string label) {
        return changes_.emplace_back(
            request(type, family_number(table.family), fmt::format("{} {}: {}", table.family, table.name, label)));
    }
    template <typename Table>
    static void put_chain(Message& message, const Table& table, const std::string& chain) {
        message.put_string(NFTA_RULE_TABLE, table.name);
        message.put_string(NFTA_RULE_CHAIN, chain);
    }
    static void put_user_data(Message& message, std::uint16_t type, std::string_view data) {
        if (!data.empty()) {
            message.put_bytes(type, std::as_bytes(std::span(data)));
        }
    }

    std::vector<Message> changes_;
};

bool is_own(const FlannelTable& table, const std::string& chain) {
    return std::ranges::any_of(table.chains, [&](const FlannelChain& one) { return one.own && one.name == chain; });
}

void plan_removal(const NftRuleset& actual, const FlannelTable& table, Transaction& transaction) {
    std::map<std::string, Doomed> doomed;
    for (const auto& chain : table.chains) {
        doomed.emplace(chain.name, chain.rules);
    }
    for (const auto& row : actual.rows_of(table)) {
        const auto saved = doomed.find(row->chain);
        const bool goes =
            is_own(table, row->chain_jumped_to) || (saved != doomed.end() && saved->second.take(row->rule));
        if (goes && !is_own(table, row->chain)) {
            transaction.delete_rule(*row);
        }
    }
    std::vector<std::string> there;
    for (const auto& chain : table.chains) {
        if (chain.own && actual.find_chain(table, chain.name) != nullptr) {
            there.push_back(chain.name);
        }
    }
    for (const auto& chain : there) {
        transaction.empty_chain(table, chain);
    }
    for (const auto& chain : there) {
        transaction.delete_chain(table, chain);
    }
}

void plan_removal(const NftRuleset& actual, std::span<const FlannelTable> tables, Transaction& transaction) {
    for (const auto& table : tables) {
        if (actual.find_table(table) == nullptr) {
            continue;
        }
        if (table.own) {
            transaction.delete_table(table);
        } else {
            plan_removal(actual, table, transaction);
        }
    }
}

void plan_rules(const NftRuleset& actual, const FlannelTable& table, const FlannelChain& chain,
                Transaction& transaction) {
    std::vector<FlannelRule> rules;
    std::vector<std::uint64_t> handles;
    for (const auto* row : actual.rows_of(table)) {
        if (row->chain == chain.name) {
            rules.push_back(row->rule);
            handles.push_back(row->handle);
        }
    }
    for (const auto& insertion : plan_insertions(chain.rules, rules)) {
        const auto before = insertion.before ? handles.at(*insertion.before) : 0;
        transaction.make_rule(table, chain.name, *insertion.rule, before);
    }
}

// Tables and chains first: a rule may jump to any of them.
void plan_restoration(const NftRuleset& actual, std::span<const FlannelTable> tables, Transaction& transaction) {
    for (const auto& table : tables) {
        if (actual.find_table(table) == nullptr) {
            transaction.make_table(table);
        }
        for (const auto& chain : table.chains) {
            if (actual.find_chain(table, chain.name) == nullptr) {
                transaction.make_chain(table, chain);
            }
        }
    }
    for (const auto& table : tables) {
        for (const auto& chain : table.chains) {
            plan_rules(actual, table, chain, transaction);
        }
    }
}

using Plan = void (*)(const NftRuleset&, std::span<const FlannelTable>, Transaction&);

Result<void> change(std::span<const FlannelTable> tables, Plan plan) {
    if (tables.empty()) {
        return {};
    }
    auto socket = netlink::Socket::open(NETLINK_NETFILTER);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    for (int attempt = 1;; ++attempt) {
        const auto actual = read_nft_ruleset(*socket);
        if (!actual) {
            return std::unexpected(actual.error());
        }
        Transaction transaction;
        plan(*actual, tables, transaction);
        auto done = transaction.commit(*socket, actual->generation);
        if (done || done.error().code != ERESTART) {
            return done;
        }
        if (attempt == attempts) {
            return fail_errno(EAGAIN, "change nf_tables: others change it all the time");
        }
    }
}

// What is flannel's of a table. kube-proxy's nat table has thousands of chains: no loop of chains within one of rules.
Result<FlannelTable> flannels_of(const NftRuleset& actual, const FlannelTable& from) {
    std::map<std::string, std::vector<FlannelRule>> rules;
    for (const auto* row : actual.rows_of(from)) {
        if (!row->flannels) {
            continue;
        }
        if (!row->uses.empty()) {
            return fail("{} {}: {}: it uses {}, which is not flannel's way", from.family, from.name, row->rule.line,
                        row->uses);
        }
        rules[row->chain].push_back(row->rule);
    }
    const bool own = is_own_table(from);
    FlannelTable table{.filter = PacketFilter::nf_tables,
                       .family = from.family,
                       .name = from.name,
                       .own = own,
                       .user_data = from.user_data};
    for (const auto& chain : from.chains) {
        const auto found = rules.find(chain.name);
        if (own || is_chain(chain.name) || found != rules.end()) {
            auto& added = table.chains.emplace_back(chain);
            added.own = own || is_chain(chain.name);
            added.rules = found == rules.end() ? std::vector<FlannelRule>() : std::move(found->second);
        }
    }
    return table;
}

}  // namespace

Result<std::vector<FlannelTable>> read_nft() {
    auto socket = netlink::Socket::open(NETLINK_NETFILTER);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto actual = read_nft_ruleset(*socket);
    if (!actual) {
        return std::unexpected(actual.error());
    }
    std::vector<FlannelTable> tables;
    for (const auto& from : actual->tables) {
        auto table = flannels_of(*actual, from);
        if (!table) {
            return std::unexpected(table.error());
        }
        if (table->own || !table->chains.empty()) {
            tables.push_back(std::move(*table));
        }
    }
    return tables;
}

Result<void> remove_nft(std::span<const FlannelTable> tables) {
    return change(tables, &plan_removal);
}

Result<void> restore_nft(std::span<const FlannelTable> tables) {
    return change(tables, &plan_restoration);
}

}  // namespace podlane::netfilter::flannel
