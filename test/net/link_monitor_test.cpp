// SPDX-License-Identifier: Apache-2.0
// The event monitor against a real kernel; topology in link_kernel.h.
#include <poll.h>

#include <algorithm>

#include "agent/netlink/monitor.h"
#include "agent/netlink/netns.h"
#include "test/net/link_kernel.h"

namespace podlane::net {
namespace {

using netlink::Change;

class LinkMonitorTest : public LinkKernelTest {
protected:
    LinkMonitorTest() : monitor_(netlink::Monitor::open()) {}

    bool readable() {
        pollfd descriptor{.fd = monitor_->fd(), .events = POLLIN, .revents = 0};
        return ::poll(&descriptor, 1, 0) == 1;
    }

    // Everything that is there now.
    std::vector<netlink::Event> events() {
        std::vector<netlink::Event> all;
        while (readable()) {
            const auto done = monitor_->drain([&](const netlink::Event& event) { all.push_back(event); });
            EXPECT_TRUE(succeeded(done));
        }
        return all;
    }

    // Whether an event of kind `Kind` satisfies `predicate`.
    template <typename Kind, typename Predicate>
    bool saw(const std::vector<netlink::Event>& all, Predicate predicate) {
        return std::ranges::any_of(all, [&](const netlink::Event& event) {
            const auto* found = std::get_if<Kind>(&event);
            return found != nullptr && predicate(*found);
        });
    }

    Result<netlink::Monitor> monitor_;
};

TEST_F(LinkMonitorTest, NothingHappened_IsNotReadableAndReportsNothing) {
    EXPECT_FALSE(readable());
    ASSERT_TRUE(succeeded(monitor_->drain([](const netlink::Event&) { FAIL(); })));
}

TEST_F(LinkMonitorTest, LinkThatComesChangesAndGoes_IsReported) {
    ip("link add extra type bridge");
    EXPECT_TRUE(saw<netlink::LinkEvent>(events(), [](const auto& event) {
        return event.change == Change::present && event.link.name == "extra" && event.link.kind == "bridge";
    }));
    ip("link set extra mtu 1300");
    EXPECT_TRUE(saw<netlink::LinkEvent>(events(), [](const auto& event) { return event.link.mtu == 1300; }));
    ip("link del extra");
    EXPECT_TRUE(saw<netlink::LinkEvent>(
        events(), [](const auto& event) { return event.change == Change::gone && event.link.name == "extra"; }));
}

TEST_F(LinkMonitorTest, PortThatLeavesABridge_IsNotADeviceThatIsGone) {
    ip("link add br0 type bridge");
    ip("link set eth0 master br0");
    events();
    ip("link set eth0 nomaster");
    const auto all = events();
    EXPECT_TRUE(saw<netlink::LinkEvent>(all, [](const auto& event) { return event.link.name == "eth0"; }));
    EXPECT_FALSE(saw<netlink::LinkEvent>(all, [](const auto& event) { return event.change == Change::gone; }));
}

TEST_F(LinkMonitorTest, AddressRouteAndNeighbour_AreReportedWhenTheyComeAndGo) {
    const auto address = Ipv4Address::parse("10.7.7.7").value();
    const auto is_address = [&](Change change) {
        return [=](const netlink::AddressEvent& event) {
            return event.change == change && event.address.address == address;
        };
    };
    const auto is_route = [&](Change change) {
        return [=](const netlink::RouteEvent& event) { return event.change == change && event.route.protocol == 80; };
    };
    const auto is_neighbour = [&](Change change) {
        return [=](const netlink::NeighbourEvent& event) {
            return event.change == change && event.neighbour.address == address;
        };
    };
    ip("addr add 10.7.7.7/32 dev eth0");
    ip("route add 10.9.0.0/16 dev eth0 proto 80");
    ip("neigh add 10.7.7.7 dev eth0 lladdr 02:00:00:00:00:01");
    auto all = events();
    EXPECT_TRUE(saw<netlink::AddressEvent>(all, is_address(Change::present)));
    EXPECT_TRUE(saw<netlink::RouteEvent>(all, is_route(Change::present)));
    EXPECT_TRUE(saw<netlink::NeighbourEvent>(all, is_neighbour(Change::present)));
    ip("neigh del 10.7.7.7 dev eth0");
    ip("route del 10.9.0.0/16 proto 80");
    ip("addr del 10.7.7.7/32 dev eth0");
    all = events();
    EXPECT_TRUE(saw<netlink::AddressEvent>(all, is_address(Change::gone)));
    EXPECT_TRUE(saw<netlink::RouteEvent>(all, is_route(Change::gone)));
    EXPECT_TRUE(saw<netlink::NeighbourEvent>(all, is_neighbour(Change::gone)));
}

TEST_F(LinkMonitorTest, ForwardingThatIsTurnedOff_IsReported) {
    set_sysctl(ns_, "net/ipv4/conf/eth0/forwarding", "1");
    events();
    set_sysctl(ns_, "net/ipv4/conf/eth0/forwarding", "0");
    const auto eth0 = static_cast<std::int32_t>(ifindex("eth0"));
    EXPECT_TRUE(saw<netlink::SettingsEvent>(events(), [&](const auto& event) { return event.ifindex == eth0; }));
}

TEST_F(LinkMonitorTest, MoreEventsThanTheBufferHolds_AreReportedAsOverrun) {
    std::vector<netlink::Message> requests;
    for (std::uint32_t index = 0; index < 10000; ++index) {
        const netlink::Route route{.destination = Ipv4Prefix::masked(Ipv4Address::from_host(0x0a640000U + index), 32),
                                   .oif = ifindex("eth0"),
                                   .scope = RT_SCOPE_LINK,
                                   .protocol = 80};
        requests.push_back(netlink::add_route(route));
        requests.push_back(netlink::delete_route(route));
    }
    bool overrun = false;
    for (int round = 0; round < 20 && !overrun; ++round) {
        for (const auto& done : socket().execute(requests)) {
            ASSERT_TRUE(succeeded(done));
        }
        // The kernel reports a loss with the first read after it.
        ASSERT_TRUE(succeeded(monitor_->drain([&](const netlink::Event& event) {
            overrun = overrun || std::holds_alternative<netlink::Overrun>(event);
        })));
    }
    EXPECT_TRUE(overrun);
    events();
    ip("link add after type bridge");
    EXPECT_TRUE(saw<netlink::LinkEvent>(events(), [](const auto& event) { return event.link.name == "after"; }))
        << "events go on after an overrun";
}

}  // namespace
}  // namespace podlane::net
