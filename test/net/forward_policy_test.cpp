// SPDX-License-Identifier: Apache-2.0
// A FORWARD chain with policy DROP, as Docker leaves it, in the way of pods' packets through the host's stack.
//
//   pod a --- node 1: Docker's rules, Service 10.32.0.10:80 = pod b:8080, port 8080 = pod a:8080
//                 \=== VXLAN === node 2 --- pod b
#include <fcntl.h>
#include <sys/file.h>

#include <future>
#include <thread>

#include <gmock/gmock.h>

#include "test/net/harness/sandbox.h"
#include "test/net/harness/service.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;
using testing::Not;

// As Docker 24 makes them, in iptables-restore's form.
constexpr const char* docker_rules =
    "*filter\n"
    ":FORWARD DROP [0:0]\n"
    ":DOCKER - [0:0]\n"
    ":DOCKER-ISOLATION-STAGE-1 - [0:0]\n"
    ":DOCKER-ISOLATION-STAGE-2 - [0:0]\n"
    ":DOCKER-USER - [0:0]\n"
    "-A FORWARD -j DOCKER-USER\n"
    "-A FORWARD -j DOCKER-ISOLATION-STAGE-1\n"
    "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    "-A FORWARD -o docker0 -j DOCKER\n"
    "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n"
    "-A FORWARD -i docker0 -o docker0 -j ACCEPT\n"
    "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2\n"
    "-A DOCKER-ISOLATION-STAGE-1 -j RETURN\n"
    "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP\n"
    "-A DOCKER-ISOLATION-STAGE-2 -j RETURN\n"
    "-A DOCKER-USER -j RETURN\n"
    "COMMIT\n";

constexpr const char* our_rules =
    "-A FORWARD -s 10.244.0.0/16 -m comment --comment \"podlane: pod traffic\" -j ACCEPT\n"
    "-A FORWARD -d 10.244.0.0/16 -m comment --comment \"podlane: pod traffic\" -j ACCEPT\n";

// "iptables-nft" or "iptables-legacy".
class ForwardPolicyTest : public TwoNodes, public testing::WithParamInterface<const char*> {
protected:
    void SetUp() override {
        // Newer kernels may be built without ip_tables.
        if (const auto listed = run(Namespace("probe"), {GetParam(), "-S"}); !listed.ok()) {
            GTEST_SKIP() << "this kernel has no tables for " << GetParam() << ": " << listed.err;
        }
        TwoNodes::SetUp();
        a_ = std::make_unique<Backend>(pod_a().ns(), SocketAddress{pod_a().address(), 8080}, Transport::tcp, "a");
        b_ = std::make_unique<Backend>(pod_b().ns(), SocketAddress{pod_b().address(), 8080}, Transport::tcp, "b");
        translate(service_, pod_b());
        translate(host_port_, pod_a());
    }

    std::string iptables(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {GetParam(), "-w"});
        return must_run(node(1).ns(), arguments);
    }
    void restore(const std::string& rules) {
        RunOptions options;
        options.input = rules;
        must_run(node(1).ns(), {std::string(GetParam()) + "-restore", "-w"}, options);
    }
    std::string saved() {
        const auto done = run(node(1).ns(), {std::string(GetParam()) + "-save", "-t", "filter"});
        EXPECT_EQ(done.err, "");
        return done.out;
    }
    std::string listed() { return iptables({"-S", "FORWARD"}); }
    // Without the counters' sake a rule is there or not.
    bool wait_for_our_rules(std::chrono::milliseconds timeout) {
        return wait_until([&] { return listed().contains(our_rules); }, timeout);
    }
    void docker_starts() {
        restore(docker_rules);
        ASSERT_TRUE(wait_for_our_rules(20s)) << listed();
    }
    Served through_the_service() { return ask_service(pod_a().ns(), service_, 20); }
    Served through_the_host_port() { return ask_service(node(2).ns(), host_port_, 20); }
    void expect_both_pass() {
        const auto by_service = through_the_service();
        EXPECT_EQ(by_service.problem, "");
        EXPECT_EQ(by_service.by, (std::map<std::string, unsigned>{{fmt::format("b {}", pod_a().address()), 20}}));
        const auto by_port = through_the_host_port();
        EXPECT_EQ(by_port.problem, "");
        EXPECT_EQ(by_port.by, (std::map<std::string, unsigned>{{fmt::format("a {}", node(2).address()), 20}}));
    }
    Completed clean_up(const std::vector<std::string>& further = {}) {
        std::vector<std::string> command = {(program_dir() / "podlane-agent").string(), "cleanup"};
        command.insert(command.end(), further.begin(), further.end());
        command.insert(command.end(), {"--config", node(1).config_file().string()});
        return run(node(1).ns(), command);
    }

    const SocketAddress service_{Ipv4Address::parse("10.32.0.10").value(), 80};
    const SocketAddress host_port_{Cluster::node_address(1), 8080};

