// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "agent/event_loop.h"
#include "agent/http/http_call.h"
#include "agent/http/http_client.h"
#include "agent/source/kube/access.h"

namespace podlane {

// Tells the cluster that this node's pods have a network: condition NetworkUnavailable=False, reason PodlaneIsUp. A
// node whose cloud says otherwise keeps the taint node.kubernetes.io/network-unavailable, and gets no pods.
//
// Looked at once a minute, and written again when somebody has said True meanwhile; another reason for False is left
// alone then. Nothing is taken back when the agent ends: the datapath forwards. A failure is a warning, and tried
// again.
class NodeCondition {
public:
    struct Options {
        KubeAccessSource access;
        std::string node_name;
        std::chrono::milliseconds period = std::chrono::seconds(60);  // half to one and a half, by chance
    };

    // The loop must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<NodeCondition>> create(EventLoop& loop, Options options);
    NodeCondition(const NodeCondition&) = delete;
    NodeCondition& operator=(const NodeCondition&) = delete;
    ~NodeCondition() = default;

    // Pods can be added. Begins to write; once is enough.
    void network_is_up();
    // Why the condition could not be read or written the last time; empty: it could.
    [[nodiscard]] const std::string& problem() const { return problem_; }

private:
    NodeCondition(EventLoop& loop, Options options, std::unique_ptr<HttpClient> client);

    void look();
    void take_node();
    void write();
    void take_written();
    // What the answer to a request means; `then` when it is 200.
    void begin(const HttpQuery& request, void (NodeCondition::*then)());
    void fail(std::string problem);
    void schedule(std::chrono::milliseconds delay);
    [[nodiscard]] std::chrono::milliseconds spread(std::chrono::milliseconds time);

    EventLoop& loop_;
    const Options options_;
    std::unique_ptr<HttpClient> client_;
    std::mt19937_64 random_{std::random_device()()};
    bool is_up_ = false;
    bool is_ours_ = false;   // it has had our reason since the start
    unsigned failures_ = 0;  // in a row
    std::string problem_;
    int status_ = 0;  // of the answer that comes in
    std::string answer_;
    std::unique_ptr<HttpCall> call_;
    EventLoop::Watch timer_;
};

// The condition in a NodeList of one. Nothing: the text is no list, or has no such node.
struct NetworkCondition {
    std::string status;  // "True", "False", "Unknown"; empty: there is no such condition
    std::string reason;
};
[[nodiscard]] std::optional<NetworkCondition> read_network_condition(const std::string& node_list);

}  // namespace podlane
