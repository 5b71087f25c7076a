// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/host_move.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/link/ownership.h"
#include "agent/node/host_moves.h"

namespace podlane {
namespace {

using netlink::InterfaceAddress;
using netlink::Neighbour;
using netlink::Route;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Ipv4Address address(std::string_view text) {
    return Ipv4Address::parse(text).value();
}

Ipv4Prefix prefix(std::string_view text) {
    return Ipv4Prefix::parse(text).value();
}

constexpr std::uint32_t em2 = 3;
constexpr std::uint32_t shim = 7;
constexpr std::uint32_t eth0 = 2;
const MacAddress mac({2, 0, 0, 0, 0, 9});

// A node with its address and default route on em2, and another NIC.
class HostMoveTest : public testing::Test {
protected:
    void SetUp() override {
        add(InterfaceAddress{.ifindex = eth0, .address = address("10.0.0.1"), .prefix_length = 24});
        add(InterfaceAddress{.ifindex = em2, .address = address("172.20.7.100"), .prefix_length = 24});
        add(connected());
        add(gateway_route());
        add(Route{
            .destination = prefix("10.0.0.0/24"), .oif = eth0, .scope = RT_SCOPE_LINK, .protocol = RTPROT_KERNEL});
    }
    static Route connected() {
        return {.destination = prefix("172.20.7.0/24"),
                .oif = em2,
                .source = address("172.20.7.100"),
                .scope = RT_SCOPE_LINK,
                .protocol = RTPROT_KERNEL};
    }
    static Route gateway_route() {
        return {.destination = prefix("0.0.0.0/0"),
                .oif = em2,
                .gateway = address("172.20.7.254"),
                .protocol = RTPROT_STATIC,
                .metric = 100,
                .mtu = 1400};
    }
    void add(const InterfaceAddress& one) {
        rows_.addresses.push_back(*netlink::keep_address(netlink::replace_address(one).raw()));
    }
    void add(const Route& one) { rows_.routes.push_back(*netlink::keep_route(netlink::add_route(one).raw())); }
    void add(const Neighbour& one) {
        rows_.neighbours.push_back(*netlink::keep_neighbour(netlink::replace_neighbour(one).raw()));
    }
    [[nodiscard]] Result<HostMove> plan() const {
        return plan_host_move(rows_, {.from = {em2, "em2"}, .to = {shim, "podlane-lan"}});
    }
    // Requests in their order, phases apart by a bar; or the reason why there are none.
    static std::vector<std::string> labels(const Result<HostMove>& move) {
        if (!move) {
            return {move.error().message};
        }
        std::vector<std::string> lines;
        for (const auto& phase : move->phases) {
            for (const auto& step : phase) {
                lines.push_back(step.request.label());
            }
            lines.emplace_back("|");
        }
        return lines;
    }

