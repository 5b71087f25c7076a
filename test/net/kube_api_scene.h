// SPDX-License-Identifier: Apache-2.0
// A KubernetesSource, in the test's thread, and a TLS server in the role of the API server:
//
//   +--- namespace ----------------------------------------------------+
//   |  KubernetesSource (nodes, pods) --- 127.0.0.1 --- ReplayServer   |
//   +------------------------------------------------------------------+
#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/source/kube/kubernetes_source.h"
#include "test/net/harness/namespace.h"
#include "test/net/harness/temp_dir.h"
#include "test/support/kube_api_fixture.h"
#include "test/support/replay_server.h"

namespace podlane::net {

using test::Answer;
using test::kube_api_text;

// What is answered to each request, in order: "list nodes", "watch nodes", "list pods", "watch pods", "list condition"
// (of one node), "patch condition". Where nothing is left a watch goes on in silence, a list is empty, a condition is
// as it should be.
class ApiScript {
public:
    using Then = Answer::Then;

    void add(const std::string& request, Answer answer) { answers_[request].push_back(std::move(answer)); }
    // A recording, byte for byte.
    void add(const std::string& request, const std::string& recording, Then then = Then::next_request) {
        add(request, Answer{.bytes = kube_api_text(recording + ".response"), .piece = piece_, .then = then});
    }
    void set_piece(std::size_t piece) { piece_ = piece; }

    // Of HTTP/1.1.
    [[nodiscard]] static Answer json(const std::string& body, int status = 200) {
        return {.bytes = fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                                     status, body.size(), body)};
    }

    [[nodiscard]] Answer answer(const std::string& request) {
        const auto first_line = request.substr(0, request.find("\r\n"));
        const auto has = [&](const char* part) { return first_line.find(part) != std::string::npos; };
        const bool condition = has("=metadata.name%3D") || has("/status ");
        const std::string resource = condition ? "condition" : has("/pods?") ? "pods" : "nodes";
        const std::string verb = has("watch=true") ? "watch" : has("PATCH ") ? "patch" : "list";
        auto& answers = answers_[verb + ' ' + resource];
        if (!answers.empty()) {
            auto answer = std::move(answers.front());
            answers.pop_front();
            return answer;
        }
        if (verb == "watch") {
            const auto over = kube_api_text("g-watch-nodes-timeout.response");
            return {.bytes = over.substr(0, over.find("\r\n\r\n") + 4), .then = Then::hold};
        }
        if (condition) {
            return json(R"({"items":[{"status":{"conditions":[{"type":"NetworkUnavailable","status":"False",)"
                        R"("reason":"PodlaneIsUp"}]}}]})");
        }
        return {.bytes =
                    kube_api_text(resource == "pods" ? "e-pods-list-empty.response" : "a-nodes-list-empty.response")};
    }

private:
    std::map<std::string, std::deque<Answer>> answers_;
    std::size_t piece_ = 4096;
};

class KubeApiScene : public testing::Test {
protected:
    using Then = Answer::Then;

    template <typename Function>
    void in_test(const Function& function) {
        in_namespace(ns_, [&] {
            loop_ = EventLoop::create().value();
            function();
            source_.reset();
            server_.reset();
            loop_.reset();
            return 0;
        });
    }

    void serve() {
        server_ = std::make_unique<test::ReplayServer>(
            test::ReplayServer::Options{.identity = &identity_, .port = port_, .protocol = protocol_},
            [this](const std::string& request) { return answer(request); });
        port_ = server_->port();
        write("kubeconfig",
              fmt::format("kind: Config\ncurrent-context: x\ncontexts: [{{name: x, context: {{cluster: c, "
                          "user: u}}}}]\nclusters: [{{name: c, cluster: {{server: '{}', "
                          "certificate-authority: ca.pem}}}}]\n"
                          "users: [{{name: u, user: {{tokenFile: token}}}}]\n",
                          server_->url()));
    }
    // A test may want to see requests first.
    virtual Answer answer(const std::string& request) { return script_.answer(request); }

