// SPDX-License-Identifier: Apache-2.0
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4/ip_tables.h>

#include <cstring>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "agent/netfilter/flannel_nft_ruleset.h"
#include "agent/netfilter/flannel_rules_parts.h"
#include "agent/netlink/message.h"
#include "agent/text/base64.h"

namespace podlane::netfilter {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t match_at = sizeof(ipt_entry);
constexpr std::size_t match_size = XT_ALIGN(sizeof(xt_entry_match) + 4);
constexpr std::size_t target_at = match_at + match_size;
constexpr std::size_t entry_size = target_at + XT_ALIGN(sizeof(xt_standard_target));

template <typename T>
T* at(std::string& bytes, std::size_t offset) {
    return reinterpret_cast<T*>(bytes.data() + offset);
}

// A match of a module that nobody has, and a jump.
std::string entry_to(const char* target) {
    std::string bytes(entry_size, '\0');
    at<ipt_entry>(bytes, 0)->target_offset = target_at;
    at<ipt_entry>(bytes, 0)->next_offset = entry_size;
    at<xt_entry_match>(bytes, match_at)->u.match_size = match_size;
    std::strcpy(at<xt_entry_match>(bytes, match_at)->u.user.name, "any");
    at<xt_entry_target>(bytes, target_at)->u.target_size = XT_ALIGN(sizeof(xt_standard_target));
    std::strcpy(at<xt_entry_target>(bytes, target_at)->u.user.name, target);
    return bytes;
}

std::string expression(const char* name) {
    netlink::Message list(0, 0, std::uint32_t{0}, "");
    const std::size_t start = list.raw().nlmsg_len;
    list.put_nested(NFTA_LIST_ELEM, [&](netlink::Message& element) { element.put_string(NFTA_EXPR_NAME, name); });
    return {reinterpret_cast<const char*>(&list.raw()) + start, list.raw().nlmsg_len - start};
}

FlannelRule rule(std::uint32_t number, std::string content) {
    return {.number = number, .content = std::move(content), .line = fmt::format("rule {}", number)};
}

FlannelRules sample() {
    FlannelTable nat{.name = "nat"};
    nat.chains.push_back({.name = "POSTROUTING", .rules = {rule(2, entry_to("FLANNEL-POSTRTG"))}});
    nat.chains.push_back(
        {.name = "FLANNEL-POSTRTG", .own = true, .rules = {rule(1, entry_to("RETURN")), rule(2, entry_to("X"))}});
    FlannelTable own{.filter = PacketFilter::nf_tables,
                     .family = "ip6",
                     .name = "flannel-ipv6",
                     .own = true,
                     .user_data = std::string("\0\3ab\0", 5)};
    own.chains.push_back({.name = "forward",
                          .own = true,
                          .hook = FlannelHook{"filter", NF_INET_FORWARD, -5, NF_ACCEPT},
                          .user_data = "chain",
                          .rules = {rule(1, expression("counter") + expression("masq"))}});
    own.chains.front().rules.front().user_data = std::string("\0\1\0", 3);
    return {.tables = {nat, own}};
}

std::string problem_of(const json& value) {
    const auto rules = flannel_rules_from_json(value);
    return rules ? "" : rules.error().message;
}

TEST(FlannelRules, WrittenAndRead_AreTheSame) {
    const auto read = flannel_rules_from_json(json::parse(to_json(sample()).dump()));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, sample());
    EXPECT_FALSE(read->empty());
    const auto none = flannel_rules_from_json(to_json(FlannelRules()));
    ASSERT_TRUE(none);
    EXPECT_TRUE(none->empty());
    EXPECT_THAT(none->lines(), IsEmpty());
}