private:
    void translate(const SocketAddress& from, const Pod& to) {
        iptables({"-t", "nat", "-A", "PREROUTING", "-d", from.address.to_string(), "-p", "tcp", "--dport",
                  std::to_string(from.port), "-j", "DNAT", "--to-destination", fmt::format("{}:8080", to.address())});
    }
    std::unique_ptr<Backend> a_;
    std::unique_ptr<Backend> b_;
};

TEST_P(ForwardPolicyTest, PodsPacketsThroughTheHostsStack_PassADropPolicy) {
    expect_both_pass();
    docker_starts();
    expect_both_pass();
    expect_ping(pod_a().ns(), pod_b().address());
    // What they are up against.
    node(1).stop_agent();
    iptables({"-F", "FORWARD"});
    EXPECT_NE(through_the_service().problem, "");
    EXPECT_NE(through_the_host_port().problem, "");
    node(1).start_agent();
    node(1).wait_ready();
    expect_both_pass();
}

TEST_P(ForwardPolicyTest, Rules_StandAtTheChainsEndAsIptablesWritesThem) {
    docker_starts();
    EXPECT_THAT(listed(), testing::EndsWith(std::string("-A FORWARD -i docker0 -o docker0 -j ACCEPT\n") + our_rules));
    EXPECT_THAT(saved(), HasSubstr(our_rules));
    EXPECT_EQ(run(node(1).ns(), {GetParam(), "-S"}).err, "");
    // Deleted by their text, as any other rule.
    node(1).stop_agent();
    for (const char* side : {"-s", "-d"}) {
        iptables({"-D", "FORWARD", side, "10.244.0.0/16", "-m", "comment", "--comment", "podlane: pod traffic", "-j",
                  "ACCEPT"});
    }
    EXPECT_THAT(listed(), Not(HasSubstr("podlane")));
}

TEST_P(ForwardPolicyTest, UsersOwnDrop_StillDrops) {
    docker_starts();
    iptables({"-I", "DOCKER-USER", "-d", pod_b().address().to_string(), "-j", "DROP"});
    EXPECT_NE(through_the_service().problem, "");
    EXPECT_EQ(through_the_host_port().problem, "");
}

TEST_P(ForwardPolicyTest, FlushedRules_AreBackAndSoIsTraffic) {
    docker_starts();
    iptables({"-F", "FORWARD"});
    // Of iptables-legacy nothing tells: it is looked at every three seconds.
    EXPECT_TRUE(wait_for_our_rules(std::string(GetParam()) == "iptables-nft" ? 10s : 20s)) << listed();
    expect_both_pass();
    iptables({"-D", "FORWARD", "1"});
    EXPECT_TRUE(wait_until([&] { return listed().contains("-s 10.244.0.0/16"); }, 20s)) << listed();
    expect_both_pass();
    const auto repairs = node(1).agentctl_json({"status"}).at("details").at("repairs").at("bySubsystem");
    EXPECT_GE(repairs.at("firewall").get<int>(), 3) << repairs;
}

TEST_P(ForwardPolicyTest, PolicyThatAcceptsAgain_TakesTheRulesAway) {
    const auto before = listed();
    docker_starts();
    iptables({"-P", "FORWARD", "ACCEPT"});
    EXPECT_TRUE(wait_until([&] { return !listed().contains("podlane"); }, 20s)) << listed();
    iptables({"-F", "FORWARD"});
    EXPECT_EQ(listed(), before);
}

TEST_P(ForwardPolicyTest, RulesSavedAndRestoredByTheUser_AreKnownForOurs) {
    docker_starts();
    restore(saved());
    std::this_thread::sleep_for(3500ms);  // more than an audit
    EXPECT_THAT(listed(), testing::EndsWith(std::string("-A FORWARD -i docker0 -o docker0 -j ACCEPT\n") + our_rules));
    // Twice is once too often.
    iptables(
        {"-A", "FORWARD", "-s", "10.244.0.0/16", "-m", "comment", "--comment", "podlane: pod traffic", "-j", "ACCEPT"});
    EXPECT_TRUE(wait_until([&] { return listed().ends_with(our_rules); }, 20s)) << listed();
    node(1).stop_agent();
    EXPECT_TRUE(clean_up().ok());
    EXPECT_THAT(listed(), Not(HasSubstr("podlane")));
}

