// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include <array>
#include <cstring>
#include <optional>
#include <set>
#include <thread>

#include "test/prog/harness/nat.h"

// Which port a flow gets, and what happens when there is none left. The range has 64 ports.
namespace podlane::prog {
namespace {

const std::vector<const char*> senders{"web", "db", "small"};

Frame flow(std::size_t number, Ipv4Address to = outside_ip) {
    const Pod& sender = pod(senders[number % senders.size()]);
    return from_pod(sender, to, Udp{static_cast<std::uint16_t>(30000 + number), 4000});
}

Frame connection(std::size_t number, std::uint8_t flags = tcp_flag::syn) {
    const Pod& sender = pod(senders[number % senders.size()]);
    return from_pod(sender, outside_ip, Tcp{static_cast<std::uint16_t>(30000 + number), 80, flags});
}

class NatPorts : public NatTest {
protected:
    // Opens a connection, and has both sides close it.
    static void open_and_close(std::size_t number) {
        const std::uint16_t port = leaves(connection(number));
        leaves(connection(number, tcp_flag::fin | tcp_flag::ack));
        const Frame last = outside_sends(n1_ip, Tcp{80, port, tcp_flag::fin | tcp_flag::ack});
        EXPECT_EQ(node().run(underlay_in, bytes(last)).verdict, Verdict::redirect);
        node().forget_counters();
    }
    // Opens so many flows, each of which must get a port; returns the ports.
    static std::multiset<std::uint16_t> open(std::size_t count, Ipv4Address to = outside_ip) {
        std::multiset<std::uint16_t> ports;
        for (std::size_t i = 0; i < count; ++i) {
            ports.insert(leaves(flow(i, to)));
        }
        return ports;
    }
    // The block that has a free port may not be the first to be searched; a repeated packet finds it.
    static std::optional<std::uint16_t> port_taken_by(const Frame& frame) {
        for (int i = 0; i < 100; ++i) {
            const Outcome outcome = goes_out(frame);
            if (outcome.verdict == Verdict::pass) {
                return source_port(outcome.packet);
            }
        }
        return std::nullopt;
    }
    // As if nat_sweep had been stopped before it removes them.
    static void give_claims_up() {
        auto all = map<spec::nat_by_reply>();
        for (auto [key, claim] : must(all.entries())) {
            claim.flow = {};
            must(all.update(key, claim));
        }
    }
    static void make_claims_old() {
        auto all = map<spec::nat_by_reply>();
        for (auto [key, claim] : must(all.entries())) {
            claim.since -= 1'000'000'000U;
            must(all.update(key, claim));
        }
    }
    // With flows of nobody, but for those that are there already.
    static void fill_table(std::size_t there) {
        std::vector<flow_key> keys(spec::nat_by_flow::capacity - there);
        const std::vector<nat_entry> entries(keys.size());
        for (std::size_t i = 0; i < keys.size(); ++i) {
            keys[i].pod_address = static_cast<__be32>(i + 1);
        }
        must(map<spec::nat_by_flow>().update_all(keys, entries));
    }
    static std::multiset<std::uint16_t> whole_range() {
        std::multiset<std::uint16_t> ports;
        for (std::uint32_t port = nat_range.first; port <= nat_range.last; ++port) {
            ports.insert(static_cast<std::uint16_t>(port));
        }
        return ports;
    }
};

TEST_F(NatPorts, EveryPortOfTheRangeIsUsedBeforeAFlowIsRefused) {
    for (int round = 0; round < 5; ++round) {
        SetUp();
        EXPECT_EQ(open(nat_range.size()), whole_range());
        EXPECT_TRUE(drops(underlay_out, bytes(forwarded(flow(100))), DROP_NAT_PORTS_EXHAUSTED));
        EXPECT_EQ(translations(), nat_range.size());
        EXPECT_EQ(claims(), nat_range.size());
        // The others go on, and another destination has ports of its own.
        EXPECT_TRUE(nat_range.contains(leaves(flow(0))));
        EXPECT_EQ(open(nat_range.size(), address("203.0.113.11")), whole_range());
    }
}

TEST_F(NatPorts, EveryPortIsUsedWithoutCountsToo) {
    // Counts are hints: they may be evicted.
    std::multiset<std::uint16_t> ports = open(50);
    auto counts = map<spec::nat_ports_by_destination>();
    for (const auto& [key, value] : must(counts.entries())) {
        must(counts.erase(key));
    }
    int refused = 0;
    for (std::size_t i = 50; ports.size() < nat_range.size() && refused < 100; ++i) {
        const Outcome outcome = goes_out(flow(i));
        if (outcome.verdict == Verdict::drop) {
            ++refused;
        } else {
            ports.insert(source_port(outcome.packet));
        }
    }
    EXPECT_EQ(ports, whole_range());
}

TEST_F(NatPorts, CountsAreThoseOfTheTable) {
    open(40);
    const auto counts = must(map<spec::nat_ports_by_destination>().entries());
    ASSERT_EQ(counts.size(), 1U);
    std::array<int, NAT_BLOCKS_MAX> expected{};
    for (const auto& [key, claim] : must(map<spec::nat_by_reply>().entries())) {
        expected.at((ntohs(key.nat_port) - nat_range.first) / 8U) += 1;
    }
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), counts[0].second.used));
    EXPECT_EQ(flows_of(web_ip) + flows_of(db_ip) + flows_of(small_ip), 40);
}