    void write(const std::string& name, const std::string& text) const {
        std::ofstream(files_.path() / name, std::ios::binary) << text;
    }
    [[nodiscard]] std::string path(const std::string& name) const { return (files_.path() / name).string(); }

    void make_source(const KubeAccessSource& access, const std::string& cache) {
        source_ = KubernetesSource::create(*loop_, {.access = access, .node_name = "n1", .cache_file = cache}).value();
        source_->on_change([this] { ++changes_; });
    }
    void make_source(const std::string& cache = "") { make_source({.kubeconfig = path("kubeconfig")}, cache); }
    void start(const std::string& cache = "") {
        make_source(cache);
        const auto started = source_->start();
        ASSERT_TRUE(started.has_value()) << started.error().message;
    }

    // Runs the loop until the condition holds; how long that took, or a failure.
    std::chrono::milliseconds wait_until(const std::function<bool()>& condition,
                                         std::chrono::seconds longest = std::chrono::seconds(15)) {
        const auto began = std::chrono::steady_clock::now();
        bool held = false;
        auto poll = loop_->every(std::chrono::milliseconds(2), [&] {
            held = condition();
            if (held || std::chrono::steady_clock::now() - began > longest) {
                loop_->stop();
            }
        });
        EXPECT_TRUE(loop_->run().has_value());
        EXPECT_TRUE(held) << "problem: " << problem() << "\nrequests: " << testing::PrintToString(requests());
        return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
    }
    void run_for(std::chrono::milliseconds time) {
        auto timer = loop_->after(time, [this] { loop_->stop(); });
        EXPECT_TRUE(loop_->run().has_value());
    }
    [[nodiscard]] bool good() const { return source_->health().in_sync && problem().empty(); }
    [[nodiscard]] const std::string& problem() const { return source_->health().problem; }
    [[nodiscard]] bool says(const std::string& text) const { return problem().find(text) != std::string::npos; }
    [[nodiscard]] std::vector<std::string> requests() const {
        return server_ == nullptr ? std::vector<std::string>() : server_->requests();
    }
    // Of those so far that ask for this: "GET /api/v1/nodes?watch=true".
    [[nodiscard]] std::vector<std::string> requests(const std::string& part) const {
        std::vector<std::string> result;
        for (const auto& request : requests()) {
            if (request.find(part) != std::string::npos) {
                result.push_back(request);
            }
        }
        return result;
    }

    // What a list that was recorded holds, as the source has it.
    [[nodiscard]] static ClusterObjects recorded(KubeKind kind, const std::string& name) {
        ListDecoder decoder({.kind = kind, .node_name = "n1", .origin = "Kubernetes API"});
        EXPECT_TRUE(decoder.feed(test::kube_api_body(name + ".response")).has_value());
        const auto page = decoder.finish().value();
        ClusterObjects objects;
        for (const auto& node : page.objects.nodes) {
            objects.nodes[node.name] = node;
        }
        for (const auto& pod : page.objects.pods) {
            objects.pods[pod.name_space + '/' + pod.name] = pod;
        }
        return objects;
    }
    [[nodiscard]] bool has_nodes_of(const std::string& name) const {
        return source_->objects().nodes == recorded(KubeKind::node, name).nodes;
    }

    void SetUp() override {
        write("ca.pem", authority_.pem());
        write("token", "first");
    }

    Namespace ns_{"kube"};
    TempDir files_{"kube"};
    test::TlsAuthority authority_;
    test::Identity identity_ = authority_.issue("kube-apiserver", "IP:127.0.0.1");
    std::unique_ptr<EventLoop> loop_;
    ApiScript script_;
    std::unique_ptr<test::ReplayServer> server_;
    std::uint16_t port_ = 0;
    test::ReplayServer::Protocol protocol_ = test::ReplayServer::Protocol::http1;
    std::unique_ptr<KubernetesSource> source_;
    int changes_ = 0;
};

}  // namespace podlane::net