TEST_P(ForwardPolicyTest, Cleanup_LeavesTheRulesAsTheyWereBeforeTheStart) {
    node(1).stop_agent();
    ASSERT_TRUE(clean_up().ok());
    restore(docker_rules);
    const auto before = iptables({"-S"}) + iptables({"-t", "nat", "-S"});
    node(1).start_agent();
    node(1).wait_ready();
    EXPECT_THAT(listed(), HasSubstr(our_rules));
    node(1).stop_agent();
    const auto planned = clean_up({"--dry-run"});
    EXPECT_THAT(planned.out, HasSubstr(std::string(GetParam()) + ": -D FORWARD -s 10.244.0.0/16"));
    EXPECT_THAT(listed(), HasSubstr(our_rules));
    const auto done = clean_up();
    EXPECT_TRUE(done.ok()) << done.describe();
    EXPECT_EQ(done.out, planned.out + "remains: nothing\n");
    EXPECT_EQ(iptables({"-S"}) + iptables({"-t", "nat", "-S"}), before);
}

TEST_P(ForwardPolicyTest, CleanupWhileIptablesLockIsHeld_WaitsForIt) {
    docker_starts();
    node(1).stop_agent();
    auto lock =
        std::async(std::launch::async, [&] { must_run(node(1).ns(), {"flock", "/run/xtables.lock", "sleep", "2"}); });
    std::this_thread::sleep_for(200ms);
    const auto done = clean_up();
    EXPECT_TRUE(done.ok()) << done.describe();
    EXPECT_THAT(done.out, HasSubstr("delete link podlane0"));
    lock.get();
    EXPECT_THAT(listed(), Not(HasSubstr("podlane")));
}

TEST_P(ForwardPolicyTest, StatusAndLinkList_SayWhatIsTheCase) {
    const auto reason = [&] {
        const auto status = node(1).agentctl_json({"status"});
        for (const auto& one : status.at("subsystems")) {
            if (one.at("name") == "firewall") {
                return one.at("reason").get<std::string>();
            }
        }
        return std::string();
    };
    const auto rules = [&] {
        auto items = node(1).agentctl_json({"link", "list"});
        std::erase_if(items.get_ref<nlohmann::json::array_t&>(),
                      [](const auto& item) { return item.at("kind") != "rule"; });
        return items;
    };
    EXPECT_EQ(reason(), "FORWARD accepts");
    EXPECT_EQ(rules().size(), 0U);
    docker_starts();
    EXPECT_EQ(reason(), fmt::format("FORWARD drops but for pods ({})", GetParam()));
    ASSERT_EQ(rules().size(), 2U);
    for (const auto& rule : rules()) {
        EXPECT_EQ(rule.at("name"), std::string(GetParam()) + " FORWARD");
        EXPECT_EQ(rule.at("state"), "ok");
        EXPECT_EQ(rule.at("wanted"), rule.at("actual"));
    }
}

INSTANTIATE_TEST_SUITE_P(Forms, ForwardPolicyTest, testing::Values("iptables-nft", "iptables-legacy"),
                         [](const auto& form) { return std::string(form.param).substr(9); });

class LegacyLockTest : public ForwardPolicyTest {};

// iptables' own lock: who holds it may be about to replace the whole table.
TEST_P(LegacyLockTest, HeldByAnotherProgram_IsWaitedForWithoutHoldingUpTheAgent) {
    Fd lock(::open("/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    RunOptions past_the_lock;
    past_the_lock.environment = {fmt::format("XTABLES_LOCKFILE={}", (node(1).run_dir() / "lock").string())};
    past_the_lock.input = docker_rules;
    must_run(node(1).ns(), {"iptables-legacy-restore", "-w"}, past_the_lock);
    std::this_thread::sleep_for(3500ms);  // more than an audit
    past_the_lock.input = "";
    const auto list = [&] { return must_run(node(1).ns(), {"iptables-legacy", "-w", "-S", "FORWARD"}, past_the_lock); };
    EXPECT_THAT(list(), Not(HasSubstr("podlane")));
    EXPECT_EQ(node(1).agentctl({"status"}).status, 0) << "busy for a moment is no fault";
    lock.reset();
    EXPECT_TRUE(wait_until([&] { return list().contains(our_rules); }, 10s)) << list();
}

INSTANTIATE_TEST_SUITE_P(Forms, LegacyLockTest, testing::Values("iptables-legacy"),
                         [](const auto& form) { return std::string(form.param).substr(9); });

class NoFilterTableTest : public TwoNodes {};

// Asking for a table of iptables-legacy makes it, and iptables-nft would warn of it from then on.
TEST_F(NoFilterTableTest, HostWithoutTables_StaysWithout) {
    EXPECT_EQ(must_run(node(1).ns(), {"cat", "/proc/net/ip_tables_names"}), "");
    EXPECT_EQ(must_run(node(1).ns(), {"nft", "list", "ruleset"}), "");
}

}  // namespace
}  // namespace podlane::net
