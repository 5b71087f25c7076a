// SPDX-License-Identifier: Apache-2.0
// What is told to the cluster and to the container runtime once pods can be added. In the first tests:
//
//   +--- namespace -----------------------------------+
//   |  NodeStatus --- 127.0.0.1 --- ReplayServer      |
//   +-------------------------------------------------+
#include "agent/source/kube/node_status.h"

#include <filesystem>

#include "test/net/harness/two_nodes.h"
#include "test/net/kube_api_scene.h"

namespace podlane::net {
namespace {

using testing::HasSubstr;

class NodeStatusTest : public KubeApiScene {
protected:
    Answer answer(const std::string& request) override {
        if (request.starts_with("PATCH ")) {
            const std::scoped_lock lock(mutex_);
            patches_.push_back(request);
            patched_at_.push_back(std::chrono::steady_clock::now());
        }
        return KubeApiScene::answer(request);
    }
    void begin() {
        status_ = NodeStatus::create(*loop_, {.access = {.kubeconfig = path("kubeconfig")},
                                              .node_name = "n1",
                                              .startup_taint = taint_,
                                              .period = period_,
                                              .pace = pace_,
                                              .report = [this](const auto& trouble) { reports_.push_back(trouble); }})
                      .value();
    }
    // Of what is asked for a node named n1.
    void has(const std::string& conditions) {
        script_.add("list condition", ApiScript::json(R"({"items":[{"status":{"conditions":[)" + conditions + "]}}]}"));
    }
    void runs_until(const std::function<bool()>& holds) {
        bool held = false;
        auto poll = loop_->every(std::chrono::milliseconds(2), [&] {
            if (holds()) {
                held = true;
                loop_->stop();
            }
        });
        auto end = loop_->after(std::chrono::seconds(10), [this] { loop_->stop(); });
        EXPECT_TRUE(loop_->run().has_value());
        EXPECT_TRUE(held) << testing::PrintToString(requests());
    }
    [[nodiscard]] std::vector<std::string> patches() {
        const std::scoped_lock lock(mutex_);
        return patches_;
    }
    template <typename Function>
    void in_scene(const Function& function) {
        in_test([&] {
            serve();
            begin();
            function();
            status_.reset();
        });
    }

    // What the patches say, without what they are wrapped in.
    [[nodiscard]] std::vector<std::string> bodies() {
        std::vector<std::string> result;
        for (const auto& patch : patches()) {
            result.push_back(patch.substr(patch.find("\r\n\r\n") + 4));
        }
        return result;
    }
    // Of a node that has the condition: its annotations.
    void is_annotated(const nlohmann::json& annotations) {
        const nlohmann::json node = {
            {"metadata", {{"name", "n1"}, {"annotations", annotations}}},
            {"status", {{"conditions", nlohmann::json::array({nlohmann::json::parse(ours)})}}}};
        script_.add("list condition", ApiScript::json(nlohmann::json{{"items", {node}}}.dump()));
    }

    static constexpr const char* ours = R"({"type":"NetworkUnavailable","status":"False","reason":"PodlaneIsUp"})";
    std::string taint_;
    std::chrono::milliseconds period_{200};
    std::chrono::milliseconds pace_{1};
    std::vector<NodeStatus::Trouble> reports_;
    std::unique_ptr<NodeStatus> status_;
    std::mutex mutex_;
    std::vector<std::string> patches_;
    std::vector<std::chrono::steady_clock::time_point> patched_at_;
};

constexpr const char* of_flannel = R"({"type":"NetworkUnavailable","status":"False","reason":"FlannelIsUp"})";
constexpr const char* of_cloud = R"({"type":"NetworkUnavailable","status":"True","reason":"NoRouteCreated"})";
constexpr const char* forbidden = R"({"kind":"Status","code":403,"message":"nodes \"n1\" is forbidden: no"})";

TEST_F(NodeStatusTest, NetworkThatIsUp_IsWrittenByAStrategicMergePatch) {
    in_scene([&] {
        run_for(std::chrono::milliseconds(300));
        EXPECT_EQ(requests().size(), 0U) << "not before it is up";
        has(of_cloud);
        script_.add("patch condition", ApiScript::json("{}"));
        status_->publish({}, {});
        runs_until([&] { return requests("metadata.name").size() >= 3; });
        ASSERT_EQ(patches().size(), 1U) << "it stays as it should be";
        const auto patch = patches()[0];
        EXPECT_THAT(patch, testing::StartsWith("PATCH /api/v1/nodes/n1/status HTTP/1.1\r\n"));
        EXPECT_THAT(patch, HasSubstr("\r\nContent-Type: application/strategic-merge-patch+json\r\n"));
        EXPECT_THAT(patch, HasSubstr("\r\nAuthorization: Bearer first\r\n"));
        const auto body = nlohmann::json::parse(patch.substr(patch.find("\r\n\r\n") + 4));
        const auto condition = body.at("status").at("conditions").at(0);
        EXPECT_EQ(body.size() + body.at("status").size() + body.at("status").at("conditions").size(), 3U)
            << "nothing but the one condition: " << body;
        EXPECT_EQ(condition.at("type"), "NetworkUnavailable");
        EXPECT_EQ(condition.at("status"), "False");
        EXPECT_EQ(condition.at("reason"), "PodlaneIsUp");
        EXPECT_THAT(condition.at("lastTransitionTime").get<std::string>(), testing::MatchesRegex("20[0-9-]+T[0-9:]+Z"));
    });
}

