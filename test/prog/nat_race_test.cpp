// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "test/prog/harness/nat.h"

// Flows of several pods that are opened on every CPU at once for the few ports of one destination, while others expire,
// are swept and taken over. What is looked at holds whatever the timing was.
namespace podlane::prog {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC, which the programs read too

constexpr auto lifetime = 3s;                   // of a translation here: the least that there may be
constexpr auto surely_kept = lifetime - 500ms;  // since a packet; `last_seen` is written no more often
const std::vector<const char*> senders{"web", "db", "small"};

Frame flow(std::size_t number) {
    const Pod& sender = pod(senders[number % senders.size()]);
    return from_pod(sender, outside_ip, Udp{static_cast<std::uint16_t>(30000 + number), 4000});
}

nat_config short_lived() {
    nat_config config = nat_config_for(nat_range.first, nat_range.last);
    config.timeouts[NAT_STATE_UDP] = lifetime.count();
    return config;
}

// While packets of the flow left by the port, as one thread saw it; none of them can have let it expire.
struct Use {
    std::size_t flow;
    std::uint16_t port;
    Clock::time_point first_end;  // of the first packet's run
    Clock::time_point last_start;
};

class Opener {
public:
    Opener(const Node& node, unsigned number) : node_(node), number_(number) {}

    // Keeps 48 flows alive, and every half second gives up 8 of them for others.
    void run(Clock::time_point start, const std::stop_token& stop) {
        constexpr std::size_t alive = 48;
        while (!stop.stop_requested()) {
            const auto given_up = static_cast<std::size_t>((Clock::now() - start) / 500ms) * 8;
            for (std::size_t i = 0; i < alive && !stop.stop_requested(); ++i) {
                send(given_up + (i * (5 + 2 * (number_ % 2)) + number_ * 11) % alive);
            }
        }
    }
    [[nodiscard]] const std::vector<Use>& uses() const { return uses_; }
    [[nodiscard]] std::size_t refused() const { return refused_; }

private:
    void send(std::size_t flow_number) {
        const Bytes packet = bytes(forwarded(flow(flow_number)));
        const auto start = Clock::now();
        const Outcome outcome = node_.run(underlay_out, packet);
        const auto end = Clock::now();
        if (outcome.verdict != Verdict::pass) {
            ++refused_;
            return;
        }
        const std::uint16_t port = source_port(outcome.packet);
        const auto known = current_.find(flow_number);
        if (known != current_.end() && uses_[known->second].port == port &&
            end - uses_[known->second].last_start < surely_kept) {
            uses_[known->second].last_start = start;
            return;
        }
        current_[flow_number] = uses_.size();
        uses_.push_back({flow_number, port, end, start});
    }

    const Node& node_;
    unsigned number_;
    std::map<std::size_t, std::size_t> current_;  // index of a flow's last use
    std::vector<Use> uses_;
    std::size_t refused_ = 0;
};

void pin_to_cpu(std::jthread& thread, unsigned number) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(number % std::thread::hardware_concurrency(), &cpus);
    pthread_setaffinity_np(thread.native_handle(), sizeof(cpus), &cpus);
}