TEST(FlannelRules, BadRecord_IsNamedByTheMember) {
    struct Case {
        const char* member;
        json value;
        const char* problem;
    };
    const std::vector<Case> cases = {
        {"/tables", 1, "flannel rules: tables is not a list"},
        {"/tables/0", "nat", "tables[0]: filter is not a text"},
        {"/tables/0/filter", "pf", R"(tables[0]: filter "pf" is none of ip_tables, nf_tables)"},
        {"/tables/0/name", "mangle", R"(tables[0]: name "mangle" of family "ip" is no table with rules of flannel's)"},
        {"/tables/0/name", "flannel-ipv4", R"(tables[0]: name "flannel-ipv4" of family "ip" is no table)"},
        {"/tables/0/family", "ip6", R"(tables[0]: name "nat" of family "ip6" is no table)"},
        {"/tables/1/family", "inet", R"(tables[1]: name "flannel-ipv6" of family "inet" is no table)"},
        {"/tables/0/chains", json(), "tables[0]: chains is not a list"},
        {"/tables/0/chains/1/name", 7, "tables[0]: chains[1]: name is not a text"},
        {"/tables/0/chains/1/name", "", R"(tables[0]: chains[1]: name "" is none of a chain)"},
        {"/tables/0/chains/1/name", std::string(29, 'F'), "is none of a chain"},
        {"/tables/0/chains/1/rules/1/number", 1, "tables[0]: chains[1]: rules[1]: number 1 does not follow 1"},
        {"/tables/0/chains/0/rules/0/number", 0, "chains[0]: rules[0]: number counts from 1"},
        {"/tables/0/chains/0/rules/0/number", -1, "rules[0]: number is out of range"},
        {"/tables/0/chains/0/rules/0/number", 1.5, "rules[0]: number is not a whole number"},
        {"/tables/0/chains/0/rules/0/content", "?", "rules[0]: content is not base 64"},
        {"/tables/0/chains/0/rules/0/content", "AAAA", "rules[0]: content is not a rule of ip_tables"},
        {"/tables/0/chains/0/rules/0/line", json(), "rules[0]: line is not a text"},
        {"/tables/1/userData", json(), "tables[1]: userData is not a text"},
        {"/tables/1/chains/0/hook", 1, "tables[1]: chains[0]: hook: type is not a text"},
        {"/tables/1/chains/0/hook/priority", 3000000000, "chains[0]: hook: priority is out of range"},
        {"/tables/1/chains/0/rules/0/content", "AAAA", "rules[0]: content is not a list of expressions of nf_tables"},
    };
    for (const auto& one : cases) {
        auto record = to_json(sample());
        record[json::json_pointer(one.member)] = one.value;
        EXPECT_THAT(problem_of(record), HasSubstr(one.problem)) << one.member;
        EXPECT_THAT(problem_of(record), testing::StartsWith("flannel rules: ")) << one.member;
    }
    EXPECT_EQ(problem_of(json()), "flannel rules: tables is not a list");
}

TEST(FlannelRules, EntryWithABrokenLength_IsNone) {
    const auto whole = entry_to("RETURN");
    EXPECT_TRUE(flannel::is_entry(whole));
    const auto broken = [&](const std::function<void(std::string&)>& damage) {
        auto bytes = whole;
        damage(bytes);
        return !flannel::is_entry(bytes);
    };
    EXPECT_TRUE(broken([](auto& bytes) { bytes.clear(); }));
    EXPECT_TRUE(broken([](auto& bytes) { bytes.resize(bytes.size() - 8); }));
    EXPECT_TRUE(broken([](auto& bytes) { bytes.resize(bytes.size() + 8); }));
    EXPECT_TRUE(broken([](auto& bytes) { at<ipt_entry>(bytes, 0)->next_offset += 8; }));
    EXPECT_TRUE(broken([](auto& bytes) { at<ipt_entry>(bytes, 0)->target_offset = 8; }));
    EXPECT_TRUE(broken([](auto& bytes) { at<ipt_entry>(bytes, 0)->target_offset = entry_size; }));
    EXPECT_TRUE(broken([](auto& bytes) { at<ipt_entry>(bytes, 0)->target_offset -= 8; }));
    EXPECT_TRUE(broken([](auto& bytes) { at<xt_entry_match>(bytes, match_at)->u.match_size = 0; }));
    EXPECT_TRUE(broken([](auto& bytes) { at<xt_entry_match>(bytes, match_at)->u.match_size += 8; }));
    EXPECT_TRUE(broken([](auto& bytes) { std::memset(at<xt_entry_match>(bytes, match_at)->u.user.name, 'x', 29); }));
    EXPECT_TRUE(broken([](auto& bytes) { std::memset(at<xt_entry_target>(bytes, target_at)->u.user.name, 'x', 29); }));
    EXPECT_TRUE(broken([](auto& bytes) { at<xt_entry_target>(bytes, target_at)->u.target_size -= 8; }));
}

