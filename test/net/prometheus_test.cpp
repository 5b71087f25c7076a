// SPDX-License-Identifier: Apache-2.0
// A real Prometheus reads two agents, with the rules of deploy/, and answers what the dashboard of deploy/ asks.
//
//   pod a (10.244.1.x) --- node 1 (192.168.0.1) === VXLAN on the wire === node 2 (192.168.0.2) --- pod b (10.244.2.x)
//                             |      agent: 0.0.0.0:9479                     agent: 0.0.0.0:9479
//                             |
//                          Prometheus: 127.0.0.1:9090, scrapes 192.168.0.1:9479 and 192.168.0.2:9479
#include "test/net/harness/prometheus.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "test/net/harness/scrape.h"
#include "test/net/harness/socket.h"
#include "test/net/harness/two_nodes.h"

namespace podlane::net {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using Strings = std::set<std::string>;

const std::filesystem::path source_tree = PODLANE_SOURCE_DIR;
const std::filesystem::path rules_file = source_tree / "deploy/prometheus/podlane.rules.yml";

std::string text_of(const std::filesystem::path& path) {
    std::ifstream file(path);
    EXPECT_TRUE(file.good()) << path;
    return {std::istreambuf_iterator<char>(file), {}};
}

// The first group of each place where it matches.
std::vector<std::string> matches(const std::string& text, const std::regex& expression) {
    std::vector<std::string> found;
    for (std::sregex_iterator match(text.begin(), text.end(), expression), end; match != end; ++match) {
        found.push_back((*match)[1].str());
    }
    return found;
}

// Name and type of each metric in the tables of docs/metrics.md.
std::map<std::string, std::string> documented() {
    static const std::regex row(R"(\n\| (`(?:podlane|process)_[^|]*) \| (\w+), )");
    const auto text = text_of(source_tree / "docs/metrics.md");
    std::map<std::string, std::string> types;
    for (std::sregex_iterator match(text.begin(), text.end(), row), end; match != end; ++match) {
        for (const auto& name : matches((*match)[1].str(), std::regex("`([a-z0-9_]+)`"))) {
            types[name] = (*match)[2].str();
        }
    }
    return types;
}

// All expressions below a part of the dashboard, with what Grafana would put in for its variables.
void collect_expressions(const json& part, Strings& found) {
    if (part.is_object() && part.contains("expr")) {
        auto expression = part.at("expr").get<std::string>();
        for (const auto& [variable, value] :
             {std::pair(R"(\$__rate_interval\b)", "1m"), {R"(\$instance\b)", ".*"}, {R"(\$job\b)", "podlane"}}) {
            expression = std::regex_replace(expression, std::regex(variable), value);
        }
        found.insert(expression);
    }
    if (part.is_structured()) {
        for (const auto& each : part) {
            collect_expressions(each, found);
        }
    }
}

class PrometheusTest : public TwoNodes {
protected:
    void SetUp() override {
        if (prometheus_program("prometheus").empty()) {
            GTEST_SKIP() << "there is no prometheus: scripts/deps.sh gets it";
        }
        TwoNodes::SetUp();
    }
    [[nodiscard]] ClusterOptions options() const override { return {.extra_config = "listen: 0.0.0.0:9479\n"}; }
    // Something of all that is counted.
    void make_traffic() {
        expect_ping(pod_a().ns(), pod_b().address());
        expect_ping(node(1).ns(), pod_a().address());
        EXPECT_EQ(probe_udp(pod_a().ns(), Ipv4Address::parse("10.244.99.1").value(), 64).kind,
                  ProbeOutcome::Kind::unreachable);
    }
    void start(const std::vector<std::filesystem::path>& rule_files) {
        prometheus_ = std::make_unique<Prometheus>(
            node(1).ns(),
            std::vector{fmt::format("{}:9479", node(1).address()), fmt::format("{}:9479", node(2).address())},
            rule_files);
    }
    // So that rates can be told: two samples of each, taken after what came before.
    void wait_for_samples() {
        ASSERT_TRUE(wait_until(
            [&] { return prometheus_->query("count_over_time(podlane_build_info[1m]) >= 2").size() == 2; }, 15s, 100ms))
            << prometheus_->api("targets");
    }
    void expect_targets_up();
    void expect_documented_metrics();
    void expect_dashboard();
    void expect_silent_rules();
    // Each alert that is not silent: its name, state, instance, and of a subsystem's what is told of it.
    [[nodiscard]] std::vector<std::string> alerts() const {
        std::vector<std::string> found;
        const auto answer = prometheus_->api("alerts");
        for (const auto& alert : answer.at("alerts")) {
            const auto& labels = alert.at("labels");
            found.push_back(fmt::format("{} {} {}", labels.at("alertname").get<std::string>(),
                                        alert.at("state").get<std::string>(),
                                        labels.at("instance").get<std::string>()));
            if (labels.contains("subsystem")) {
                const auto summary = alert.at("annotations").at("summary").get<std::string>();
                found.back() += summary.substr(summary.rfind(':') + 1);
            }
        }
        return found;
    }

