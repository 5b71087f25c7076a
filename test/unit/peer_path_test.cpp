// SPDX-License-Identifier: Apache-2.0
#include "agent/state/peer_path.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podlane {
namespace {

using enum ProbeEvent;

constexpr Patience patience{.misses = 3, .answers = 3};

Adjacency after(const std::vector<ProbeEvent>& events, Adjacency start = {}) {
    for (const auto event : events) {
        start = observe(start, event, patience);
    }
    return start;
}

struct TableRow {
    const char* what;
    std::vector<ProbeEvent> events;
    Standing standing;
};

// Every cell of the state table, by the way that leads there from the start.
TEST(PeerPathTest, Standing_FollowsTheStateTable) {
    const std::vector<TableRow> rows = {
        {"nothing seen", {}, Standing::undecided},
        {"the first answer counts at once", {answered}, Standing::answering},
        {"two misses decide nothing", {missed, missed}, Standing::undecided},
        {"an answer after two misses", {missed, missed, answered}, Standing::answering},
        {"three misses from the start", {missed, missed, missed}, Standing::silent},
        {"no carrier decides nothing", {missed, link_lost}, Standing::undecided},
        {"no carrier forgets misses", {missed, missed, link_lost, missed, missed}, Standing::undecided},
        {"answering, two misses", {answered, missed, missed}, Standing::answering},
        {"answering, misses not in a row", {answered, missed, missed, answered, missed, missed}, Standing::answering},
        {"answering, three misses", {answered, missed, missed, missed}, Standing::silent},
        {"answering, no carrier", {answered, link_lost}, Standing::silent},
        {"silent, two answers", {missed, missed, missed, answered, answered}, Standing::silent},
        {"silent, three answers", {missed, missed, missed, answered, answered, answered}, Standing::answering},
        {"silent, answers not in a row",
         {missed, missed, missed, answered, answered, missed, answered, answered},
         Standing::silent},
        {"silent, no carrier forgets answers",
         {missed, missed, missed, answered, answered, link_lost, answered},
         Standing::silent},
        {"silent for want of carrier, three answers",
         {answered, link_lost, answered, answered, answered},
         Standing::answering},
        {"trusted again, one miss is no doubt",
         {answered, link_lost, answered, answered, answered, missed},
         Standing::answering},
    };
    for (const auto& row : rows) {
        EXPECT_EQ(after(row.events).standing, row.standing) << row.what;
    }
}

TEST(PeerPathTest, Misses_AreCountedUpToWhatDecides) {
    EXPECT_EQ(after({missed, missed}).missed, 2U);
    EXPECT_EQ(after({missed, missed, missed, missed, missed}).missed, 3U);
    EXPECT_EQ(after({missed, answered}).missed, 0U);
}

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

const PeerIdentity peer{.name = "n3", .address = address("10.14.15.1")};
const FibPath on_link{
    .ifindex = 2, .device = "eth0", .next_hop = address("10.14.15.1"), .mtu = 1500, .has_carrier = true};
const FibPath routed{
    .ifindex = 2, .device = "eth0", .next_hop = address("10.12.0.1"), .mtu = 1400, .has_carrier = true};
const FibPath nowhere{.problem = "resolve 10.14.15.1: Network is unreachable"};
const Adjacency undecided{};
const Adjacency answering{.standing = Standing::answering};
const Adjacency silent{.standing = Standing::silent, .missed = 3};
const Adjacency regaining{.standing = Standing::silent, .answered = 2};

FibPath without_carrier() {
    auto fib = on_link;
    fib.has_carrier = false;
    return fib;
}

struct Decision {
    const char* what;
    PathMode mode;
    FibPath fib;
    Adjacency adjacency;
    node_path path;
    std::string reason;
};

class PeerPathDecisionTest : public testing::TestWithParam<Decision> {};

TEST_P(PeerPathDecisionTest, PathAndReason_AreThoseOfTheTable) {
    const auto& row = GetParam();
    const auto decided = decide_path(row.mode, peer, row.fib, row.adjacency);
    EXPECT_EQ(decided.path, row.path);
    EXPECT_EQ(decided.reason, row.reason);
    EXPECT_EQ(decided.ifindex, row.fib.ifindex);
    EXPECT_EQ(decided.next_hop, row.fib.next_hop);
    EXPECT_EQ(decided.mtu, row.fib.mtu);
}

constexpr auto host_gw_remedy = "host-gw needs layer-2 adjacency; use overlay.mode auto or vxlan";

INSTANTIATE_TEST_SUITE_P(
    Table, PeerPathDecisionTest,
    testing::Values(
        Decision{"AutoAnswering", PathMode::automatic, on_link, answering, NODE_PATH_DIRECT,
                 "on-link on eth0, answers"},
        Decision{"AutoUndecided", PathMode::automatic, on_link, undecided, NODE_PATH_VXLAN,
                 "on-link on eth0, the first probe is not answered yet"},
        Decision{"AutoSilent", PathMode::automatic, on_link, silent, NODE_PATH_VXLAN,
                 "does not answer on eth0 (3 probes)"},
        Decision{"AutoRegaining", PathMode::automatic, on_link, regaining, NODE_PATH_VXLAN,
                 "on-link on eth0, answers again, but not for long enough"},
        Decision{"AutoRouted", PathMode::automatic, routed, undecided, NODE_PATH_VXLAN, "behind gateway 10.12.0.1"},
        Decision{"AutoRoutedAfterItAnswered", PathMode::automatic, routed, answering, NODE_PATH_VXLAN,
                 "behind gateway 10.12.0.1"},
        Decision{"AutoWithoutCarrier", PathMode::automatic, without_carrier(), answering, NODE_PATH_VXLAN,
                 "eth0 has no carrier"},
        Decision{"AutoNowhere", PathMode::automatic, nowhere, undecided, NODE_PATH_UNREACHABLE,
                 "node n3: resolve 10.14.15.1: Network is unreachable"},
        Decision{"VxlanOnLink", PathMode::vxlan, on_link, answering, NODE_PATH_VXLAN, "mode is vxlan; on-link on eth0"},
        Decision{"VxlanRouted", PathMode::vxlan, routed, undecided, NODE_PATH_VXLAN,
                 "mode is vxlan; behind gateway 10.12.0.1"},
        Decision{"VxlanNowhere", PathMode::vxlan, nowhere, undecided, NODE_PATH_UNREACHABLE,
                 "node n3: resolve 10.14.15.1: Network is unreachable"},
        Decision{"HostGwAnswering", PathMode::host_gw, on_link, answering, NODE_PATH_DIRECT,
                 "on-link on eth0, answers"},
        Decision{"HostGwUndecided", PathMode::host_gw, on_link, undecided, NODE_PATH_UNREACHABLE,
                 std::string("node n3 10.14.15.1 on-link on eth0, the first probe is not answered yet: ") +
                     host_gw_remedy + ", or let ICMP echo through between the nodes"},
        Decision{"HostGwSilent", PathMode::host_gw, on_link, silent, NODE_PATH_UNREACHABLE,
                 std::string("node n3 10.14.15.1 does not answer on eth0 (3 probes): ") + host_gw_remedy +
                     ", or let ICMP echo through between the nodes"},
        Decision{"HostGwRouted", PathMode::host_gw, routed, undecided, NODE_PATH_UNREACHABLE,
                 std::string("node n3 10.14.15.1 is behind the gateway 10.12.0.1: ") + host_gw_remedy},
        Decision{"HostGwWithoutCarrier", PathMode::host_gw, without_carrier(), answering, NODE_PATH_UNREACHABLE,
                 "node n3 10.14.15.1: eth0 has no carrier"}),
    [](const auto& row) { return row.param.what; });

TEST(PeerPathTest, OnlyTheFirstProbeUnderWay_LeavesADecisionUnsettled) {
    EXPECT_FALSE(decide_path(PathMode::host_gw, peer, on_link, undecided).settled);
    EXPECT_FALSE(decide_path(PathMode::automatic, peer, on_link, undecided).settled);
    EXPECT_TRUE(decide_path(PathMode::host_gw, peer, on_link, silent).settled);
    EXPECT_TRUE(decide_path(PathMode::host_gw, peer, on_link, answering).settled);
    EXPECT_TRUE(decide_path(PathMode::host_gw, peer, routed, undecided).settled);
    EXPECT_TRUE(decide_path(PathMode::host_gw, peer, without_carrier(), undecided).settled);
    EXPECT_TRUE(decide_path(PathMode::automatic, peer, nowhere, undecided).settled);
    EXPECT_TRUE(decide_path(PathMode::vxlan, peer, on_link, undecided).settled);
}

TEST(PeerPathTest, NodeOfFlannelsVxlan_IsSpokenToInItUnlessHostGwIsDemanded) {
    auto flannel = peer;
    flannel.flannel_vxlan = true;
    const auto decided = decide_path(PathMode::automatic, flannel, on_link, answering);
    EXPECT_EQ(decided.path, NODE_PATH_VXLAN);
    EXPECT_EQ(decided.reason, "published as a node of flannel's VXLAN");
    EXPECT_EQ(decide_path(PathMode::host_gw, flannel, on_link, answering).path, NODE_PATH_DIRECT);
}

TEST(PeerPathTest, Candidates_AreOnTheLinkAndMayBeDirect) {
    auto flannel = peer;
    flannel.flannel_vxlan = true;
    EXPECT_TRUE(is_candidate(PathMode::automatic, peer, on_link));
    EXPECT_TRUE(is_candidate(PathMode::host_gw, peer, on_link));
    EXPECT_TRUE(is_candidate(PathMode::host_gw, flannel, on_link));
    EXPECT_FALSE(is_candidate(PathMode::vxlan, peer, on_link));
    EXPECT_FALSE(is_candidate(PathMode::automatic, flannel, on_link));
    EXPECT_FALSE(is_candidate(PathMode::automatic, peer, routed));
    EXPECT_FALSE(is_candidate(PathMode::automatic, peer, nowhere));
}

}  // namespace
}  // namespace podlane