TEST(FlannelRules, ExpressionsWithABrokenLength_AreNone) {
    const auto whole = expression("counter") + expression("masq");
    EXPECT_TRUE(flannel::is_expression_list(whole));
    EXPECT_TRUE(flannel::is_expression_list(""));
    for (std::size_t size = 1; size < whole.size(); ++size) {
        EXPECT_EQ(flannel::is_expression_list(whole.substr(0, size)), size == expression("counter").size()) << size;
    }
    auto other = whole;
    at<nlattr>(other, 0)->nla_type = NFTA_LIST_ELEM + 1;
    EXPECT_FALSE(flannel::is_expression_list(other));
}

// What a chain looks like after a plan.
std::string after(const std::vector<FlannelRule>& wanted, const std::vector<FlannelRule>& actual) {
    std::vector<std::string> chain;
    chain.reserve(actual.size());
    for (const auto& one : actual) {
        chain.push_back(one.content);
    }
    for (const auto& insertion : flannel::plan_insertions(wanted, actual)) {
        // Both ways of saying where must agree: one is libiptc's, one nf_tables'.
        const auto before = insertion.before ? actual.at(*insertion.before).content : "end";
        EXPECT_EQ(insertion.at < chain.size() ? chain[insertion.at] : "end", before);
        chain.insert(chain.begin() + static_cast<std::ptrdiff_t>(insertion.at), insertion.rule->content);
    }
    return fmt::format("{}", fmt::join(chain, ""));
}

std::vector<FlannelRule> rules(const std::string& names, std::vector<std::uint32_t> numbers = {}) {
    std::vector<FlannelRule> result;
    result.reserve(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
        result.push_back(rule(numbers.empty() ? static_cast<std::uint32_t>(i + 1) : numbers[i], names.substr(i, 1)));
    }
    return result;
}

TEST(FlannelRules, MissingOnes_GetTheirOldNumbers) {
    EXPECT_EQ(after(rules("F", {1}), rules("ab")), "Fab");
    EXPECT_EQ(after(rules("F", {2}), rules("ab")), "aFb");
    EXPECT_EQ(after(rules("FG", {2, 4}), rules("ab")), "aFbG");
    EXPECT_EQ(after(rules("FGH", {1, 2, 4}), rules("ab")), "FGaHb");
    EXPECT_EQ(after(rules("FG", {5, 7}), rules("ab")), "abFG") << "the chain has become shorter";
    EXPECT_EQ(after(rules("FG", {1, 2}), {}), "FG");
    EXPECT_EQ(after(rules("FG", {1, 3}), rules("Fa")), "FaG");
    EXPECT_EQ(after(rules("FG", {1, 3}), rules("aGF")), "aGF") << "there already, elsewhere";
    EXPECT_EQ(after(rules("FF", {1, 3}), rules("aF")), "aFF") << "one of two that are the same";
}

TEST(FlannelRules, ProtocolOfARule_IsWhatItCompares) {
    netlink::Message list(0, 0, std::uint32_t{0}, "");
    const std::size_t start = list.raw().nlmsg_len;
    const auto put = [&](const char* name, const std::function<void(netlink::Message&)>& fill) {
        list.put_nested(NFTA_LIST_ELEM, [&](netlink::Message& element) {
            element.put_string(NFTA_EXPR_NAME, name);
            element.put_nested(NFTA_EXPR_DATA, fill);
        });
    };
    put("meta", [](netlink::Message& meta) { meta.put_network_u32(NFTA_META_KEY, NFT_META_L4PROTO); });
    put("cmp", [](netlink::Message& compare) {
        compare.put_network_u32(NFTA_CMP_OP, NFT_CMP_NEQ);
        compare.put_nested(NFTA_CMP_DATA, [](netlink::Message& data) { data.put_u8(NFTA_DATA_VALUE, 17); });
    });
    const std::string content(reinterpret_cast<const char*>(&list.raw()) + start, list.raw().nlmsg_len - start);
    const auto protocol = flannel::protocol_of(content);
    ASSERT_TRUE(protocol);
    EXPECT_EQ(protocol->number, 17U);
    EXPECT_TRUE(protocol->inverted);
    EXPECT_FALSE(flannel::protocol_of(expression("counter")));
}

}  // namespace
}  // namespace podlane::netfilter
