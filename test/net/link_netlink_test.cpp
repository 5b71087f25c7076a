// SPDX-License-Identifier: Apache-2.0
// The netlink library against a real kernel; topology in link_kernel.h.
#include <chrono>
#include <ranges>

#include <gmock/gmock.h>

#include "agent/netlink/fdb.h"
#include "agent/netlink/interface_address.h"
#include "agent/netlink/link.h"
#include "agent/netlink/neighbour.h"
#include "agent/netlink/resolve.h"
#include "agent/netlink/route.h"
#include "test/net/link_kernel.h"

namespace podlane::net {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::uint8_t protocol = 80;
const MacAddress mac({0x02, 0x50, 10, 0, 0, 1});

// 10.100.0.0/24, 10.100.1.0/24, ...
std::vector<netlink::Message> many_routes(std::uint32_t count, std::uint32_t oif) {
    std::vector<netlink::Message> requests;
    for (std::uint32_t index = 0; index < count; ++index) {
        const auto base = Ipv4Address::from_host(address("10.100.0.0").host() + (index << 8U));
        requests.push_back(netlink::add_route({.destination = Ipv4Prefix::masked(base, 24),
                                               .oif = oif,
                                               .source = address("10.0.0.1"),
                                               .scope = RT_SCOPE_LINK,
                                               .protocol = protocol}));
    }
    return requests;
}

class LinkNetlinkTest : public LinkKernelTest {
protected:
    Result<void> create_overlay() {
        auto created = socket().execute(
            netlink::create_external_vxlan({.name = "podlane0", .port = 8472, .mac = mac, .mtu = 1450}));
        if (!created) {
            return created;
        }
        const auto link = netlink::find_link(socket(), "podlane0").value().value();
        return socket().execute(netlink::change_link(link, {.state = netlink::AdminState::up}));
    }
};

TEST_F(LinkNetlinkTest, ExternalVxlan_IsMadeWithoutLearningAndArp) {
    ASSERT_TRUE(succeeded(create_overlay()));
    EXPECT_THAT(ip("-d link show podlane0"),
                AllOf(HasSubstr("NOARP,UP"), HasSubstr("mtu 1450"), HasSubstr("link/ether 02:50:0a:00:00:01"),
                      HasSubstr("vxlan external"), HasSubstr("dstport 8472"), HasSubstr("nolearning")));
    const auto link = netlink::find_link(socket(), "podlane0");
    ASSERT_TRUE(succeeded(link));
    ASSERT_TRUE(link->has_value());
    EXPECT_EQ((*link)->kind, "vxlan");
    EXPECT_EQ((*link)->vxlan, (netlink::VxlanSettings{.external = true, .port = 8472}));
    EXPECT_EQ((*link)->mac, mac);
    EXPECT_TRUE((*link)->is_up());
    EXPECT_TRUE((*link)->is_no_arp());
}

TEST_F(LinkNetlinkTest, ExternalVxlanOnATakenPort_CannotComeUp) {
    ip("link add flannel.1 type vxlan id 1 dstport 8472 dev eth0 nolearning");
    ip("link set flannel.1 up");
    const auto created = create_overlay();
    ASSERT_FALSE(created);
    EXPECT_EQ(created.error().code, EADDRINUSE);
    EXPECT_EQ(created.error().message, "change link podlane0: up: Address already in use");
}

TEST_F(LinkNetlinkTest, PlainVxlan_IsMadeAsFlannelsAndReadBack) {
    const netlink::VxlanSettings settings{
        .port = 8472, .vni = 1, .local = address("10.0.0.1"), .lower = ifindex("eth0"), .udp_checksum = false};
    ASSERT_TRUE(succeeded(socket().execute(
        netlink::create_plain_vxlan({.name = "flannel.1", .settings = settings, .mac = mac, .mtu = 1450}))));
    EXPECT_THAT(ip("-d link show flannel.1"),
                AllOf(HasSubstr("state DOWN"), HasSubstr("mtu 1450"), HasSubstr("link/ether 02:50:0a:00:00:01"),
                      HasSubstr("vxlan id 1 local 10.0.0.1 dev eth0"), HasSubstr("dstport 8472 nolearning"),
                      HasSubstr("noudpcsum")));
    const auto link = netlink::find_link(socket(), "flannel.1").value().value();
    EXPECT_EQ(link.vxlan, settings);
}

TEST_F(LinkNetlinkTest, FdbEntry_IsSetOverwrittenAndListed) {
    ip("link add flannel.1 type vxlan id 1 dstport 8472 dev eth0 nolearning");
    const auto bridge = [&](std::vector<std::string> words) {
        words.insert(words.begin(), {"bridge", "fdb"});
        return must_run(ns_, words);
    };
    netlink::FdbEntry entry{.ifindex = ifindex("flannel.1"), .mac = mac, .remote = address("10.0.0.2")};
    ASSERT_TRUE(succeeded(socket().execute(netlink::set_fdb_entry(entry))));
    EXPECT_EQ(bridge({"show", "dev", "flannel.1"}), "02:50:0a:00:00:01 dst 10.0.0.2 self permanent\n");
    entry.remote = address("10.0.0.3");
    ASSERT_TRUE(succeeded(socket().execute(netlink::set_fdb_entry(entry))));
    EXPECT_THAT(netlink::list_fdb(socket(), entry.ifindex).value(), testing::ElementsAre(entry));
    EXPECT_THAT(netlink::list_fdb(socket(), ifindex("lo")).value(), testing::IsEmpty());
    EXPECT_THAT(netlink::list_fdb(socket(), 0).value(), testing::Contains(entry));
    for (const char* remote : {"10.0.0.4", "10.0.0.5"}) {
        ASSERT_TRUE(succeeded(socket().execute(
            netlink::set_fdb_entry({.ifindex = entry.ifindex, .mac = {}, .remote = address(remote)}))));
    }
    EXPECT_THAT(bridge({"show", "dev", "flannel.1"}),
                AllOf(HasSubstr("00:00:00:00:00:00 dst 10.0.0.4"), HasSubstr("00:00:00:00:00:00 dst 10.0.0.5")));
}

TEST_F(LinkNetlinkTest, LinkChange_ChangesWhatItNamesAndNothingElse) {
    ASSERT_TRUE(succeeded(create_overlay()));
    const auto link = netlink::find_link(socket(), "podlane0").value().value();
    const MacAddress other({0x02, 1, 2, 3, 4, 5});
    ASSERT_TRUE(succeeded(socket().execute(
        netlink::change_link(link, {.state = {}, .arp = {}, .mtu = 1400, .mac = other, .alias = "an alias"}))));
    EXPECT_THAT(ip("link show podlane0"), AllOf(HasSubstr("NOARP,UP"), HasSubstr("mtu 1400"),
                                                HasSubstr("02:01:02:03:04:05"), HasSubstr("alias an alias")));
    ASSERT_TRUE(succeeded(socket().execute(netlink::change_link(
        link, {.state = netlink::AdminState::down, .arp = netlink::ArpUse::on, .mtu = {}, .mac = {}, .alias = {}}))));
    EXPECT_THAT(ip("link show podlane0"),
                AllOf(Not(HasSubstr("NOARP")), HasSubstr("state DOWN"), HasSubstr("mtu 1400")));
    ASSERT_TRUE(succeeded(socket().execute(netlink::delete_link(link))));
    EXPECT_EQ(ifindex("podlane0"), 0U);
}

TEST_F(LinkNetlinkTest, VethInAnotherNamespace_IsDecodedWithItsPeer) {
    const Namespace pod("pod");
    ip("link add veth1 type veth peer name inside netns " + pod.name());
    const auto inside = net::ip(pod, "-o link show inside");
    const auto link = netlink::find_link(socket(), "veth1").value().value();
    EXPECT_EQ(link.kind, "veth");
    EXPECT_EQ(std::to_string(link.link), inside.substr(0, inside.find(':')));
    EXPECT_TRUE(link.link_netnsid.has_value());
    EXPECT_FALSE(link.vxlan);
    auto there = netlink::Socket::open_in(pod.fd());
    ASSERT_TRUE(succeeded(there));
    EXPECT_EQ(netlink::find_link(*there, "inside").value().value().ifindex, link.link);
    EXPECT_FALSE(netlink::find_link(socket(), "inside").value()) << "this thread must be back in its own namespace";
    auto here = netlink::Socket::open().value();
    EXPECT_FALSE(netlink::find_link(here, "inside").value());
}

TEST_F(LinkNetlinkTest, LinkThatDoesNotExist_IsNothingAndNoError) {
    const auto link = netlink::find_link(socket(), "nosuch");
    ASSERT_TRUE(succeeded(link));
    EXPECT_FALSE(link->has_value());
}

TEST_F(LinkNetlinkTest, ErrorOfTheKernel_SaysWhatAndWhyWithItsExplanation) {
    const auto done = socket().execute(netlink::add_route(
        {.destination = prefix("10.9.0.0/16"), .oif = ifindex("eth0"), .gateway = address("192.0.2.1")}));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ENETUNREACH);
    EXPECT_EQ(done.error().message, fmt::format("add route 10.9.0.0/16 via 192.0.2.1 dev #{}: Network is unreachable "
                                                "(Nexthop has invalid gateway)",
                                                ifindex("eth0")));
}