class NatRace : public NatTest {
protected:
    static Node& node() {
        static Node node("n1", short_lived(), "nat-race");
        return node;
    }
    void SetUp() override {
        NatTest::SetUp();
        reset_node(node());
    }
    // Of every two flows that had a port one was done with it for so long that it could be taken over.
    static void expect_never_shared(const std::vector<Use>& uses) {
        std::map<std::uint16_t, std::vector<Use>> by_port;
        for (const Use& use : uses) {
            by_port[use.port].push_back(use);
        }
        for (const auto& [port, users] : by_port) {
            for (const Use& one : users) {
                for (const Use& other : users) {
                    EXPECT_TRUE(one.flow == other.flow || other.first_end - one.last_start >= surely_kept ||
                                one.first_end - other.last_start >= surely_kept)
                        << "flows " << one.flow << " and " << other.flow << " at once by port " << port;
                }
            }
        }
    }
    static void expire_all() {
        auto table = map<spec::nat_by_flow>(node());
        for (auto [key, entry] : must(table.entries())) {
            entry.last_seen -= static_cast<std::uint64_t>(std::chrono::nanoseconds(lifetime).count());
            must(table.update(key, entry));
        }
    }
    static void expect_tables_agree() {
        const auto table = must(map<spec::nat_by_flow>(node()).entries());
        const auto all_claims = must(map<spec::nat_by_reply>(node()).entries());
        EXPECT_EQ(table.size(), all_claims.size());
        for (const auto& [reply, claim] : all_claims) {
            const auto entry = must(map<spec::nat_by_flow>(node()).lookup(claim.flow));
            EXPECT_TRUE(entry && entry->nat_port == reply.nat_port && entry->nat_address == reply.nat_address);
        }
        std::map<__be32, std::int64_t> by_pod;
        for (const auto& [key, entry] : table) {
            ++by_pod[key.pod_address];
        }
        for (const auto& [address, flows] : must(map<spec::nat_flows_by_pod>(node()).entries())) {
            EXPECT_EQ(flows.flows, by_pod[address]);
        }
    }
};

TEST_F(NatRace, FlowsThatComeAndGoOnEveryCpu_NeverShareAPortAndLeaveNothingBehind) {
    std::vector<Opener> openers;
    for (unsigned number = 0; number < 4; ++number) {
        openers.emplace_back(node(), number);
    }
    std::size_t swept = 0;
    {
        std::vector<std::jthread> threads;
        const auto start = Clock::now();
        for (unsigned number = 0; number < openers.size(); ++number) {
            Opener* opener = &openers[number];
            threads.emplace_back([=](const std::stop_token& stop) { opener->run(start, stop); });
            pin_to_cpu(threads.back(), number);
        }
        while (Clock::now() - start < 6s) {
            swept += sweep(node());
        }
    }
    node().forget_counters();

    std::vector<Use> uses;
    std::size_t refused = 0;
    for (const Opener& opener : openers) {
        uses.insert(uses.end(), opener.uses().begin(), opener.uses().end());
        refused += opener.refused();
    }
    EXPECT_GT(refused, 0U) << "not a race for few";
    expect_never_shared(uses);
    expect_tables_agree();

    expire_all();
    swept += sweep(node());
    EXPECT_GT(swept, 0U) << "while the race went on, takers may be faster";
    EXPECT_EQ(must(map<spec::nat_by_flow>(node()).entries()).size(), 0U);
    expect_tables_agree();
    std::set<std::uint16_t> ports;
    for (std::size_t i = 0; i < nat_range.size(); ++i) {
        const Outcome outcome = node().run(underlay_out, bytes(forwarded(flow(1000 + i))));
        EXPECT_EQ(outcome.verdict, Verdict::pass) << "number " << i;
        ports.insert(source_port(outcome.packet));
    }
    EXPECT_EQ(ports.size(), nat_range.size());
}

class NatFill : public NatTest {};

TEST_F(NatFill, NextToTheWholeRangeIsUsedBeforeTheFirstRefusal) {
    constexpr Ports range{20000, 20999};
    static Node wide("n1", nat_config_for(range.first, range.last), "nat-wide");
    reset_node(wide);
    std::atomic<std::size_t> opened{0};
    std::atomic<std::size_t> at_first_refusal{0};
    {
        std::vector<std::jthread> threads;
        for (std::size_t number = 0; number < 4; ++number) {
            threads.emplace_back([&, number] {
                for (std::size_t i = number; i < 2 * range.size() && at_first_refusal == 0; i += 4) {
                    if (wide.run(underlay_out, bytes(forwarded(flow(i)))).verdict == Verdict::pass) {
                        ++opened;
                    } else {
                        std::size_t none = 0;
                        at_first_refusal.compare_exchange_strong(none, opened);
                    }
                }
            });
            pin_to_cpu(threads.back(), static_cast<unsigned>(number));
        }
    }
    wide.forget_counters();
    EXPECT_GE(at_first_refusal, range.size() * 99 / 100);
    EXPECT_LE(at_first_refusal, range.size());
}

}  // namespace
}  // namespace podlane::prog