TEST_F(NodeStatusTest, ConditionThatStandsAlready_IsNotWritten) {
    in_scene([&] {
        has(ours);
        status_->publish({}, {});
        runs_until([&] { return requests("metadata.name").size() >= 3; });
        EXPECT_EQ(patches().size(), 0U);
    });
}

TEST_F(NodeStatusTest, ChangedCondition_IsWrittenAgainButNobodyIsFoughtOverTheReason) {
    in_scene([&] {
        has(of_flannel);  // taken over once
        has(of_flannel);  // then left alone
        has(of_cloud);    // somebody says that there is no network
        for (int i = 0; i < 2; ++i) {
            script_.add("patch condition", ApiScript::json("{}"));
        }
        status_->publish({}, {});
        runs_until([&] { return requests("metadata.name").size() >= 4; });
        EXPECT_EQ(patches().size(), 2U);
        const auto all = requests();
        EXPECT_THAT(all[3], HasSubstr("GET ")) << "after GET, PATCH, GET: " << testing::PrintToString(all);
    });
}

TEST_F(NodeStatusTest, Refusal_NamesTheRightThatIsNeededAndIsTriedAgain) {
    in_scene([&] {
        for (int i = 0; i < 4; ++i) {
            has(of_cloud);
        }
        script_.add("patch condition", ApiScript::json(forbidden, 403));
        script_.add("patch condition", ApiScript::json("{}", 500));
        script_.add("patch condition", Answer{.bytes = "", .then = Then::close});
        script_.add("patch condition", ApiScript::json("{}"));
        status_->publish({}, {});
        runs_until([&] { return !status_->problem().empty(); });
        EXPECT_THAT(status_->problem(), HasSubstr("/api/v1/nodes/n1/status: 403: nodes \"n1\" is forbidden: no"));
        EXPECT_THAT(status_->problem(), HasSubstr("resources: [nodes/status], verbs: [patch]"));
        runs_until([&] { return patches().size() == 4 && status_->problem().empty(); });
    });
}

TEST_F(NodeStatusTest, ServerThatIsAway_IsAskedAgainUntilItIsBack) {
    in_test([&] {
        serve();
        begin();
        server_.reset();
        status_->publish({}, {});
        runs_until([&] { return status_->problem().find("Connection refused") != std::string::npos; });
        has(of_cloud);
        script_.add("patch condition", ApiScript::json("{}"));
        serve();
        runs_until([&] { return patches().size() == 1 && status_->problem().empty(); });
        status_.reset();
    });
}

// As an agent beside flannel has it.
const Annotations published = {
    {"flannel.alpha.coreos.com/backend-data", R"({"VNI":1,"VtepMAC":"02:50:c0:a8:00:01"})"},
    {"flannel.alpha.coreos.com/backend-type", "vxlan"},
};

TEST_F(NodeStatusTest, Annotations_AreWrittenWithTheConditionAndNotAfterIt) {
    in_scene([&] {
        has(of_cloud);
        status_->publish(published, {});
        runs_until([&] { return patches().size() == 1; });
        const auto body = nlohmann::json::parse(bodies()[0]);
        EXPECT_EQ(body.at("metadata"), (nlohmann::json{{"annotations", published}}));
        EXPECT_EQ(body.at("status").at("conditions").at(0).at("status"), "False");
        EXPECT_EQ(body.size(), 2U) << body;
    });
}

TEST_F(NodeStatusTest, WhatDiffers_IsWrittenAndNothingElse) {
    in_scene([&] {
        is_annotated({{"flannel.alpha.coreos.com/backend-data", "null"},
                      {"flannel.alpha.coreos.com/backend-type", "vxlan"},
                      {"somebody.else/s", "x"}});
        is_annotated(published);
        status_->publish(published, {});
        runs_until([&] { return requests("GET ").size() >= 2; });
        EXPECT_THAT(bodies(),
                    testing::ElementsAre(R"({"metadata":{"annotations":{"flannel.alpha.coreos.com/backend-data":)"
                                         R"("{\"VNI\":1,\"VtepMAC\":\"02:50:c0:a8:00:01\"}"}}})"));
    });
}