TEST_F(LinkNetlinkTest, EveryFieldOfARoute_ArrivesInTheKernelAndComesBack) {
    const netlink::Route route{.destination = prefix("10.9.0.0/16"),
                               .oif = ifindex("eth0"),
                               .gateway = address("192.0.2.1"),
                               .source = address("10.0.0.1"),
                               .protocol = protocol,
                               .metric = 7,
                               .table = 1000,
                               .on_link = true,
                               .mtu = 1400};
    const netlink::Route unreachable{
        .destination = prefix("10.244.0.0/16"), .type = RTN_UNREACHABLE, .protocol = protocol, .metric = 0xffffffff};
    ASSERT_TRUE(succeeded(socket().execute(netlink::add_route(route))));
    ASSERT_TRUE(succeeded(socket().execute(netlink::add_route(unreachable))));
    EXPECT_EQ(ip("route show table 1000"),
              "10.9.0.0/16 via 192.0.2.1 dev eth0 proto 80 src 10.0.0.1 metric 7 onlink mtu 1400 \n");
    EXPECT_EQ(ip("route show proto 80"), "unreachable 10.244.0.0/16 metric 4294967295 \n");
    EXPECT_THAT(netlink::list_routes(socket(), {.protocol = protocol}).value(),
                testing::UnorderedElementsAre(route, unreachable));
    EXPECT_THAT(netlink::list_routes(socket(), {.table = 4711}).value(), testing::IsEmpty());
    auto changed = route;
    changed.mtu = 0;
    ASSERT_TRUE(succeeded(socket().execute(netlink::replace_route(changed))));
    EXPECT_THAT(netlink::list_routes(socket(), {.table = 1000}).value(), testing::ElementsAre(changed));
    ASSERT_TRUE(succeeded(socket().execute(netlink::delete_route(changed))));
    ASSERT_TRUE(succeeded(socket().execute(netlink::delete_route(unreachable))));
    EXPECT_THAT(netlink::list_routes(socket(), {.protocol = protocol}).value(), testing::IsEmpty());
}

