// SPDX-License-Identifier: Apache-2.0
// Connections that conntrack is made to forget, on a router between two hosts.
//
//   client --- router --- host
//   10.1.0.2, .3          10.2.0.2 (pod), 10.2.0.3 (another's), 10.2.0.4 (pod, in conntrack's zone 7)
//
// The router drops what is INVALID, as kube-proxy does, translates 10.99.0.1 to 10.2.0.2, and masquerades towards
// 10.1.0.3.
#include <regex>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>

#include "agent/netfilter/conntrack.h"
#include "test/net/harness/held_connections.h"
#include "test/net/harness/links.h"
#include "test/net/harness/process.h"
#include "test/net/harness/traffic.h"
#include "test/net/harness/wait.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;
using testing::UnorderedElementsAre;

constexpr const char* rules =
    "table ip router {\n"
    "  chain zones {\n"
    "    type filter hook prerouting priority -300;\n"
    "    ip saddr 10.2.0.4 ct zone set 7\n"
    "    ip daddr 10.2.0.4 ct zone set 7\n"
    "  }\n"
    "  counter invalid { }\n"
    "  chain forward { type filter hook forward priority 0; ct state invalid counter name invalid drop; }\n"
    "  chain inward { type nat hook prerouting priority -100; ip daddr 10.99.0.1 dnat to 10.2.0.2; }\n"
    "  chain outward { type nat hook postrouting priority 100; ip daddr 10.1.0.3 masquerade; }\n"
    "}\n";

// Packets pass that conntrack does not see.
constexpr const char* unseen =
    "table ip unseen {\n"
    "  chain every { type filter hook prerouting priority -300; notrack; }\n"
    "}\n";

class ConntrackTest : public testing::Test {
protected:
    void SetUp() override {
        connect(client_, "10.1.0", 3);
        connect(host_, "10.2.0", 4);
        set_sysctl(router_, "net/ipv4/ip_forward", "1");
        load(rules);
    }
    // Addresses .2 to .<last>, the first of them the one that it sends from.
    void connect(const Namespace& ns, const std::string& net, unsigned last) {
        connect_by_veth({ns, "eth0"}, {router_, "to-" + net}, 1500);
        ip(router_, fmt::format("address add {0}.1/24 dev to-{0}", net));
        for (unsigned number = 2; number <= last; ++number) {
            ip(ns, fmt::format("address add {}.{}/24 dev eth0", net, number));
        }
        ip(ns, fmt::format("route add default via {}.1", net));
    }
    void load(const char* ruleset) { must_run(router_, {"nft", "-f", "-"}, {.input = ruleset, .environment = {}}); }

    [[nodiscard]] static Endpoint at(const Namespace& ns, const char* address, const char* known_as = "0.0.0.0") {
        return {&ns, Ipv4Address::parse(address).value(), Ipv4Address::parse(known_as).value()};
    }
    // What the router's conntrack knows: "tcp 10.1.0.2 10.2.0.2", as the first packet had it.
    [[nodiscard]] std::vector<std::string> connections() const {
        std::istringstream listed(must_run(router_, {"conntrack", "-L"}));
        std::vector<std::string> found;
        const std::regex pattern(R"(^(\w+) .*?src=(\S+) dst=(\S+) .*)");
        for (std::string line; std::getline(listed, line);) {
            found.push_back(std::regex_replace(line, pattern, "$1 $2 $3"));
        }
        return found;
    }
    // What the router has dropped as INVALID.
    [[nodiscard]] unsigned long invalid_packets() const {
        const auto listed = must_run(router_, {"nft", "list", "counter", "ip", "router", "invalid"});
        std::smatch found;
        return std::regex_search(listed, found, std::regex("packets (\\d+)")) ? std::stoul(found.str(1)) : 0;
    }
    // How many; -1 with the reason as a failure.
    [[nodiscard]] static long forget(const Namespace& ns, const std::vector<const char*>& addresses) {
        std::set<Ipv4Address> pods;
        for (const auto* address : addresses) {
            pods.insert(Ipv4Address::parse(address).value());
        }
        const auto done = in_namespace(ns, [&] { return netfilter::forget_plain_connections(pods); });
        EXPECT_TRUE(done) << done.error().message;
        return done ? static_cast<long>(*done) : -1;
    }

    Namespace client_{"client"};
    Namespace router_{"router"};
    Namespace host_{"host"};
};

