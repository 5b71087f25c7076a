// SPDX-License-Identifier: Apache-2.0
#include "agent/node/nat_pressure.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <array>

#include "maps/format.h"
#include "maps/nat_config.h"
#include "maps/nat_use.h"

namespace podlane {
namespace {

flow_key flow(std::string_view text) {
    return FlowKeyFormat::parse(text).value();
}
nat_entry translated_to(std::string_view address, std::uint16_t port) {
    nat_entry entry{};
    entry.nat_address = AddressKeyFormat::parse(address).value();
    entry.nat_port = htons(port);
    return entry;
}

const nat_config config = nat_config_for(20000, 20063);

struct Case {
    std::string_view name;
    NatUse use;
    HealthState state;
    std::string_view reason;
};

class NatHealthTest : public testing::TestWithParam<Case> {};

TEST_P(NatHealthTest, MoreThanNineTenthsOfALimit_DegradeAndAreNamed) {
    NatUse use = GetParam().use;
    use.destination = nat_destination_of(flow("tcp:10.244.1.5:40000:203.0.113.10:443"), translated_to("192.0.2.1", 1));
    use.pod = AddressKeyFormat::parse("10.244.1.5").value();
    const auto health = nat_health(use, config);
    EXPECT_EQ(health.name, "snat");
    EXPECT_EQ(health.state, GetParam().state);
    EXPECT_EQ(health.reason, GetParam().reason);
    EXPECT_EQ(health.action, health.state == HealthState::ok ? "" : "find who opens them by `agentctl nat stats`");
}

NatUse use(std::size_t translations, std::size_t ports, std::size_t flows) {
    return {.translations = translations, .destination = {}, .ports = ports, .pod = 0, .flows = flows};
}

INSTANTIATE_TEST_SUITE_P(
    Limits, NatHealthTest,
    testing::Values(
        Case{"NothingInUse", use(0, 0, 0), HealthState::ok, "0 of 131072 translations, ports 20000-20063"},
        // 90 % of 131072 are 117964.8, of 64 57.6, of 32768 29491.2.
        Case{"NineTenthsOfEach", use(117964, 57, 29491), HealthState::ok,
             "117964 of 131072 translations, ports 20000-20063"},
        Case{"Table", use(117965, 0, 0), HealthState::degraded,
             "117965 of 131072 translations, ports 20000-20063: the table is nearly full"},
        Case{"Destination", use(58, 58, 58), HealthState::degraded,
             "58 of 131072 translations, ports 20000-20063: 58 of 64 ports in use towards tcp 203.0.113.10:443 from "
             "192.0.2.1"},
        Case{"Pod", use(29492, 1, 29492), HealthState::degraded,
             "29492 of 131072 translations, ports 20000-20063: 29492 of the 32768 translations that one pod may hold "
             "are those of 10.244.1.5"},
        Case{"All", use(131072, 64, 32768), HealthState::degraded,
             "131072 of 131072 translations, ports 20000-20063: the table is nearly full, 64 of 64 ports in use "
             "towards tcp 203.0.113.10:443 from 192.0.2.1, 32768 of the 32768 translations that one pod may hold are "
             "those of 10.244.1.5"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(NatHealthTest, DestinationOfEcho_HasNoPort) {
    NatUse all = use(64, 64, 64);
    all.destination = nat_destination_of(flow("icmp:10.244.1.5:7:203.0.113.10:7"), translated_to("192.0.2.1", 20000));
    EXPECT_EQ(nat_health(all, config).reason,
              "64 of 131072 translations, ports 20000-20063: 64 of 64 ports in use towards icmp 203.0.113.10 from "
              "192.0.2.1");
}

TEST(NatTallyTest, FullestDestinationAndPod_AreThoseWithMostTranslations) {
    NatTally tally(config);
    tally.add(flow("tcp:10.244.1.5:40000:203.0.113.10:80"), translated_to("192.0.2.1", 20000));
    tally.add(flow("tcp:10.244.1.5:40000:203.0.113.10:443"), translated_to("192.0.2.1", 20000));
    tally.add(flow("tcp:10.244.1.6:40000:203.0.113.10:443"), translated_to("192.0.2.1", 20001));
    tally.add(flow("tcp:10.244.1.5:40001:203.0.113.10:443"), translated_to("192.0.2.2", 20001));
    EXPECT_EQ(tally.use().translations, 4U);
    EXPECT_EQ(tally.use().ports, 2U);
    EXPECT_EQ(NatDestinationKeyFormat::text(tally.use().destination), "tcp:192.0.2.1:203.0.113.10:443");
    EXPECT_EQ(tally.use().flows, 3U);
    EXPECT_EQ(AddressKeyFormat::text(tally.use().pod), "10.244.1.5");
}

TEST(NatTallyTest, EchoesWithDifferentIdentifiers_AreOfOneDestination) {
    NatTally tally(config);
    tally.add(flow("icmp:10.244.1.5:7:203.0.113.10:7"), translated_to("192.0.2.1", 20000));
    tally.add(flow("icmp:10.244.1.5:8:203.0.113.10:8"), translated_to("192.0.2.1", 20001));
    EXPECT_EQ(tally.use().ports, 2U);
}

TEST(NatTallyTest, PortsOfAnEarlierRange_TakeNoneOfThisOne) {
    NatTally tally(config);
    for (const auto port : std::to_array<std::uint16_t>({19999, 20063, 20064})) {
        tally.add(flow("tcp:10.244.1.5:40000:203.0.113.10:443"), translated_to("192.0.2.1", port));
    }
    EXPECT_EQ(tally.use().ports, 1U);
    EXPECT_EQ(tally.use().translations, 3U);
}

TEST(NatTallyTest, Reset_ForgetsAll) {
    NatTally tally(config);
    tally.add(flow("tcp:10.244.1.5:40000:203.0.113.10:443"), translated_to("192.0.2.1", 20000));
    tally.reset();
    EXPECT_EQ(tally.use().translations, 0U);
    tally.add(flow("tcp:10.244.1.6:40000:203.0.113.10:443"), translated_to("192.0.2.1", 20001));
    EXPECT_EQ(tally.use().ports, 1U);
    EXPECT_EQ(tally.use().flows, 1U);
}

TEST(NatUseTest, Larger_IsTheLargerOfEachLimit) {
    NatUse before = use(10, 3, 8);
    before.destination.protocol = IPPROTO_UDP;
    before.pod = 1;
    NatUse now = use(4, 4, 4);
    now.destination.protocol = IPPROTO_TCP;
    now.pod = 2;
    for (const auto& larger : {larger_of(before, now), larger_of(now, before)}) {
        EXPECT_EQ(larger.translations, 10U);
        EXPECT_EQ(larger.ports, 4U);
        EXPECT_EQ(larger.destination.protocol, IPPROTO_TCP);
        EXPECT_EQ(larger.flows, 8U);
        EXPECT_EQ(larger.pod, 1U);
    }
}

}  // namespace
}  // namespace podlane