TEST_F(LinkNetlinkTest, AddressAndNeighbour_AreSetListedAndDeleted) {
    const netlink::InterfaceAddress wanted{.ifindex = ifindex("eth0"), .address = address("10.7.7.7")};
    const netlink::Neighbour neighbour{.ifindex = ifindex("eth0"), .address = address("10.0.0.9"), .mac = mac};
    ASSERT_TRUE(succeeded(socket().execute(netlink::replace_address(wanted))));
    ASSERT_TRUE(succeeded(socket().execute(netlink::replace_address(wanted)))) << "setting it twice is no error";
    ASSERT_TRUE(succeeded(socket().execute(netlink::replace_neighbour(neighbour))));
    EXPECT_THAT(ip("addr show eth0"), HasSubstr("inet 10.7.7.7/32 scope global eth0"));
    EXPECT_EQ(ip("neigh show"), "10.0.0.9 dev eth0 lladdr 02:50:0a:00:00:01 PERMANENT \n");
    EXPECT_THAT(netlink::list_addresses(socket(), ifindex("eth0")).value(), testing::Contains(wanted));
    EXPECT_THAT(netlink::list_addresses(socket(), ifindex("lo")).value(), Not(testing::Contains(wanted)));
    EXPECT_THAT(netlink::list_neighbours(socket(), ifindex("eth0")).value(), testing::ElementsAre(neighbour));
    ASSERT_TRUE(succeeded(socket().execute(netlink::delete_neighbour(neighbour))));
    ASSERT_TRUE(succeeded(socket().execute(netlink::delete_address(wanted))));
    EXPECT_THAT(ip("addr show eth0"), Not(HasSubstr("10.7.7.7")));
    EXPECT_EQ(ip("neigh show"), "");
}

TEST_F(LinkNetlinkTest, LimitOfTheArpTable_IsTheOneThatIpShows) {
    const auto limit = netlink::neighbour_limit(socket());
    ASSERT_TRUE(succeeded(limit));
    EXPECT_THAT(ip("ntable show name arp_cache"), HasSubstr(fmt::format("thresh3 {} ", *limit)));
}

