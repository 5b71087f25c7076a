// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/forward_rule.h"

#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/netfilter/nft_forward_table.h"
#include "agent/netfilter/ruleset_readers.h"

namespace podlane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

const std::vector<Ipv4Prefix> cidrs = {prefix("10.244.0.0/16"), prefix("10.9.0.0/20")};
const ForwardRule from_first{PodSide::source, cidrs[0]};
const ForwardRule to_first{PodSide::destination, cidrs[0]};
const ForwardRule from_second{PodSide::source, cidrs[1]};
const ForwardRule to_second{PodSide::destination, cidrs[1]};

TEST(ForwardRuleTest, DropPolicy_WantsTwoRulesForEachClusterCidr) {
    EXPECT_THAT(wanted_forward_rules(cidrs, ForwardPolicy::drop),
                ElementsAre(from_first, to_first, from_second, to_second));
    EXPECT_EQ(from_second.to_string(),
              "-A FORWARD -s 10.9.0.0/20 -m comment --comment \"podlane: pod traffic\" -j ACCEPT");
}

TEST(ForwardRuleTest, ChainThatAcceptsOrIsNotThere_WantsNone) {
    EXPECT_THAT(wanted_forward_rules(cidrs, ForwardPolicy::accept), IsEmpty());
    EXPECT_THAT(wanted_forward_rules(cidrs, ForwardPolicy::absent), IsEmpty());
}

TEST(ForwardPlanTest, EmptyChain_GetsAllOfThem) {
    const auto plan = plan_forward_rules(std::vector{from_first, to_first}, {});
    EXPECT_THAT(plan.add, ElementsAre(from_first, to_first));
    EXPECT_THAT(plan.remove, IsEmpty());
}

TEST(ForwardPlanTest, RulesInAnyOrderAndPlace_StayWhereTheyAre) {
    const auto plan =
        plan_forward_rules(std::vector{from_first, to_first}, {ForwardPolicy::drop, {{9, to_first}, {12, from_first}}});
    EXPECT_TRUE(plan.empty());
}

TEST(ForwardPlanTest, SecondCopyStaleAndOddRules_GoAndTheFirstCopyStays) {
    const auto plan = plan_forward_rules(
        std::vector{from_first, to_first},
        {ForwardPolicy::drop, {{1, from_first}, {2, from_second}, {3, std::nullopt}, {4, from_first}}});
    EXPECT_THAT(plan.add, ElementsAre(to_first));
    ASSERT_EQ(plan.remove.size(), 3U);
    EXPECT_EQ(plan.remove[0].handle, 2U);
    EXPECT_EQ(plan.remove[1].handle, 3U);
    EXPECT_EQ(plan.remove[2].handle, 4U);
}

// A rule of ours as the kernel lists it: the same attributes, and a handle.
netlink::Message with_handle(netlink::Message rule) {
    constexpr std::array handle = {std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0},
                                   std::byte{0}, std::byte{0}, std::byte{1}, std::byte{2}};
    rule.put_bytes(NFTA_RULE_HANDLE, handle);
    return rule;
}

TEST(NftRuleCodecTest, RuleOfOurs_IsReadBackAsWhatItWas) {
    for (const auto& rule :
         {from_first, to_first, from_second, to_second, ForwardRule{PodSide::source, prefix("0.0.0.0/0")},
          ForwardRule{PodSide::destination, prefix("10.1.2.3/32")}}) {
        const auto message = with_handle(add_rule_message(rule));
        const auto found = decode_forward_rule(message.raw());
        ASSERT_TRUE(found.has_value()) << rule.to_string();
        EXPECT_EQ(found->handle, 0x102U);
        EXPECT_EQ(found->rule, rule);
        EXPECT_TRUE(concerns_forward_chain(message.raw()));
    }
}

TEST(NftRuleCodecTest, RuleWhoseMaskHasHoles_IsNoneThatCanBeTold) {
    constexpr std::array mask = {std::byte{0xff}, std::byte{0xff}, std::byte{0}, std::byte{0}};
    auto message = with_handle(add_rule_message(from_first));
    const std::span bytes(reinterpret_cast<std::byte*>(&message.raw()), message.raw().nlmsg_len);
    const auto found = std::ranges::search(bytes, mask);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(decode_forward_rule(message.raw())->rule, from_first);
    const auto readable = netfilter::nft::decode_rule(message.raw())->rule.conditions;
    ASSERT_FALSE(readable.empty());
    EXPECT_EQ(readable.front().field, netfilter::Field::source);
    std::swap(found[1], found[2]);
    EXPECT_EQ(decode_forward_rule(message.raw())->rule, std::nullopt);
    EXPECT_EQ(netfilter::nft::decode_rule(message.raw())->rule.conditions.front().field, netfilter::Field::unreadable);
}

TEST(NftRuleCodecTest, RuleOfOursCutOffAnywhere_IsReadWithoutHarm) {
    const auto message = with_handle(add_rule_message(from_first));
    const auto whole = message.raw().nlmsg_len;
    for (std::uint32_t size = NLMSG_HDRLEN; size < whole; ++size) {
        auto cut = message;
        cut.raw().nlmsg_len = size;
        EXPECT_FALSE(decode_forward_rule(cut.raw()).has_value()) << size;
        static_cast<void>(concerns_forward_chain(cut.raw()));
    }
}

}  // namespace
}  // namespace podlane