    netlink::Rows rows_;
};

TEST_F(HostMoveTest, AddressesComeFirstAndGoLast_TheirOwnRoutesFollow) {
    EXPECT_THAT(labels(plan()), ElementsAre("set address 172.20.7.100/24 dev #7", "|",
                                            HasSubstr("set route 0.0.0.0/0 via 172.20.7.254 dev #7"), "|",
                                            "delete address 172.20.7.100/24 dev #3", "|"));
}

TEST_F(HostMoveTest, EveryStepHasItsOpposite) {
    add(Neighbour{.ifindex = em2, .address = address("172.20.7.9"), .mac = mac});
    std::vector<std::string> lines;
    const auto move = plan();
    ASSERT_TRUE(move);
    for (const auto& phase : move->phases) {
        for (const auto& step : phase) {
            lines.push_back(step.undo.label());
        }
    }
    EXPECT_THAT(
        lines,
        ElementsAre("delete address 172.20.7.100/24 dev #7", HasSubstr("set route 0.0.0.0/0 via 172.20.7.254 dev #3"),
                    "delete neighbour 172.20.7.9 dev #7 lladdr 02:00:00:00:00:09",
                    "set neighbour 172.20.7.9 dev #3 lladdr 02:00:00:00:00:09", "set address 172.20.7.100/24 dev #3"));
}

TEST_F(HostMoveTest, WhatARouteSays_IsMovedWithIt) {
    add(Route{.destination = prefix("198.51.100.0/24"),
              .oif = em2,
              .gateway = address("198.51.99.1"),
              .source = address("172.20.7.100"),
              .protocol = 12,
              .metric = 7,
              .table = 777,
              .on_link = true,
              .mtu = 1300});
    const auto move = plan();
    ASSERT_TRUE(move);
    auto expected = rows_.routes.back().route;
    expected.oif = shim;
    EXPECT_EQ(netlink::decode_route(move->phases.at(1).at(1).request.raw()), expected);
    expected.oif = em2;
    EXPECT_EQ(netlink::decode_route(move->phases.at(1).at(1).undo.raw()), expected);
}

TEST_F(HostMoveTest, RoutesOnTheLink_ComeBeforeThoseByAGateway) {
    add(Route{.destination = prefix("192.0.2.1/32"), .oif = em2, .scope = RT_SCOPE_LINK, .protocol = RTPROT_BOOT});
    EXPECT_THAT(labels(plan()),
                ElementsAre("set address 172.20.7.100/24 dev #7", "|", HasSubstr("set route 192.0.2.1/32 dev #7"), "|",
                            HasSubstr("set route 0.0.0.0/0"), "|", HasSubstr("delete address"), "|"));
}

TEST_F(HostMoveTest, SecondaryAddresses_AreTakenBeforeTheirPrimary) {
    add(InterfaceAddress{.ifindex = em2, .address = address("172.20.7.101"), .prefix_length = 24});
    const auto move = plan();
    ASSERT_TRUE(move);
    EXPECT_THAT(move->addresses, ElementsAre(address("172.20.7.100"), address("172.20.7.101")));
    EXPECT_EQ(move->phases.back().front().request.label(), "delete address 172.20.7.101/24 dev #3");
}

TEST_F(HostMoveTest, ConnectedRouteThatTheKernelDoesNotMake_IsMoved) {
    auto managed = connected();
    managed.metric = 100;
    managed.destination = prefix("172.20.0.0/16");
    add(managed);
    EXPECT_THAT(labels(plan()), testing::Contains(HasSubstr("set route 172.20.0.0/16 dev #7")));
}

TEST_F(HostMoveTest, PodlanesNeighboursAndAddressesOfTheLink_StayWhereTheyAre) {
    add(Neighbour{.ifindex = em2, .address = address("172.20.7.51"), .mac = mac, .protocol = route_protocol});
    add(Neighbour{.ifindex = em2, .address = address("172.20.7.8"), .mac = mac, .state = NUD_REACHABLE});
    add(InterfaceAddress{.ifindex = em2, .address = address("169.254.3.3"), .scope = RT_SCOPE_LINK});
    add(Route{.destination = prefix("172.20.7.100/32"),
              .type = RTN_LOCAL,
              .oif = em2,
              .scope = RT_SCOPE_HOST,
              .protocol = RTPROT_KERNEL,
              .table = RT_TABLE_LOCAL});
    EXPECT_EQ(labels(plan()).size(), 6U) << testing::PrintToString(labels(plan()));
}

TEST_F(HostMoveTest, NothingThere_IsNothingToDo) {
    rows_ = {};
    const auto move = plan();
    ASSERT_TRUE(move);
    EXPECT_TRUE(move->empty());
    EXPECT_THAT(move->addresses, IsEmpty());
}

TEST_F(HostMoveTest, RouteWithSeveralNextHops_IsRefusedByName) {
    netlink::Message request = netlink::add_route({.destination = prefix("198.51.100.0/24")});
    const std::array<rtnexthop, 2> next_hops = {
        {{.rtnh_len = sizeof(rtnexthop), .rtnh_flags = 0, .rtnh_hops = 0, .rtnh_ifindex = eth0},
         {.rtnh_len = sizeof(rtnexthop), .rtnh_flags = 0, .rtnh_hops = 0, .rtnh_ifindex = em2}}};
    request.put_bytes(RTA_MULTIPATH, std::as_bytes(std::span(next_hops)));
    rows_.routes.push_back(*netlink::keep_route(request.raw()));
    EXPECT_THAT(labels(plan()),
                ElementsAre("route 198.51.100.0/24: it has several next hops, one of them by em2; give it one"));
}

TEST_F(HostMoveTest, RouteThatHasATwinOnAnotherDevice_IsRefused) {
    auto twin = gateway_route();
    twin.oif = eth0;
    add(twin);
    EXPECT_THAT(labels(plan()), ElementsAre(HasSubstr("another device has one of the same metric")));
    rows_.routes.back().route.oif = shim;
    EXPECT_TRUE(plan()) << "left by a move that was cut short";
}

TEST_F(HostMoveTest, RouteByANextHopObject_IsRefused) {
    rows_.routes.at(1).by_object = true;
    EXPECT_THAT(labels(plan()), ElementsAre(HasSubstr("ip nexthop")));
}

TEST_F(HostMoveTest, GatewayToAskIsThatOfTheBestDefaultRouteOfTheMainTable) {
    EXPECT_EQ(default_gateway(rows_, em2), address("172.20.7.254"));
    EXPECT_EQ(default_gateway(rows_, eth0), std::nullopt);
    auto better = gateway_route();
    better.metric = 5;
    better.gateway = address("172.20.7.253");
    add(better);
    better.metric = 1;
    better.table = 77;
    better.gateway = address("172.20.7.252");
    add(better);
    EXPECT_EQ(default_gateway(rows_, em2), address("172.20.7.253"));
}

// ---- what comes next

struct StepCase {
    std::string_view name;
    MoveFacts facts;
    HostStep step;
};

class HostStepTest : public testing::TestWithParam<StepCase> {};

TEST_P(HostStepTest, FactsDecide) {
    EXPECT_EQ(next_step(GetParam().facts), GetParam().step);
}

constexpr MoveFacts ready = {.wanted = true, .has_address = true, .shim_ready = true, .settled = true};
constexpr MoveFacts with(MoveFacts facts, void (*change)(MoveFacts&)) {
    change(facts);
    return facts;
}
constexpr MoveFacts moved = with(ready, [](MoveFacts& facts) { facts.place = HostPlace::shim; });

INSTANTIATE_TEST_SUITE_P(
    Cases, HostStepTest,
    testing::ValuesIn(std::vector<StepCase>{
        {"GatewayIsAskedFirst", ready, HostStep::ask},
        {"AskedIsMoved", with(ready, [](MoveFacts& facts) { facts.asked = true; }), HostStep::move},
        {"BusyWaits", with(ready, [](MoveFacts& facts) { facts.under_question = true; }), HostStep::none},
        {"Unsettled", with(ready, [](MoveFacts& facts) { facts.settled = false; }), HostStep::wait},
        {"NoAddress", with(ready, [](MoveFacts& facts) { facts.has_address = false; }), HostStep::none},
        {"NoShim", with(ready, [](MoveFacts& facts) { facts.shim_ready = false; }), HostStep::none},
        {"NotWanted", with(ready, [](MoveFacts& facts) { facts.wanted = false; }), HostStep::none},
        {"Moved", moved, HostStep::none},
        {"CameBack", with(moved, [](MoveFacts& facts) { facts.is_on_both = true; }), HostStep::follow_up},
        {"ComesBack",
         with(moved,
              [](MoveFacts& facts) {
                  facts.is_on_both = true;
                  facts.settled = false;
              }),
         HostStep::wait},
        {"NoLongerWanted",
         with(moved,
              [](MoveFacts& facts) {
                  facts.wanted = false;
                  facts.settled = false;
                  facts.under_question = true;
              }),
         HostStep::give_back}}),
    [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace podlane