TEST_F(LinkNetlinkTest, BatchOf5000Routes_IsQuickAndABadOneStopsNoOther) {
    auto requests = many_routes(5000, ifindex("eth0"));
    const std::size_t bad = 2345;
    requests[bad] = netlink::add_route({.destination = prefix("10.99.0.0/24"), .oif = 4711, .protocol = protocol});
    std::vector<Result<void>> results;
    const auto cost = cost_of([&] { results = socket().execute(requests); });
    RecordProperty("milliseconds", static_cast<int>(cost.count()));
    EXPECT_LT(cost, std::chrono::seconds(1));
    for (std::size_t index = 0; index < results.size(); ++index) {
        EXPECT_EQ(results[index].has_value(), index != bad) << index;
    }
    EXPECT_THAT(results[bad].error().message, HasSubstr("add route 10.99.0.0/24 dev #4711: No such device"));
    EXPECT_EQ(std::ranges::count(ip("route show proto 80"), '\n'), 4999);
    EXPECT_EQ(netlink::list_routes(socket(), {.protocol = protocol}).value().size(), 4999U);
}

TEST_F(LinkNetlinkTest, Resolve_GivesTheUnderlayThoughTheOverlayHasTheNodesAddressToo) {
    ASSERT_TRUE(succeeded(create_overlay()));
    ip("addr add 10.0.0.1/32 dev podlane0");
    ip("route add 10.244.2.0/24 dev podlane0 src 10.0.0.1");
    ip("route add 10.8.0.0/16 via 10.0.0.253 mtu 1280");
    const auto eth0 = ifindex("eth0");
    EXPECT_EQ(netlink::resolve(socket(), address("10.0.0.2"), ifindex("podlane0")),
              (netlink::ResolvedRoute{.oif = eth0, .gateway = {}, .source = address("10.0.0.1"), .mtu = 0}));
    EXPECT_EQ(netlink::resolve(socket(), address("10.1.0.2"), ifindex("podlane0")),
              (netlink::ResolvedRoute{
                  .oif = eth0, .gateway = address("10.0.0.254"), .source = address("10.0.0.1"), .mtu = 0}));
    EXPECT_EQ(netlink::resolve(socket(), address("10.8.0.2"), ifindex("podlane0")),
              (netlink::ResolvedRoute{
                  .oif = eth0, .gateway = address("10.0.0.253"), .source = address("10.0.0.1"), .mtu = 1280}));
}

struct Unresolvable {
    std::string_view destination;
    std::string_view message;
};

TEST_F(LinkNetlinkTest, ResolveOfWhatCannotBeReached_IsAnErrorOfItsOwn) {
    ASSERT_TRUE(succeeded(create_overlay()));
    ip("route add 10.244.2.0/24 dev podlane0");
    ip("route add unreachable 10.244.0.0/16");
    ip("route add blackhole 10.245.0.0/16");
    ip("-6 addr add fd00::1/64 dev eth0");
    ip("route add 10.6.0.0/16 via inet6 fd00::2");
    const std::array<Unresolvable, 6> cases{{
        {"10.244.9.9", "resolve 10.244.9.9: No route to host"},
        {"10.245.9.9", "resolve 10.245.9.9: Invalid argument"},
        {"10.244.2.9", "resolve 10.244.2.9: the route leads back into the overlay device"},
        {"10.0.0.1", "resolve 10.0.0.1: it is an address of this node"},
        {"10.0.0.255", "resolve 10.0.0.255: it is a broadcast or multicast address here"},
        {"10.6.0.1", "resolve 10.6.0.1: the route's gateway is not an IPv4 address"},
    }};
    for (const auto& wrong : cases) {
        const auto route = netlink::resolve(socket(), address(wrong.destination), ifindex("podlane0"));
        ASSERT_FALSE(route) << wrong.destination;
        EXPECT_EQ(route.error().message, wrong.message);
        EXPECT_TRUE(netlink::is_verdict(route.error())) << wrong.destination;
    }
}

TEST_F(LinkNetlinkTest, ResolveOf5000Destinations_AnswersEachInOrder) {
    ip("route add unreachable 10.3.0.0/16");
    std::vector<Ipv4Address> destinations;
    for (std::uint32_t index = 0; index < 5000; ++index) {
        const auto base = index % 5 == 0 ? address("10.3.0.0") : address("10.2.0.0");
        destinations.push_back(Ipv4Address::from_host(base.host() + index));
    }
    std::vector<Result<netlink::ResolvedRoute>> routes;
    const auto cost = cost_of([&] { routes = netlink::resolve(socket(), destinations, 0); });
    RecordProperty("milliseconds", static_cast<int>(cost.count()));
    EXPECT_LT(cost, std::chrono::seconds(2));
    ASSERT_EQ(routes.size(), destinations.size());
    for (std::size_t index = 0; index < routes.size(); ++index) {
        ASSERT_EQ(routes[index].has_value(), index % 5 != 0) << destinations[index].to_string();
        if (!routes[index]) {
            EXPECT_EQ(routes[index].error().message, fmt::format("resolve {}: No route to host", destinations[index]));
        }
    }
}

}  // namespace
}  // namespace podlane::net
