// SPDX-License-Identifier: Apache-2.0
// The ports that translations have: many of them, too few of them, and beside those of the host. harness/snat.h has the
// topology.
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "test/net/harness/held_connections.h"
#include "test/net/harness/service.h"
#include "test/net/harness/snat.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

constexpr std::uint16_t port_of_the_range = 20007;

// Bound in `ns`; UDP.
Fd datagram_socket(const Namespace& ns, const SocketAddress& at) {
    return in_namespace(ns, [&] {
        Fd socket = timed_socket(SOCK_DGRAM, 1s);
        const sockaddr_in local = to_sockaddr(at);
        if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0) {
            throw std::runtime_error(fmt::format("bind to {}:{}", at.address, at.port));
        }
        return socket;
    });
}

void send_text(const Fd& from, const SocketAddress& to, std::string_view text) {
    const sockaddr_in address = to_sockaddr(to);
    ::sendto(from.get(), text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

struct Heard {
    std::string text;  // empty: nothing came
    SocketAddress from;
};
Heard hear(const Fd& socket) {
    std::array<char, 64> text{};
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    const ssize_t got =
        ::recvfrom(socket.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    return {std::string(text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))),
            {Ipv4Address::from_wire(from.sin_addr.s_addr), ntohs(from.sin_port)}};
}

class SnatPorts : public SnatTest {
protected:
    // What `agentctl nat stats` has of the destination: ports in use.
    [[nodiscard]] std::uint64_t ports_towards(const SocketAddress& destination) {
        const auto stats = node(1).agentctl_json({"nat", "stats"});
        for (const auto& record : stats.at("destinations")) {
            if (record.at("destinationIP") == destination.address.to_string() &&
                record.at("destinationPort") == destination.port) {
                EXPECT_EQ(record.at("natIP"), node(1).address().to_string());
                return record.at("ports");
            }
        }
        return 0;
    }
    // What `agentctl status` says of `snat`; empty while nobody answers.
    [[nodiscard]] std::string snat_health() {
        const auto status = nlohmann::json::parse(node(1).agentctl({"status", "-o", "json"}).out, nullptr, false);
        if (status.is_discarded()) {
            return "";
        }
        for (const auto& subsystem : status.at("subsystems")) {
            if (subsystem.at("name") == "snat") {
                return fmt::format("{}: {}", subsystem.at("state").get<std::string>(),
                                   subsystem.at("reason").get<std::string>());
            }
        }
        return "";
    }
    [[nodiscard]] bool comes_to_say(const std::string& health) {
        return wait_until([&] { return snat_health() == health; }, 5s);
    }
    [[nodiscard]] std::uint64_t translations_of(const Pod& pod) {
        const auto stats = node(1).agentctl_json({"nat", "stats"});
        for (const auto& record : stats.at("pods")) {
            if (record.at("podIP") == pod.address().to_string()) {
                return record.at("translations");
            }
        }
        return 0;
    }
};

TEST_F(SnatPorts, FiveThousandConnections_AllWorkAndAreAllShownBesideTheHostsOwn) {
    constexpr unsigned from_each = 2500;
    const auto& other = node(1).add_pod("c");
    TcpStream of_the_host(node(1).endpoint(), outside());
    HeldConnections connections(outside());
    EXPECT_EQ(connections.open(pod_a().endpoint(), from_each), "");
    EXPECT_EQ(connections.open(other.endpoint(), from_each), "");
    EXPECT_EQ(connections.ports_seen().size(), 2 * from_each);
    EXPECT_EQ(connections.addresses_seen(), std::set{node(1).address()});
    const auto before = of_the_host.received();
    EXPECT_EQ(connections.echo_on_each(), "");

    const auto listed = node(1).agentctl_json({"nat", "list"});
    EXPECT_EQ(std::ranges::count_if(
                  listed, [&](const auto& record) { return record.at("destinationPort") == connections.at().port; }),
              2 * from_each);
    EXPECT_EQ(ports_towards(connections.at()), 2 * from_each);
    EXPECT_EQ(translations_of(pod_a()), from_each);
    EXPECT_EQ(translations_of(other), from_each);
    EXPECT_EQ(node(1).agentctl({"status"}).status, 0);
    EXPECT_TRUE(wait_until([&] { return of_the_host.received() > before + 1'000'000; }, 8s));
    EXPECT_EQ(of_the_host.stop(), "");
    EXPECT_EQ(drops(), "[]");
}

class SnatFewPorts : public SnatPorts {
protected:
    [[nodiscard]] ClusterOptions options() const override {
        ClusterOptions options;
        options.extra_config = "snat: {portRange: 20000-20063}\n";
        return options;
    }
};

TEST_F(SnatFewPorts, PortsThatAreAllTaken_RefuseTheNextServeOthersAndComeBackWithinTenSeconds) {
    constexpr unsigned all = 64;
    HeldConnections connections(outside());
    EXPECT_EQ(connections.open(pod_a().endpoint(), all), "");
    EXPECT_EQ(connections.ports_seen().size(), all);
    EXPECT_EQ(*connections.ports_seen().begin(), 20000);
    EXPECT_EQ(*connections.ports_seen().rbegin(), 20063);
    EXPECT_EQ(drops(), "[]");

    EXPECT_NE(connections.open(pod_a().endpoint(), 1), "");
    EXPECT_GE(node(1).drops("nat-ports-exhausted", "to-underlay"), 1U);
    EXPECT_EQ(ports_towards(connections.at()), all);
    EXPECT_EQ(connections.echo_on_each(), "");

    HeldConnections elsewhere(outside());
    EXPECT_EQ(elsewhere.open(pod_a().endpoint(), all), "");
    EXPECT_EQ(elsewhere.ports_seen(), connections.ports_seen());

    connections.reset(all / 2);
    connections.finish(all / 2);
    // Then they are free, whatever agentctl says.
    static_cast<void>(wait_until([&] { return ports_towards(connections.at()) == 0; }, 10s));
    EXPECT_EQ(connections.open(pod_a().endpoint(), all), "");
    EXPECT_EQ(connections.echo_on_each(), "");
    EXPECT_EQ(elsewhere.echo_on_each(), "");
}

TEST_F(SnatFewPorts, MoreThanNineTenthsOfTheDestinationsPorts_DegradeUntilTheyEnd) {
    HeldConnections connections(outside());
    ASSERT_EQ(connections.open(pod_a().endpoint(), 57), "");
    EXPECT_TRUE(comes_to_say("ok: 57 of 131072 translations, ports 20000-20063")) << snat_health();
    EXPECT_EQ(node(1).agentctl({"status"}).status, 0);

    ASSERT_EQ(connections.open(pod_a().endpoint(), 1), "");
    EXPECT_TRUE(comes_to_say(
        fmt::format("degraded: 58 of 131072 translations, ports 20000-20063: 58 of 64 ports in use towards tcp {}:{} "
                    "from {}",
                    outside_address, connections.at().port, node(1).address())))
        << snat_health();
    const auto status = node(1).agentctl({"status"});
    EXPECT_EQ(status.status, 5);
    EXPECT_THAT(status.out, HasSubstr("agentctl nat stats"));
    const auto destination = node(1).agentctl_json({"nat", "stats"}).at("destinations").at(0);
    EXPECT_EQ(destination.at("ports"), 58);
    EXPECT_EQ(destination.at("maxPorts"), 64);
    EXPECT_EQ(destination.at("usedPercent"), 90);

    connections.reset(58);
    EXPECT_TRUE(wait_until([&] { return node(1).agentctl({"status"}).status == 0; }, 13s)) << snat_health();
}

TEST_F(SnatFewPorts, TurnedOffAndOnAgain_NothingIsLeftOfEarlierTranslations) {
    constexpr unsigned all = 64;
    HeldConnections earlier(outside());
    ASSERT_EQ(earlier.open(pod_a().endpoint(), all), "");
    EXPECT_EQ(node(1).agentctl_json({"nat", "list"}).size(), all);

    node(1).set_extra_config("snat: {enabled: false}\n");
    EXPECT_TRUE(comes_to_say("ok: turned off: pods reach the outside with their own addresses")) << snat_health();
    EXPECT_TRUE(wait_until([&] { return node(1).agentctl_json({"nat", "list"}).empty(); }, 3s));
    const auto counts = node(1).agentctl_json({"map", "dump", "nat_ports_by_destination", "nat_by_reply"});
    EXPECT_EQ(counts.at(0).at("entries").dump(), "[]");
    EXPECT_EQ(counts.at(1).at("entries").dump(), "[]");

    node(1).set_extra_config("snat: {portRange: 20000-20063}\n");
    EXPECT_TRUE(comes_to_say("ok: 0 of 131072 translations, ports 20000-20063")) << snat_health();
    node(1).wait_ready();
    HeldConnections later(outside());
    EXPECT_EQ(later.open(pod_a().endpoint(), all), "");
    EXPECT_EQ(later.addresses_seen(), std::set{node(1).address()});
    EXPECT_EQ(node(1).agentctl_json({"nat", "list"}).size(), all);
}

TEST_F(SnatFewPorts, PortOfTheHostTowardsThePodsDestination_BothGetWhatIsTheirs) {
    HeldConnections connections(outside());
    ASSERT_EQ(connections.open(pod_a().endpoint(), 1, port_of_the_range), "");
    EXPECT_EQ(connections.last_seen_as().port, port_of_the_range);
    ASSERT_EQ(connections.open(node(1).endpoint(), 1, port_of_the_range), "");
    EXPECT_EQ(connections.last_seen_as().address, node(1).address());
    EXPECT_NE(connections.last_seen_as().port, port_of_the_range);
    EXPECT_EQ(connections.echo_on_each(), "");

    HeldConnections host_first(outside());
    ASSERT_EQ(host_first.open(node(1).endpoint(), 1, port_of_the_range), "");
    EXPECT_EQ(host_first.last_seen_as().port, port_of_the_range);
    ASSERT_EQ(host_first.open(pod_a().endpoint(), 1, port_of_the_range), "");
    EXPECT_NE(host_first.last_seen_as().port, port_of_the_range);
    EXPECT_EQ(host_first.echo_on_each(), "");
    EXPECT_EQ(connections.echo_on_each(), "");
}

TEST_F(SnatFewPorts, DatagramsOfTheHostFromThePodsPort_AreAnsweredToTheHost) {
    const Fd server = datagram_socket(outside_, {outside_address, 4000});
    const Fd of_the_pod = datagram_socket(pod_a().ns(), {{}, port_of_the_range});
    const Fd of_the_host = datagram_socket(node(1).ns(), {node(1).address(), port_of_the_range});
    const auto ask = [&](const Fd& client, const std::string& text) {
        send_text(client, {outside_address, 4000}, text);
        const auto asked = hear(server);
        EXPECT_EQ(asked.from.address, node(1).address());
        send_text(server, asked.from, asked.text);
        EXPECT_EQ(hear(client).text, text);
        return asked.from.port;
    };
    EXPECT_EQ(ask(of_the_pod, "pod"), port_of_the_range);
    const auto other = ask(of_the_host, "host");
    EXPECT_NE(other, port_of_the_range);
    EXPECT_EQ(ask(of_the_pod, "pod again"), port_of_the_range);
    EXPECT_EQ(ask(of_the_host, "host again"), other);
}

TEST_F(SnatFewPorts, WhatTheOutsideSendsUnasked_IsTheHosts) {
    const auto other_address = Ipv4Address::from_host(SnatTest::outside_address.host() + 1);
    ip(outside_, fmt::format("address add {}/24 dev eth0", other_address));
    const Fd server = datagram_socket(outside_, {outside_address, 4000});
    const Fd of_the_pod = datagram_socket(pod_a().ns(), {{}, port_of_the_range});
    const Fd of_the_host = datagram_socket(node(1).ns(), {node(1).address(), port_of_the_range});
    send_text(of_the_pod, {outside_address, 4000}, "asks");
    const SocketAddress translated{node(1).address(), port_of_the_range};
    ASSERT_EQ(hear(server).from.port, port_of_the_range);

    for (const SocketAddress& stranger : {SocketAddress{outside_address, 4001}, SocketAddress{other_address, 4000}}) {
        send_text(datagram_socket(outside_, stranger), translated, "stranger");
        EXPECT_EQ(hear(of_the_host).text, "stranger");
    }
    send_text(server, translated, "answers");
    EXPECT_EQ(hear(of_the_pod).text, "answers") << "and nothing before it";
    EXPECT_THAT(ask_service(outside_, translated, 1).problem, HasSubstr("Connection refused"));
}

TEST_F(SnatFewPorts, AnotherRangeAfterARestart_LeavesConnectionsTheirPorts) {
    HeldConnections connections(outside());
    ASSERT_EQ(connections.open(pod_a().endpoint(), 20), "");
    const Fd server = datagram_socket(outside_, {outside_address, 4000});
    const Fd of_the_pod = datagram_socket(pod_a().ns(), {{}, port_of_the_range});
    send_text(of_the_pod, {outside_address, 4000}, "before");
    const auto asked = hear(server);

    node(1).kill_agent();
    node(1).set_extra_config("snat: {portRange: 21000-21999}\n");
    node(1).start_agent();
    node(1).wait_ready();

    EXPECT_EQ(connections.echo_on_each(), "");
    send_text(server, asked.from, "after");
    EXPECT_EQ(hear(of_the_pod).text, "after");
    ASSERT_EQ(connections.open(pod_a().endpoint(), 1), "");
    EXPECT_GE(connections.last_seen_as().port, 21000);
    EXPECT_LE(connections.last_seen_as().port, 21999);
    EXPECT_EQ(connections.echo_on_each(), "");
    EXPECT_EQ(drops(), "[]");
}

}  // namespace
}  // namespace podlane::net
