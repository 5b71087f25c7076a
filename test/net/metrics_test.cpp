// SPDX-License-Identifier: Apache-2.0
// What agents tell of themselves over HTTP, and what is made of it in deploy/.
//
//   pod a (10.244.1.x) --- node 1 (192.168.0.1) === VXLAN on the wire === node 2 (192.168.0.2) --- pod b (10.244.2.x)
//                             |
//                          curl, promtool: 127.0.0.1:9479
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include <gmock/gmock.h>

#include "test/net/harness/prometheus.h"
#include "test/net/harness/scrape.h"
#include "test/net/harness/socket.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::filesystem::path source_tree = std::filesystem::path(PODLANE_TEST_DATA).parent_path().parent_path();
constexpr const char* base = "http://127.0.0.1:9479";

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(source_tree / path);
    EXPECT_TRUE(file.good()) << path;
    return {std::istreambuf_iterator<char>(file), {}};
}

// All metrics that a text names.
std::set<std::string> names_in(const std::string& text) {
    static const std::regex name(R"(\b(podlane|process)_[a-z0-9_]+\b)");
    std::set<std::string> names;
    for (std::sregex_iterator match(text.begin(), text.end(), name), end; match != end; ++match) {
        names.insert(match->str());
    }
    return names;
}

std::size_t occurrences(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++count;
    }
    return count;
}

std::string promtool() {
    return prometheus_program("promtool");
}