TEST_F(NatPorts, ExpiredTranslation_IsTakenOverInPlace) {
    open(nat_range.size());
    const std::uint16_t freed = leaves(flow(7));
    age(flow(7), std::chrono::seconds(300));
    EXPECT_EQ(port_taken_by(flow(200)), freed);
    EXPECT_FALSE(entry_of(flow(7)).has_value());
    EXPECT_EQ(translations(), nat_range.size());
    EXPECT_EQ(claims(), nat_range.size());
    EXPECT_EQ(flows_of(web_ip) + flows_of(db_ip) + flows_of(small_ip), static_cast<std::int64_t>(nat_range.size()));
}

TEST_F(NatPorts, ClosedConnections_MakeWayForNewOnesAsSoonAsNothingElseIsFree) {
    for (std::size_t i = 0; i < nat_range.size(); ++i) {
        open_and_close(i);
        age(connection(i), std::chrono::seconds(1));
    }
    EXPECT_EQ(translations(), nat_range.size()) << "none before the range was used up";
    std::set<std::uint16_t> ports;
    for (std::size_t i = 0; i < nat_range.size(); ++i) {
        ports.insert(leaves(connection(100 + i)));
    }
    EXPECT_EQ(ports.size(), nat_range.size()) << "each its own";
    EXPECT_EQ(translations(), nat_range.size());
    EXPECT_EQ(claims(), nat_range.size());
    EXPECT_EQ(flows_of(web_ip) + flows_of(db_ip) + flows_of(small_ip), static_cast<std::int64_t>(nat_range.size()));
}

TEST_F(NatPorts, ConnectionThatIsNotOverOnBothSides_OrOnlyJust_IsNotTakenOver) {
    for (std::size_t i = 0; i < nat_range.size(); ++i) {
        if (i % 2 == 0) {
            open_and_close(i);
            age(connection(i), std::chrono::seconds(-100));  // this very moment, however slow the machine
        } else {
            leaves(connection(i));
            leaves(connection(i, tcp_flag::fin | tcp_flag::ack));
            age(connection(i), std::chrono::seconds(200));
        }
    }
    for (std::size_t i = 0; i < 50; ++i) {
        EXPECT_TRUE(drops(underlay_out, bytes(forwarded(connection(100 + i))), DROP_NAT_PORTS_EXHAUSTED));
    }
    EXPECT_EQ(translations(), nat_range.size());
}

TEST_F(NatPorts, ClaimWithoutAFlow_IsTakenOverOnceItIsOld) {
    open(nat_range.size());
    const std::uint16_t freed = leaves(flow(7));
    must(map<spec::nat_by_flow>().erase(flow_of(flow(7))));
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(goes_out(flow(200)).verdict, Verdict::drop) << "it may be on its way into the table";
    }
    make_claims_old();
    EXPECT_EQ(port_taken_by(flow(200)), freed);
}

// nat_sweep removes it by its key, whoever has it by then.
TEST_F(NatPorts, ClaimThatIsBeingRemoved_IsNeverTakenOver) {
    open(nat_range.size());
    give_claims_up();
    make_claims_old();
    for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(drops(underlay_out, bytes(forwarded(flow(200))), DROP_NAT_PORTS_EXHAUSTED));
    }
    for (const auto& [key, claim] : must(map<spec::nat_by_reply>().entries())) {
        EXPECT_EQ(claim.flow.pod_address, 0U);
    }
}