TEST_F(ConntrackTest, ConnectionsOfPodsThatNobodyTranslates_AreForgottenAndGoOn) {
    HeldConnections to_pod(at(host_, "10.2.0.2"));
    HeldConnections to_zone(at(host_, "10.2.0.4"));
    HeldConnections to_other(at(host_, "10.2.0.3"));
    HeldConnections to_service(at(host_, "10.2.0.2", "10.99.0.1"));
    HeldConnections from_pod(at(client_, "10.1.0.2"));
    HeldConnections masqueraded(at(client_, "10.1.0.3"));
    ASSERT_EQ(to_pod.open(at(client_, "10.1.0.2"), 2), "");
    for (auto* connection : {&to_zone, &to_other, &to_service}) {
        ASSERT_EQ(connection->open(at(client_, "10.1.0.2"), 1), "");
    }
    for (auto* connection : {&from_pod, &masqueraded}) {
        ASSERT_EQ(connection->open(at(host_, "10.2.0.2"), 1), "");
    }
    EXPECT_EQ(echo_udp(at(client_, "10.1.0.2"), at(host_, "10.2.0.2"), {100}).problem, "");
    EXPECT_EQ(ping(client_, at(host_, "10.2.0.2").address, 1).answered, 1U);
    ASSERT_THAT(connections(),
                UnorderedElementsAre("tcp 10.1.0.2 10.2.0.2", "tcp 10.1.0.2 10.2.0.2", "tcp 10.1.0.2 10.2.0.4",
                                     "tcp 10.2.0.2 10.1.0.2", "udp 10.1.0.2 10.2.0.2", "icmp 10.1.0.2 10.2.0.2",
                                     "tcp 10.1.0.2 10.2.0.3", "tcp 10.1.0.2 10.99.0.1", "tcp 10.2.0.2 10.1.0.3"));

    EXPECT_EQ(forget(router_, {"10.2.0.2", "10.2.0.4"}), 6);
    EXPECT_THAT(connections(),
                UnorderedElementsAre("tcp 10.1.0.2 10.2.0.3", "tcp 10.1.0.2 10.99.0.1", "tcp 10.2.0.2 10.1.0.3"));
    EXPECT_EQ(forget(router_, {"10.2.0.2", "10.2.0.4"}), 0);

    for (const auto* connection : {&to_pod, &to_zone, &to_other, &to_service, &from_pod, &masqueraded}) {
        EXPECT_EQ(connection->echo_on_each(), "");
    }
    EXPECT_EQ(connections().size(), 7U);
}

TEST_F(ConntrackTest, ConnectionThatMovedOnUnseen_IsInvalidUntilForgotten) {
    // What moves on unseen is many windows of a receiver with this much room: what lies within one is no INVALID.
    constexpr const char* room = "4096 131072 1000000";
    constexpr std::uint64_t many_windows = 16'000'000;
    set_sysctl(host_, "net/ipv4/tcp_rmem", room);
    TcpStream stream(at(client_, "10.1.0.2"), at(host_, "10.2.0.2"));
    const auto goes_on = [&] {
        const auto before = stream.received();
        return wait_until([&] { return stream.received() > before + many_windows; }, 20s);
    };
    const auto stands_still = [&] {
        const auto before = stream.received();
        std::this_thread::sleep_for(500ms);
        return stream.received() == before;
    };
    ASSERT_TRUE(goes_on());
    load(unseen);
    ASSERT_TRUE(goes_on());
    EXPECT_EQ(invalid_packets(), 0U);
    must_run(router_, {"nft", "delete", "table", "ip", "unseen"});
    EXPECT_TRUE(wait_until(stands_still, 20s));
    EXPECT_GT(invalid_packets(), 0U);
    EXPECT_EQ(forget(router_, {"10.2.0.2"}), 1);
    EXPECT_TRUE(goes_on());
    EXPECT_EQ(stream.stop(), "");
}

TEST_F(ConntrackTest, WithoutPods_AllIsRemembered) {
    HeldConnections held(at(host_, "10.2.0.2"));
    ASSERT_EQ(held.open(at(client_, "10.1.0.2"), 1), "");
    EXPECT_EQ(forget(router_, {}), 0);
    EXPECT_THAT(connections(), UnorderedElementsAre("tcp 10.1.0.2 10.2.0.2"));
}

// More than one message and one window of the socket hold.
TEST_F(ConntrackTest, ThousandsOfConnections_AreForgottenAtOnce) {
    HeldConnections held(at(host_, "10.2.0.2"));
    ASSERT_EQ(held.open(at(client_, "10.1.0.2"), 2000), "");
    EXPECT_EQ(forget(router_, {"10.2.0.2"}), 2000);
    EXPECT_EQ(connections().size(), 0U);
    EXPECT_EQ(held.echo_on_each(), "");
}

TEST_F(ConntrackTest, WhereNothingIsTracked_ThereIsNothingToForget) {
    const Namespace bare("bare");
    EXPECT_EQ(forget(bare, {"10.2.0.2"}), 0);
}

}  // namespace
}  // namespace podlane::net
