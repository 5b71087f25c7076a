// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "agent/event_loop.h"
#include "agent/http/http_call.h"
#include "agent/http/http_client.h"
#include "agent/source/kube/access.h"
#include "agent/source/kube/node_view.h"
#include "agent/state/objects.h"

namespace podlane {

// Tells the cluster of this node, in its Node object:
// - annotations, by which peers send to it;
// - that its pods have a network: condition NetworkUnavailable=False, reason PodlaneIsUp. A node whose cloud says
//   otherwise keeps the taint node.kubernetes.io/network-unavailable, and gets no pods.
//
// Both by one PATCH of the node's status, so that no peer sees a node that is up and cannot be sent to. Looked at once
// a minute, and when the cluster's state shows other annotations; written again what somebody changed meanwhile.
// Another reason for False is left alone then. Last goes the start-up taint, if there is one: pods may come. Nothing is
// taken back when the agent ends: the datapath forwards. A failure is a warning, and tried again.
class NodeStatus {
public:
    // What somebody has to know of: a single failure is nothing of that, the next try may well succeed. Both are empty
    // when the Node is as it should be.
    struct Trouble {
        std::string reason;
        std::string action;
    };
    struct Options {
        KubeAccessSource access;
        std::string node_name;
        std::string startup_taint = std::string();                    // its key; empty: no taint is touched
        std::chrono::milliseconds period = std::chrono::seconds(60);  // half to one and a half, by chance
        std::chrono::milliseconds pace = std::chrono::seconds(1);     // of PATCHes, at the most
        // Told at the second failure in a row and each one after, and whenever the Node is as it should be.
        std::function<void(const Trouble&)> report = {};
    };

    // The loop must outlive it.
    [[nodiscard]] static Result<std::unique_ptr<NodeStatus>> create(EventLoop& loop, Options options);
    NodeStatus(const NodeStatus&) = delete;
    NodeStatus& operator=(const NodeStatus&) = delete;
    ~NodeStatus() = default;

    // Pods can be added, and what the annotations must be: as often as one likes, the first time begins to write.
    // `present`: those that the cluster's state has by now. It may lag behind, so it only says when to look.
    void publish(const Annotations& wanted, const Annotations& present);
    // Why the status could not be read or written the last time; empty: it could.
    [[nodiscard]] const std::string& problem() const { return problem_; }

private:
    using Clock = std::chrono::steady_clock;
    struct Patch {
        std::string target;
        std::string content_type;
        std::string body;
        std::string_view right;  // as in right_
        void (NodeStatus::*then)() = nullptr;
    };

    NodeStatus(EventLoop& loop, Options options, std::unique_ptr<HttpClient> client);

    void look();
    void look_soon();
    void take_node();
    // Nothing: all is as it should be.
    [[nodiscard]] std::optional<Patch> next_patch(const NodeView& node);
    void log_changes(const NodeView& node) const;
    void write(const Patch& patch);
    void take_written();
    void take_untainted();
    // All is as it should be, until somebody changes it.
    void rest();
    // What the answer to a request means; `then` when it is 200.
    void begin(const HttpQuery& request, void (NodeStatus::*then)());
    void fail(std::string reason);
    void schedule(std::chrono::milliseconds delay);
    [[nodiscard]] std::chrono::milliseconds spread(std::chrono::milliseconds time);

    EventLoop& loop_;
    const Options options_;
    std::unique_ptr<HttpClient> client_;
    std::mt19937_64 random_{std::random_device()()};
    bool is_up_ = false;
    bool is_ours_ = false;  // the condition has had our reason since the start
    Annotations wanted_;
    Annotations differing_;                      // as the cluster's state had them the last time
    bool again_ = false;                         // something changed while a request ran
    std::string_view right_;                     // which rule of RBAC the request needs that runs
    bool exactly_ = false;                       // no cache of the server's is to answer
    std::optional<Clock::time_point> wrote_at_;  // the last PATCH
    unsigned failures_ = 0;                      // in a row
    std::string problem_;
    int status_ = 0;  // of the answer that comes in
    std::string answer_;
    std::unique_ptr<HttpCall> call_;
    EventLoop::Watch timer_;
};

}  // namespace podlane