// Not after a minute: the cluster's state shows it.
TEST_F(NodeStatusTest, ChangeThatTheStateShows_IsLookedAtAtOnceAndExactly) {
    period_ = std::chrono::seconds(60);
    in_scene([&] {
        is_annotated(published);
        status_->publish(published, published);
        runs_until([&] { return requests("GET ").size() == 1; });
        run_for(std::chrono::milliseconds(200));
        is_annotated({{"flannel.alpha.coreos.com/backend-type", "host-gw"}});
        const Annotations changed = {{"flannel.alpha.coreos.com/backend-type", "host-gw"}};
        status_->publish(published, changed);
        runs_until([&] { return patches().size() == 1; });
        EXPECT_EQ(nlohmann::json::parse(bodies()[0]).at("metadata").at("annotations"), nlohmann::json(published));
        EXPECT_THAT(requests("GET ").back(), testing::Not(HasSubstr("resourceVersion=0")));
        // A state that has not heard of it yet is no news.
        for (int i = 0; i < 20; ++i) {
            status_->publish(published, changed);
            run_for(std::chrono::milliseconds(10));
        }
        EXPECT_EQ(requests("GET ").size(), 2U);
        // Something else is to be said.
        auto other = published;
        other["flannel.alpha.coreos.com/public-ip"] = "192.168.0.1";
        is_annotated(published);
        status_->publish(other, published);
        runs_until([&] { return patches().size() == 2; });
        EXPECT_EQ(bodies()[1], R"({"metadata":{"annotations":{"flannel.alpha.coreos.com/public-ip":"192.168.0.1"}}})");
    });
}

TEST_F(NodeStatusTest, SomebodyWhoWritesAllTheTime_IsAnsweredOnceASecond) {
    period_ = std::chrono::seconds(60);
    pace_ = std::chrono::seconds(1);
    in_scene([&] {
        for (int i = 0; i < 100; ++i) {
            is_annotated({{"flannel.alpha.coreos.com/backend-type", fmt::format("other-{}", i)}});
        }
        for (int i = 0; patches().size() < 3 && i < 60; ++i) {
            status_->publish(published, {{"flannel.alpha.coreos.com/backend-type", fmt::format("other-{}", i)}});
            run_for(std::chrono::milliseconds(100));
        }
        ASSERT_EQ(patches().size(), 3U);
        const std::scoped_lock lock(mutex_);
        EXPECT_GE(patched_at_[2] - patched_at_[0], std::chrono::milliseconds(1900));
    });
}

TEST_F(NodeStatusTest, Trouble_IsReportedFromTheSecondFailureOnAndWhenItIsOver) {
    in_scene([&] {
        for (int i = 0; i < 4; ++i) {
            has(of_cloud);
        }
        script_.add("patch condition", ApiScript::json(forbidden, 403));
        script_.add("patch condition", ApiScript::json(forbidden, 403));
        script_.add("patch condition", ApiScript::json("{}", 500));
        status_->publish({}, {});
        runs_until([&] { return reports_.size() == 3; });
        EXPECT_EQ(patches().size(), 4U) << "nothing is said of the first one, which may be by chance";
        EXPECT_THAT(reports_[0].reason, HasSubstr("/api/v1/nodes/n1/status: 403: nodes \"n1\" is forbidden: no"));
        EXPECT_EQ(reports_[0].action,
                  R"(its ClusterRole must have {apiGroups: [""], resources: [nodes/status], verbs: [patch]})");
        EXPECT_THAT(reports_[1].reason, HasSubstr("/api/v1/nodes/n1/status: 500"));
        EXPECT_THAT(reports_[1].action, HasSubstr("API server"));
        EXPECT_EQ(reports_[2].reason + reports_[2].action, "");
    });
}

TEST_F(NodeStatusTest, SingleFailure_IsNotReported) {
    in_scene([&] {
        has(of_cloud);
        has(of_cloud);
        script_.add("patch condition", ApiScript::json("{}", 500));
        status_->publish({}, {});
        runs_until([&] { return !reports_.empty(); });
        EXPECT_EQ(patches().size(), 2U);
        EXPECT_EQ(reports_[0].reason + reports_[0].action, "");
    });
}

