// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "agent/event_loop.h"
#include "agent/http/http_client.h"
#include "agent/source/kube/access.h"
#include "agent/source/kube/reflector.h"
#include "agent/source/source.h"
#include "agent/source/state_keeper.h"

namespace podlane {

// Cluster state from the Kubernetes API: all nodes, and the pods of this one.
//
// An API server that is away, or that says something strange, changes nothing but the health. The last good state is
// kept in a file: when the server cannot be reached while the agent starts, that is the state to begin with.
class KubernetesSource final : public Source {
public:
    struct Options {
        KubeAccessSource access;
        std::string node_name;
        std::string cache_file;  // absolute; empty: nothing is kept
    };

    // The loop must outlive the source.
    [[nodiscard]] static Result<std::unique_ptr<KubernetesSource>> create(EventLoop& loop, Options options);
    KubernetesSource(const KubernetesSource&) = delete;
    KubernetesSource& operator=(const KubernetesSource&) = delete;
    // Saves what has not been saved yet.
    ~KubernetesSource() override = default;

    [[nodiscard]] const ClusterObjects& objects() const override { return objects_; }
    [[nodiscard]] const SourceHealth& health() const override { return health_; }
    [[nodiscard]] std::vector<SourceActivity> activity() const override {
        return {nodes_.activity(), pods_.activity()};
    }
    void on_change(std::function<void()> callback) override { on_change_ = std::move(callback); }
    // An error: the description of the access is not usable at all.
    [[nodiscard]] Result<void> start() override;
    void reload() override;

private:
    KubernetesSource(EventLoop& loop, Options options, std::unique_ptr<HttpClient> client);

    [[nodiscard]] KubeReflector::Options reflector_options(KubeKind kind);
    void read_cache();
    void take_change();
    void publish();
    [[nodiscard]] bool usable() const;
    [[nodiscard]] std::string problem() const;
    void schedule(EventLoop::Watch& timer, std::chrono::milliseconds delay, void (KubernetesSource::*action)());
    void end_patience();

    EventLoop& loop_;
    const Options options_;
    std::mt19937_64 random_{std::random_device()()};
    std::unique_ptr<HttpClient> client_;
    KubeReflector nodes_;
    KubeReflector pods_;
    std::function<void()> on_change_;

    std::string server_;    // at the start: of whom a saved state must be
    std::string saved_at_;  // of the state that was found at the start; empty: none
    bool unsaved_ = true;   // the keeper has not been told of what is known
    bool patient_ = true;   // the server may still answer before the saved state is used
    ClusterObjects objects_;
    SourceHealth health_;
    StateKeeper keeper_;
    EventLoop::Watch patience_;
    EventLoop::Watch publish_timer_;
};

}  // namespace podlane