TEST_F(NatPorts, ClaimOfAFlowThatHasAnotherTuple_IsTakenOverAndTheFlowStays) {
    open(nat_range.size());
    const std::uint16_t freed = leaves(flow(7));
    auto moved = entry_of(flow(7)).value();
    moved.nat_port = htons(far_port);
    must(map<spec::nat_by_flow>().update(flow_of(flow(7)), moved));
    // Whoever sends to the port is not answered by that flow.
    Frame reply = outside_sends(n1_ip, Udp{4000, freed});
    EXPECT_TRUE(leaves_alone(underlay_in, bytes(reply)));
    make_claims_old();
    EXPECT_EQ(port_taken_by(flow(200)), freed);
    EXPECT_EQ(entry_of(flow(7))->nat_port, htons(far_port));
}

// As if another CPU, which is about to put the same flow into the table, had made the claim.
TEST_F(NatPorts, ClaimThatTheFlowFoundAsItsOwn_IsNotItsToGiveBack) {
    const Frame sent = from_pod(pod("web"), outside_ip, Udp{kept_port, 4000});
    leaves(sent);
    must(map<spec::nat_by_flow>().erase(flow_of(sent)));
    fill_table(0);
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(sent)), DROP_NAT_TABLE_FULL));
    EXPECT_EQ(claims(), 1U);
}

TEST_F(NatPorts, PodThatHoldsItsShare_OpensNoMore) {
    must(map<spec::nat_flows_by_pod>().update(web_ip.wire(),
                                              {nat_config_for(nat_range.first, nat_range.last).flows_per_pod}));
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(flow(0))), DROP_NAT_POD_SHARE_EXCEEDED));
    EXPECT_TRUE(nat_range.contains(leaves(flow(1)))) << "another pod's";
}

TEST_F(NatPorts, FullTable_RefusesTheNewAndKeepsTheOld) {
    const std::uint16_t port = leaves(flow(0));
    fill_table(1);
    EXPECT_TRUE(drops(underlay_out, bytes(forwarded(flow(1))), DROP_NAT_TABLE_FULL));
    EXPECT_EQ(claims(), 1U) << "given back";
    EXPECT_EQ(leaves(flow(0)), port);
}

TEST_F(NatPorts, ManyFlowsForFewPorts_NeverShareOne) {
    // Four threads open flows for the 64 ports of one destination, some of them the very same flows.
    constexpr std::size_t flows = 96;
    std::vector<std::vector<Outcome>> seen(4);
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < seen.size(); ++thread) {
        threads.emplace_back([&seen, thread] {
            for (std::size_t round = 0; round < 20; ++round) {
                for (std::size_t i = 0; i < flows; ++i) {
                    const Frame frame = forwarded(flow((i * 7 + thread * (round % 3)) % flows));
                    seen[thread].push_back(node().run(underlay_out, bytes(frame)));
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    node().forget_counters();
    // Every flow has one port, and every port one flow.
    const auto table = must(map<spec::nat_by_flow>().entries());
    std::map<std::uint16_t, flow_key> by_port;
    for (const auto& [key, entry] : table) {
        EXPECT_TRUE(by_port.emplace(ntohs(entry.nat_port), key).second) << ntohs(entry.nat_port);
        schema::nat_by_reply_key reply{};
        reply.nat_address = entry.nat_address;
        reply.nat_port = entry.nat_port;
        reply.remote_address = key.remote_address;
        reply.remote_port = key.remote_port;
        reply.protocol = key.protocol;
        const auto claim = must(map<spec::nat_by_reply>().lookup(reply));
        ASSERT_TRUE(claim.has_value());
        EXPECT_EQ(std::memcmp(&claim->flow, &key, sizeof(key)), 0);
    }
    EXPECT_EQ(table.size(), nat_range.size());
    EXPECT_EQ(claims(), nat_range.size());
    // What left, left by the port that its flow has.
    for (const auto& outcomes : seen) {
        for (const Outcome& outcome : outcomes) {
            if (outcome.verdict == Verdict::pass) {
                EXPECT_TRUE(by_port.contains(source_port(outcome.packet)));
            }
        }
    }
}

}  // namespace
}  // namespace podlane::prog
