// SPDX-License-Identifier: Apache-2.0
#include "agent/config/ip_masq_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

IpMasqAgentConfig good(std::string_view text) {
    const auto config = parse_ip_masq_agent(text, "masq");
    EXPECT_TRUE(config.has_value()) << config.error().message;
    return config.value_or(IpMasqAgentConfig{});
}

const std::vector<Ipv4Prefix> private_networks = {prefix("10.0.0.0/8"), prefix("172.16.0.0/12"),
                                                  prefix("192.168.0.0/16")};

TEST(IpMasqAgentTest, FileOfItsOwnExample_IsRead) {
    const auto config = good(
        "nonMasqueradeCIDRs:\n"
        "  - 10.0.0.0/8\n"
        "  - 192.0.2.0/24\n"
        "  - fd00::/8\n"
        "masqLinkLocal: true\n"
        "masqLinkLocalIPv6: false\n"
        "cidrLimit: 64\n"
        "resyncInterval: 60s\n");
    EXPECT_THAT(config.non_masquerade_cidrs, ElementsAre(prefix("10.0.0.0/8"), prefix("192.0.2.0/24")));
    EXPECT_TRUE(config.masq_link_local);
}

TEST(IpMasqAgentTest, Json_IsRead) {
    const auto config = good(R"({"nonMasqueradeCIDRs":["10.8.0.0/16","0.0.0.0/0"],"masqLinkLocal":false})");
    EXPECT_THAT(config.non_masquerade_cidrs, ElementsAre(prefix("10.8.0.0/16"), prefix("0.0.0.0/0")));
    EXPECT_FALSE(config.masq_link_local);
}

TEST(IpMasqAgentTest, KeysInAnotherCase_AreTheSameAndUnknownOnesPassedOver) {
    const auto config = good("NonMasqueradeCidrs: [10.8.0.0/16]\nMASQLINKLOCAL: true\nwhatever: {a: [1]}\n");
    EXPECT_THAT(config.non_masquerade_cidrs, ElementsAre(prefix("10.8.0.0/16")));
    EXPECT_TRUE(config.masq_link_local);
}

TEST(IpMasqAgentTest, FileThatNamesNoNetworks_HasThePrivateOnes) {
    for (const char* text :
         {"", "# nothing\n", "{}", "masqLinkLocal: true\n", "masqLinkLocal:\n", "resyncInterval: 5\n"}) {
        EXPECT_EQ(good(text).non_masquerade_cidrs, private_networks) << text;
    }
    EXPECT_TRUE(good("masqLinkLocal: true\n").masq_link_local);
}

TEST(IpMasqAgentTest, ListThatIsEmpty_HasNone) {
    EXPECT_THAT(good("nonMasqueradeCIDRs: []\n").non_masquerade_cidrs, IsEmpty());
    EXPECT_THAT(good("nonMasqueradeCIDRs:\n").non_masquerade_cidrs, IsEmpty());
    EXPECT_THAT(good("nonMasqueradeCIDRs: ['fd00::/8']\n").non_masquerade_cidrs, IsEmpty());
}

TEST(IpMasqAgentTest, ThousandsOfNetworks_AreTaken) {
    constexpr unsigned count = 5000;
    std::string text = "nonMasqueradeCIDRs:\n";
    for (unsigned i = 0; i < count; ++i) {
        text += fmt::format("- 10.{}.{}.0/24\n", i / 256, i % 256);
    }
    EXPECT_THAT(good(text).non_masquerade_cidrs, SizeIs(count));
}

struct Broken {
    std::string name;
    std::string text;
    std::string error;
};

class IpMasqAgentBroken : public testing::TestWithParam<Broken> {};

INSTANTIATE_TEST_SUITE_P(
    Files, IpMasqAgentBroken,
    testing::Values(
        Broken{"NotYaml", "a: 1\nnonMasqueradeCIDRs: [", "masq:3: not valid YAML: "},
        Broken{"List", "- 10.0.0.0/8\n", "masq:1: must be an object (key: value)"},
        Broken{"Text", "\nnothing here\n", "masq:2: must be an object (key: value)"},
        Broken{"NoList", "nonMasqueradeCIDRs: 10.0.0.0/8\n", "masq:1: nonMasqueradeCIDRs: must be a list, not text"},
        Broken{"Number", "nonMasqueradeCIDRs:\n- 10\n", "masq:2: nonMasqueradeCIDRs[0]: must be text, not a number"},
        Broken{"Null", "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n-\n",
               "masq:3: nonMasqueradeCIDRs[1]: must be text, not empty"},
        Broken{"HostBits", "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 10.0.0.1/8\n", "masq:3: nonMasqueradeCIDRs[1]: "},
        Broken{"Address", "nonMasqueradeCIDRs: [10.0.0.1]\n", "masq:1: nonMasqueradeCIDRs[0]: "},
        Broken{"Ipv6OfABadLength", "nonMasqueradeCIDRs: ['fd00::/129']\n", "masq:1: nonMasqueradeCIDRs[0]: "},
        Broken{"FlagAsText", "x: 1\nmasqLinkLocal: 'true'\n", "masq:2: masqLinkLocal: must be true or false, not text"},
        Broken{"KeyTwice", "masqLinkLocal: true\nmasqLinkLocal: false\n", "masq:2: key masqLinkLocal comes twice"},
        Broken{"TwoDocuments", "masqLinkLocal: true\n---\na: 1\n", "masq:2: a second document"}),
    [](const auto& test) { return test.param.name; });

TEST_P(IpMasqAgentBroken, IsRefusedWithTheLine) {
    const auto config = parse_ip_masq_agent(GetParam().text, "masq");
    ASSERT_FALSE(config.has_value());
    EXPECT_THAT(config.error().message, StartsWith(GetParam().error));
}

}  // namespace
}  // namespace podlane
