// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include <nlohmann/json.hpp>

#include "agent/netfilter/flannel_nft_ruleset.h"
#include "agent/netfilter/flannel_rules.h"
#include "agent/netfilter/flannel_rules_parts.h"
#include "agent/text/base64.h"

namespace podlane::netfilter {
namespace {

using nlohmann::json;

constexpr std::size_t longest_chain = 28;  // of ip_tables: XT_EXTENSION_MAXNAMELEN less the zero
constexpr const char* ip_tables_name = "ip_tables";
constexpr const char* nf_tables_name = "nf_tables";

json to_json(const FlannelRule& rule) {
    return {{"number", rule.number},
            {"content", encode_base64(rule.content)},
            {"userData", encode_base64(rule.user_data)},
            {"line", rule.line}};
}

json to_json(const FlannelChain& chain) {
    json result = {{"name", chain.name}, {"userData", encode_base64(chain.user_data)}, {"rules", json::array()}};
    if (chain.hook) {
        result["hook"] = {{"type", chain.hook->type},
                          {"number", chain.hook->number},
                          {"priority", chain.hook->priority},
                          {"policy", chain.hook->policy}};
    }
    for (const auto& rule : chain.rules) {
        result["rules"].push_back(to_json(rule));
    }
    return result;
}

json to_json(const FlannelTable& table) {
    json result = {{"filter", table.filter == PacketFilter::ip_tables ? ip_tables_name : nf_tables_name},
                   {"family", table.family},
                   {"name", table.name},
                   {"userData", encode_base64(table.user_data)},
                   {"chains", json::array()}};
    for (const auto& chain : table.chains) {
        result["chains"].push_back(to_json(chain));
    }
    return result;
}

// Null: there is no such member.
const json* member(const json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found == object.end() ? nullptr : &*found;
}

Result<std::string> text(const json& object, const char* key) {
    const auto* value = member(object, key);
    if (value == nullptr || !value->is_string()) {
        return fail("{} is not a text", key);
    }
    return value->get<std::string>();
}

Result<std::string> bytes(const json& object, const char* key) {
    const auto encoded = text(object, key);
    if (!encoded) {
        return encoded;
    }
    const auto decoded = decode_base64(*encoded);
    return decoded ? Result<std::string>(*decoded) : fail("{} is not base 64", key);
}

template <typename Number>
Result<Number> number(const json& object, const char* key) {
    const auto* value = member(object, key);
    if (value == nullptr || !value->is_number_integer()) {
        return fail("{} is not a whole number", key);
    }
    const auto wide = value->get<std::int64_t>();
    if (wide < std::numeric_limits<Number>::min() || wide > std::numeric_limits<Number>::max()) {
        return fail("{} is out of range", key);
    }
    return static_cast<Number>(wide);
}

// Reads the members of a list; an error says which one it is of.
template <typename T, typename Read>
Result<std::vector<T>> list(const json& object, const char* key, const Read& read) {
    const auto* value = member(object, key);
    if (value == nullptr || !value->is_array()) {
        return fail("{} is not a list", key);
    }
    std::vector<T> items;
    for (const auto& one : *value) {
        auto item = read(one);
        if (!item) {
            return fail_within(fmt::format("{}[{}]", key, items.size()), item.error());
        }
        items.push_back(std::move(*item));
    }
    return items;
}

// Puts a member that was read into its place.
template <typename T>
Result<void> store(Result<T> value, T& target) {
    if (!value) {
        return std::unexpected(std::move(value.error()));
    }
    target = std::move(*value);
    return {};
}

// The first that fails.
Result<void> all(std::initializer_list<Result<void>> steps) {
    for (const auto& step : steps) {
        if (!step) {
            return step;
        }
    }
    return {};
}

Result<FlannelRule> read_rule(const json& object, PacketFilter filter) {
    FlannelRule rule;
    if (auto read = all({store(number<std::uint32_t>(object, "number"), rule.number),
                         store(bytes(object, "content"), rule.content),
                         store(bytes(object, "userData"), rule.user_data), store(text(object, "line"), rule.line)});
        !read) {
        return std::unexpected(read.error());
    }
    if (rule.number == 0) {
        return fail("number counts from 1");
    }
    if (filter == PacketFilter::ip_tables && !flannel::is_entry(rule.content)) {
        return fail("content is not a rule of ip_tables");
    }
    if (filter == PacketFilter::nf_tables && !flannel::is_expression_list(rule.content)) {
        return fail("content is not a list of expressions of nf_tables");
    }
    return rule;
}

Result<FlannelHook> read_hook(const json& object) {
    FlannelHook hook;
    const auto read =
        all({store(text(object, "type"), hook.type), store(number<std::uint32_t>(object, "number"), hook.number),
             store(number<std::int32_t>(object, "priority"), hook.priority),
             store(number<std::uint32_t>(object, "policy"), hook.policy)});
    return read ? Result<FlannelHook>(hook) : fail_within("hook", read.error());
}

Result<FlannelChain> read_chain(const json& object, const FlannelTable& table) {
    FlannelChain chain;
    const auto rule = [&](const json& one) { return read_rule(one, table.filter); };
    if (auto read = all({store(text(object, "name"), chain.name), store(bytes(object, "userData"), chain.user_data),
                         store(list<FlannelRule>(object, "rules", rule), chain.rules)});
        !read) {
        return std::unexpected(read.error());
    }
    if (chain.name.empty() || (table.filter == PacketFilter::ip_tables && chain.name.size() > longest_chain)) {
        return fail("name \"{}\" is none of a chain", chain.name);
    }
    if (const auto* hook = member(object, "hook"); hook != nullptr) {
        auto read = read_hook(*hook);
        if (!read) {
            return std::unexpected(read.error());
        }
        chain.hook = std::move(*read);
    }
    for (std::size_t i = 1; i < chain.rules.size(); ++i) {
        if (chain.rules[i].number <= chain.rules[i - 1].number) {
            return fail("rules[{}]: number {} does not follow {}", i, chain.rules[i].number, chain.rules[i - 1].number);
        }
    }
    chain.own = table.own || flannel::is_chain(chain.name);
    return chain;
}

Result<FlannelTable> read_table(const json& object) {
    FlannelTable table;
    std::string filter;
    if (auto read = all({store(text(object, "filter"), filter), store(text(object, "family"), table.family),
                         store(text(object, "name"), table.name), store(bytes(object, "userData"), table.user_data)});
        !read) {
        return std::unexpected(read.error());
    }
    if (filter != ip_tables_name && filter != nf_tables_name) {
        return fail("filter \"{}\" is none of {}, {}", filter, ip_tables_name, nf_tables_name);
    }
    table.filter = filter == ip_tables_name ? PacketFilter::ip_tables : PacketFilter::nf_tables;
    table.own = table.filter == PacketFilter::nf_tables && flannel::is_own_table(table);
    // Whatever the record says, no other table is changed by it.
    if (!table.own && (table.family != "ip" || !flannel::is_shared_table(table.name))) {
        return fail(R"(name "{}" of family "{}" is no table with rules of flannel's)", table.name, table.family);
    }
    const auto chain = [&](const json& one) { return read_chain(one, table); };
    if (auto read = store(list<FlannelChain>(object, "chains", chain), table.chains); !read) {
        return std::unexpected(read.error());
    }
    return table;
}

}  // namespace

json to_json(const FlannelRules& rules) {
    json result = {{"tables", json::array()}};
    for (const auto& table : rules.tables) {
        result["tables"].push_back(to_json(table));
    }
    return result;
}

Result<FlannelRules> flannel_rules_from_json(const json& object) {
    FlannelRules rules;
    if (auto read = store(list<FlannelTable>(object, "tables", &read_table), rules.tables); !read) {
        return fail_within("flannel rules", read.error());
    }
    return rules;
}

}  // namespace podlane::netfilter