    std::unique_ptr<Prometheus> prometheus_;
};

// Of those that are documented: a state that comes from a file has nothing to list or to watch.
const Strings not_of_this_scene = {"podlane_source_failures_total", "podlane_source_lists_total",
                                   "podlane_source_watch_restarts_total"};

// With type and help, and with samples.
void PrometheusTest::expect_documented_metrics() {
    const auto names = prometheus_->api("label/__name__/values").get<Strings>();
    const auto metadata = prometheus_->api("metadata");
    const auto text = get(node(1).ns(), fmt::format("http://{}:9479/metrics", node(1).address())).body;
    const auto metrics = documented();
    EXPECT_GT(metrics.size(), 30U);
    for (const auto& [name, type] : metrics) {
        const auto sample = type == "histogram" ? name + "_bucket" : name;
        EXPECT_EQ(names.contains(sample), !not_of_this_scene.contains(name)) << name;
        ASSERT_TRUE(metadata.contains(name)) << name;
        ASSERT_EQ(metadata[name].size(), 1U) << "both agents say the same: " << metadata[name];
        EXPECT_EQ(metadata[name][0]["type"], type) << name;
        const auto help = metadata[name][0]["help"].get<std::string>();
        EXPECT_GT(help.size(), 1U) << name;
        EXPECT_THAT(text, HasSubstr(fmt::format("# HELP {} {}\n", name, help)));
    }
}

// Each expression evaluates. One that shows only what is wrong has nothing to show; one that divides, or asks for a
// label, has to find it.
void PrometheusTest::expect_dashboard() {
    Strings expressions;
    collect_expressions(json::parse(text_of(source_tree / "deploy/grafana/podlane.json")), expressions);
    EXPECT_GT(expressions.size(), 20U);
    for (const auto& expression : expressions) {
        const auto series = prometheus_->query(expression);  // raises on an error
        const bool compares = std::regex_search(expression, std::regex(" (>|==) "));
        const bool absent = std::ranges::any_of(
            not_of_this_scene, [&](const std::string& name) { return expression.find(name) != std::string::npos; });
        EXPECT_TRUE(compares || absent || !series.empty()) << expression;
    }
}

void PrometheusTest::expect_targets_up() {
    const auto targets = prometheus_->api("targets").at("activeTargets");
    ASSERT_EQ(targets.size(), 2U);
    for (const auto& target : targets) {
        EXPECT_EQ(target.at("health"), "up") << target;
        EXPECT_EQ(target.at("lastError"), "") << target;
    }
    EXPECT_EQ(prometheus_->query("up{job=\"podlane\"} == 1").size(), 2U);
    const auto info = prometheus_->query("podlane_build_info");
    ASSERT_EQ(info.size(), 2U);
    EXPECT_EQ(info[0]["metric"]["version"], node(1).agentctl_json({"version"}).at("version"));
}

void PrometheusTest::expect_silent_rules() {
    const auto names = matches(text_of(rules_file), std::regex(R"(- alert: (\w+))"));
    const auto groups = prometheus_->api("rules").at("groups");
    ASSERT_EQ(groups.size(), 2U);
    for (const auto& group : groups) {
        std::vector<std::string> loaded;
        for (const auto& rule : group.at("rules")) {
            loaded.push_back(rule.at("name"));
            EXPECT_EQ(rule.at("health"), "ok") << rule;
            EXPECT_FALSE(rule.contains("lastError")) << rule;
            EXPECT_THAT(rule.at("alerts"), IsEmpty()) << rule;
        }
        EXPECT_EQ(loaded, names);
    }
}

// One scene for all: it takes its time until there are samples. Beside deploy's rules a copy of them that does not
// wait.
TEST_F(PrometheusTest, TwoAgents_AreStoredShownAndWatchedOver) {
    const TempDir files("rules");
    const auto impatient = files.path() / "impatient.yml";
    std::ofstream(impatient) << std::regex_replace(text_of(rules_file), std::regex("for: [0-9]+[mh]"), "for: 1s");
    make_traffic();
    start({rules_file, impatient});
    wait_for_samples();
    expect_targets_up();
    expect_documented_metrics();
    expect_dashboard();
    expect_silent_rules();

    node(2).write_state("kind: List\nitems: [");
    const auto of_node_2 = fmt::format("{}:9479", node(2).address());
    const auto expected =
        testing::UnorderedElementsAre("PodlaneSourceDown pending " + of_node_2, "PodlaneSourceDown firing " + of_node_2,
                                      "PodlaneSubsystemDegraded pending " + of_node_2 + " state is degraded",
                                      "PodlaneSubsystemDegraded firing " + of_node_2 + " state is degraded");
    static_cast<void>(wait_until([&] { return testing::Value(alerts(), expected); }, 15s, 100ms));
    EXPECT_THAT(alerts(), expected);
}

}  // namespace
}  // namespace podlane::net