TEST_F(NodeStatusTest, StartUpTaint_GoesWhenTheConditionStands) {
    taint_ = "podlane.io/agent-not-ready";
    in_scene([&] {
        const auto tainted = [&](const std::string& conditions) {
            script_.add("list condition", ApiScript::json(R"({"items":[{"spec":{"taints":[{"key":"other"},)"
                                                          R"({"key":"podlane.io/agent-not-ready"}]},)"
                                                          R"("status":{"conditions":[)" +
                                                          conditions + "]}}]}"));
        };
        tainted(of_cloud);
        tainted(ours);
        status_->publish({}, {});
        runs_until([&] { return requests("metadata.name").size() >= 4; });
        ASSERT_EQ(patches().size(), 2U);
        EXPECT_THAT(patches()[0], testing::StartsWith("PATCH /api/v1/nodes/n1/status HTTP/1.1\r\n"));
        EXPECT_THAT(patches()[1], testing::StartsWith("PATCH /api/v1/nodes/n1 HTTP/1.1\r\n"));
        EXPECT_THAT(patches()[1], HasSubstr("\r\nContent-Type: application/json-patch+json\r\n"));
        EXPECT_EQ(nlohmann::json::parse(bodies()[1]), nlohmann::json::parse(R"([
            {"op": "test", "path": "/spec/taints/1/key", "value": "podlane.io/agent-not-ready"},
            {"op": "remove", "path": "/spec/taints/1"}])"));
    });
}

TEST_F(NodeStatusTest, StartUpTaintWithoutTheRight_NamesIt) {
    taint_ = "podlane.io/agent-not-ready";
    in_scene([&] {
        const auto* const tainted = R"({"items":[{"spec":{"taints":[{"key":"podlane.io/agent-not-ready"}]},)"
                                    R"("status":{"conditions":[{"type":"NetworkUnavailable","status":"False",)"
                                    R"("reason":"PodlaneIsUp"}]}}]})";
        script_.add("list condition", ApiScript::json(tainted));
        script_.add("patch nodes", ApiScript::json(forbidden, 403));
        status_->publish({}, {});
        runs_until([&] { return !status_->problem().empty(); });
        EXPECT_THAT(status_->problem(), HasSubstr(R"({apiGroups: [""], resources: [nodes], verbs: [patch]})"));
    });
}

// A whole agent: n1 (192.168.0.1), its container runtime's folder, and no API server.
class CniFileTest : public testing::Test {
protected:
    [[nodiscard]] std::string configured() const {
        return fmt::format("cni: {{configFile: {}, template: {}}}\n", file_.string(), template_.string());
    }
    void write_template(const std::string& text) const { std::ofstream(template_) << text; }
    [[nodiscard]] std::string text() const {
        std::ifstream file(file_);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    TempDir files_{"runtime"};
    std::filesystem::path file_ = files_.path() / "net.d" / "05-podlane.conflist";
    std::filesystem::path template_ = files_.path() / "template";
    Underlay underlay_{1500, Ipv4Address::parse("192.168.0.254").value()};
    Node node_{underlay_,
               {.name = "n1",
                .internal_ip = Ipv4Address::parse("192.168.0.1").value(),
                .pod_cidr = Ipv4Prefix::parse("10.244.1.0/24").value(),
                .extra_config = configured()}};
};

TEST_F(CniFileTest, Runtime_HearsOfTheNetworkLastAndKeepsItsConfiguration) {
    const std::string first = R"({"cniVersion": "1.0.0", "name": "podlane", "type": "podlane"})";
    write_template(first);
    node_.start_agent();
    ASSERT_TRUE(wait_until([&] { return node_.agentctl({"status"}).status == 5; }, 10s));
    std::this_thread::sleep_for(1s);
    EXPECT_FALSE(std::filesystem::exists(file_)) << "there is no state yet: pods could not be added";
    node_.write_state(to_node_list(
        {{.name = "n1", .internal_ip = node_.address(), .pod_cidrs = {node_.pod_cidr()}, .annotations = {}}}));
    ASSERT_TRUE(wait_until([&] { return text() == first; }, 10s));
    EXPECT_EQ(std::filesystem::status(file_).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    EXPECT_TRUE(std::filesystem::is_empty(files_.path() / "net.d") ||
                std::distance(std::filesystem::directory_iterator(files_.path() / "net.d"), {}) == 1);

    std::filesystem::remove(file_);
    EXPECT_TRUE(wait_until([&] { return text() == first; }, 5s));
    const std::string second = R"({"cniVersion": "1.0.0", "name": "podlane", "type": "podlane", "mtu": 1300})";
    write_template(second);
    EXPECT_TRUE(wait_until([&] { return text() == second; }, 5s));
    write_template("{");
    EXPECT_TRUE(
        wait_until([&] { return node_.agent().output().find("no CNI configuration") != std::string::npos; }, 5s));
    EXPECT_EQ(text(), second) << "a broken template changes nothing";
    EXPECT_EQ(node_.stop_agent(), 0);
    EXPECT_EQ(text(), second);
}

}  // namespace
}  // namespace podlane::net