// promtool has nothing to say against it.
void expect_promtool_agrees(const Namespace& ns, const std::vector<std::string>& arguments,
                            const std::string& input = "") {
    std::vector<std::string> argv = {promtool()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const auto done = run(ns, argv, {.input = input, .environment = {}});
    EXPECT_TRUE(done.ok()) << done.describe();
}

class MetricsTest : public TwoNodes {
protected:
    [[nodiscard]] WebAnswer ask(const std::string& path) { return get(node(1).ns(), base + path); }
};

TEST_F(MetricsTest, LiveAgent_TellsWhatPromtoolAcceptsAndTheDocumentationHas) {
    expect_ping(pod_a().ns(), pod_b().address());
    const auto answer = ask("/metrics");
    ASSERT_EQ(answer.status, 200);
    if (!promtool().empty()) {
        expect_promtool_agrees(node(1).ns(), {"check", "metrics"}, answer.body);
    }
    std::set<std::string> told;
    const Scrape read(answer.body);
    for (const auto& [name, type] : read.types()) {
        told.insert(name);
    }
    EXPECT_EQ(told, names_in(text_of("docs/metrics.md")));
    EXPECT_THAT(answer.body, Not(HasSubstr(pod_a().address().to_string()))) << "nothing of single pods";
}

TEST_F(MetricsTest, DashboardAndAlerts_NameOnlyMetricsThatThereAre) {
    const auto types = scrape(node(1)).types();
    for (const auto* path : {"deploy/grafana/podlane.json", "deploy/prometheus/podlane.rules.yml"}) {
        const auto named = names_in(text_of(path));
        EXPECT_GT(named.size(), 10U) << path;
        for (const auto& name : named) {
            const auto family = std::regex_replace(name, std::regex("_(bucket|sum|count)$"), "");
            EXPECT_TRUE(types.contains(name) || (types.contains(family) && types.at(family) == "histogram"))
                << path << " names " << name;
        }
    }
    EXPECT_TRUE(nlohmann::json::accept(text_of("deploy/grafana/podlane.json")));
}

TEST(AlertsTest, EachAlert_FiresWhenItShouldAndNotOtherwise) {
    if (promtool().empty()) {
        GTEST_SKIP() << "there is no promtool: scripts/deps.sh gets it";
    }
    const Namespace ns("alerts");
    const auto folder = source_tree / "deploy/prometheus";
    expect_promtool_agrees(ns, {"check", "rules", (folder / "podlane.rules.yml").string()});
    expect_promtool_agrees(ns, {"test", "rules", (folder / "podlane.rules.test.yml").string()});
    const auto tests = text_of("deploy/prometheus/podlane.rules.test.yml");
    const auto rules = text_of("deploy/prometheus/podlane.rules.yml");
    static const std::regex alert(R"(- alert: (\w+))");
    for (std::sregex_iterator match(rules.begin(), rules.end(), alert), end; match != end; ++match) {
        EXPECT_THAT(tests, HasSubstr("alertname: " + (*match)[1].str() + "}")) << "that it is silent";
        EXPECT_THAT(tests, HasSubstr("alertname: " + (*match)[1].str() + "\n    exp_alerts")) << "that it fires";
    }
}

TEST_F(MetricsTest, Traffic_IsCountedByPathAndReason) {
    const auto before = scrape(node(1));
    expect_ping(pod_a().ns(), pod_b().address(), 5);
    EXPECT_EQ(probe_udp(pod_a().ns(), Ipv4Address::parse("10.244.99.1").value(), 64).kind,
              ProbeOutcome::Kind::unreachable);
    const auto drops = [](const Scrape& scrape) { return scrape.total("podlane_dropped_packets_total"); };
    ASSERT_TRUE(wait_until([&] { return drops(scrape(node(1))) > drops(before); }, 5s));
    const auto after = scrape(node(1));
    const auto grown = [&](const std::string& series) {
        return after.value(series).value_or(-1) - before.value(series).value_or(0);
    };
    EXPECT_GE(grown(R"(podlane_forwarded_packets_total{path="pod-to-overlay"})"), 5);
    EXPECT_GE(grown(R"(podlane_forwarded_bytes_total{path="pod-to-overlay"})"), 5 * 98);
    EXPECT_GE(grown(R"(podlane_forwarded_packets_total{path="overlay-to-pod"})"), 5);
    // The same as agentctl has it, from the same maps.
    double counted = 0;
    const auto dump = node(1).agentctl_json({"map", "dump", "drop_counters"});
    for (const auto& entry : dump.at(0).at("entries")) {
        counted += entry.at("value").at("packets").get<double>();
    }
    EXPECT_EQ(drops(scrape(node(1))), counted);
}

TEST_F(MetricsTest, NodeThatIsWell_SaysSo) {
    ASSERT_TRUE(wait_until(
        [&] { return scrape(node(1)).value(R"(podlane_map_entries{map="nat_fragments"})").has_value(); }, 10s));
    const auto now = scrape(node(1));
    EXPECT_EQ(now.value("podlane_ready"), 1);
    EXPECT_EQ(now.value("podlane_source_up"), 1);
    EXPECT_EQ(now.value(R"(podlane_peer_path{peer="n2",path="vxlan"})"), 1);
    EXPECT_EQ(now.value(R"(podlane_peers{path="vxlan"})"), 1);
    EXPECT_EQ(now.value(R"(podlane_peers{path="unreachable"})"), 0);
    EXPECT_EQ(now.value(R"(podlane_pods{link="veth"})"), 1);
    EXPECT_EQ(now.value(R"(podlane_subsystem_state{subsystem="maps",state="ok"})"), 1);
    EXPECT_EQ(now.value(R"(podlane_subsystem_state{subsystem="maps",state="failed"})"), 0);
    EXPECT_EQ(now.value(R"(podlane_map_entries{map="pods_by_ipv4"})"), 1);
    EXPECT_EQ(now.value(R"(podlane_map_capacity{map="pods_by_ipv4"})"), 4096);
    EXPECT_EQ(now.value(R"(podlane_map_capacity{map="nat_by_flow"})"), now.value("podlane_nat_flows_limit"));
    EXPECT_EQ(now.value("podlane_nat_ports_limit"), 10000);
    const auto passes = now.value("podlane_reconcile_duration_seconds_count");
    EXPECT_GE(passes.value_or(0), 2) << "the first state, and pod a";
    EXPECT_EQ(now.value(R"(podlane_reconcile_duration_seconds_bucket{le="+Inf"})"), passes);
    EXPECT_GT(now.value("podlane_reconcile_duration_seconds_sum").value_or(0), 0);
    EXPECT_EQ(now.total("podlane_repairs_total"), 0);
    // Watches are the API server's, and this agent reads a file.
    EXPECT_TRUE(now.types().contains("podlane_source_watch_restarts_total"));
    EXPECT_EQ(now.value(R"(podlane_source_watch_restarts_total{resource="nodes"})"), std::nullopt);
}

TEST_F(MetricsTest, RepairOfWhatSomebodyRemoved_IsCounted) {
    ip(node(1).ns(), "route delete 10.244.2.0/24");
    EXPECT_TRUE(wait_until(
        [&] { return scrape(node(1)).value(R"(podlane_repairs_total{subsystem="overlay"})").value_or(0) >= 1; }, 5s));
}

TEST_F(MetricsTest, DegradedNode_StaysReadyAndAlive) {
    EXPECT_EQ(ask("/healthz").body, "ok\n");
    EXPECT_EQ(ask("/readyz").body, "ready\n");
    node(1).write_state("kind: List\nitems: [");
    node(1).wait_for_status(5);
    EXPECT_EQ(ask("/healthz").status, 200);
    EXPECT_EQ(ask("/readyz").status, 200);
    const auto verbose = ask("/readyz?verbose");
    EXPECT_EQ(verbose.status, 200);
    EXPECT_THAT(verbose.body,
                AllOf(HasSubstr("[!]state degraded: "), HasSubstr("[+]maps ok\n"), HasSubstr("\nready\n")));
    EXPECT_EQ(ask("/readyz?verbose=1").body, verbose.body);
    const auto now = scrape(node(1));
    EXPECT_EQ(now.value("podlane_source_up"), 0);
    EXPECT_EQ(now.value(R"(podlane_subsystem_state{subsystem="state",state="degraded"})"), 1);
    EXPECT_EQ(now.value("podlane_ready"), 1);
}

TEST_F(MetricsTest, ChangedAddress_IsFollowedAndAnEmptyOneTurnsItOff) {
    ASSERT_EQ(ask("/healthz").status, 200);
    const auto other = fmt::format("http://{}:9480/healthz", node(1).address());
    node(1).set_extra_config(fmt::format("listen: {}:9480\n", node(1).address()));
    EXPECT_TRUE(wait_until([&] { return get(node(1).ns(), other).status == 200; }, 10s));
    EXPECT_EQ(ask("/healthz").status, 0);
    node(1).set_extra_config("listen: \"\"\n");
    EXPECT_TRUE(wait_until([&] { return get(node(1).ns(), other).status == 0; }, 10s));
    node(1).wait_ready();
    EXPECT_EQ(get(node(1).ns(), other).status, 0);
}

TEST_F(MetricsTest, PortInUse_IsOneWarningAndTakenOnceItIsFree) {
    ASSERT_EQ(node(1).stop_agent(), 0);
    auto squatter = in_namespace(node(1).ns(), [] {
        auto socket = timed_socket(SOCK_STREAM, 1s);
        const auto address = to_sockaddr({Ipv4Address::parse("127.0.0.1").value(), 9479});
        EXPECT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
        EXPECT_EQ(listen(socket.get(), 8), 0);
        return socket;
    });
    node(1).start_agent();
    node(1).wait_ready();
    expect_ping(pod_a().ns(), pod_b().address());
    std::this_thread::sleep_for(1500ms);  // a second try
    squatter = Fd();
    EXPECT_TRUE(wait_until([&] { return ask("/healthz").status == 200; }, 10s));
    EXPECT_EQ(occurrences(node(1).agent().output(),
                          "no health checks and no metrics: listen on 127.0.0.1 port 9479: "
                          "Address already in use"),
              1U)
        << node(1).agent().output();
}

// Alone: no node that is ready before the test begins.
TEST(ReadinessTest, AgentWithoutAState_IsAliveAndNotReadyUntilItHasOne) {
    Underlay underlay(1500, Ipv4Address::parse("192.168.0.254").value());
    Node node(underlay, {.name = "n1",
                         .internal_ip = Ipv4Address::parse("192.168.0.1").value(),
                         .pod_cidr = Ipv4Prefix::parse("10.244.1.0/24").value(),
                         .extra_config = ""});
    node.start_agent();
    const auto ask = [&](const std::string& path) { return get(node.ns(), base + path); };
    ASSERT_TRUE(wait_until([&] { return ask("/healthz").status == 200; }, 10s));
    EXPECT_EQ(ask("/readyz").status, 503);
    EXPECT_EQ(ask("/readyz").body, "not ready: the cluster's state has not been read yet\n");
    EXPECT_EQ(scrape(node).value("podlane_ready"), 0);
    node.write_state(to_node_list(
        {{.name = "n1", .internal_ip = node.address(), .pod_cidrs = {node.pod_cidr()}, .annotations = {}}}));
    EXPECT_TRUE(wait_until([&] { return ask("/readyz").status == 200; }, 10s));
}

// What a scrape takes of the agent, which does nothing else meanwhile.
TEST_F(MetricsTest, FourThousandPeers_AreToldInMilliseconds) {
    auto& state = cluster_->state();
    for (std::uint32_t i = 0; i < 4096; ++i) {
        state.push_back(
            {.name = fmt::format("peer-{:04}", i),
             .internal_ip = Ipv4Address::from_host(0xac100001 + i),                              // 172.16.0.1
             .pod_cidrs = {Ipv4Prefix::masked(Ipv4Address::from_host(0x0af41000 + 8 * i), 29)},  // 10.244.16.0
             .annotations = {}});
    }
    cluster_->publish();
    ASSERT_TRUE(
        wait_until([&] { return scrape(node(1)).value(R"(podlane_peers{path="vxlan"})") == 4097; }, 30s, 200ms));
    std::this_thread::sleep_for(500ms);
    constexpr int scrapes = 5;
    const auto began = scrape(node(1));
    for (int i = 0; i < scrapes; ++i) {
        std::this_thread::sleep_for(300ms);  // older than what is kept
        EXPECT_GT(scrape(node(1)).samples(), 4096U);
    }
    const auto ended = scrape(node(1));
    const auto cpu = ended.total("process_cpu_seconds_total") - began.total("process_cpu_seconds_total");
    RecordProperty("agent_us_per_scrape", static_cast<int>(cpu / scrapes * 1e6));
    // Audits of 4096 nodes' routes and map entries run beside.
    EXPECT_LT(cpu / scrapes, 0.05);
}

}  // namespace
}  // namespace podlane::net
