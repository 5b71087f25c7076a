// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "agent/event_loop.h"
#include "agent/http/http_client.h"
#include "agent/source/etcd/claimer.h"
#include "agent/source/etcd/follower.h"
#include "agent/source/etcd/gateway.h"
#include "agent/source/etcd/grace.h"
#include "agent/source/source.h"
#include "agent/source/state_keeper.h"

namespace podlane {

// Cluster state from etcd, as flannel keeps it there: each subnet is a node. This node's own is taken and kept. There
// are no pods in it.
//
// An etcd that is away, or that says something strange, changes nothing but the health. The last good state is kept in
// a file: when no endpoint can be reached while the agent starts, that is the state to begin with,
// and in any case what the first list is held against. When etcd has lost much, nobody goes for a minute (etcd::Grace).
class EtcdSource final : public Source {
public:
    struct Options {
        etcd::Access access;
        std::string prefix;  // "/coreos.com/network"
        std::string node_name;
        std::string cache_file;                 // absolute; empty: nothing is kept
        std::vector<Ipv4Prefix> cluster_cidrs;  // flannel's Network has to be in them
        std::uint32_t vni = 1;
        std::uint16_t port = 8472;
        // Beside flannel: a MAC that is published for this node already stays.
        etcd::Claim::Options::Mac mac = etcd::Claim::Options::Mac::own;
        std::chrono::seconds lease_ttl{86400};
        // The address that other nodes reach this one at. Asked until there is one, and again by reload().
        std::function<Result<Ipv4Address>()> own_address;
        // The MAC of the VTEP of the node with this address.
        std::function<MacAddress(Ipv4Address address)> vtep_mac;
    };

    // The loop must outlive the source.
    [[nodiscard]] static Result<std::unique_ptr<EtcdSource>> create(EventLoop& loop, Options options);
    EtcdSource(const EtcdSource&) = delete;
    EtcdSource& operator=(const EtcdSource&) = delete;
    // Saves what has not been saved yet. The subnet stays this node's.
    ~EtcdSource() override = default;

    [[nodiscard]] const ClusterObjects& objects() const override { return objects_; }
    [[nodiscard]] const SourceHealth& health() const override { return health_; }
    [[nodiscard]] std::vector<SourceActivity> activity() const override { return {follower_.activity()}; }
    void on_change(std::function<void()> callback) override { on_change_ = std::move(callback); }
    [[nodiscard]] Result<void> start() override;
    void reload() override;

private:
    EtcdSource(EventLoop& loop, Options options, std::unique_ptr<HttpClient> client);

    [[nodiscard]] etcd::Random random();
    void read_cache();
    void look_for_address();
    [[nodiscard]] etcd::Claim make_claim(Ipv4Address address);
    void take_change();
    void publish();
    [[nodiscard]] bool is_live() const;
    [[nodiscard]] ClusterObjects live_objects();
    void look_for_losses();
    void tell_of_missing(std::size_t before);
    [[nodiscard]] NodeObject self() const;
    [[nodiscard]] std::string first_problem() const;
    [[nodiscard]] std::string problem_of_network() const;
    [[nodiscard]] std::string problem() const;
    [[nodiscard]] std::vector<ObjectWarning> warnings() const;
    void schedule(EventLoop::Watch& timer, std::chrono::milliseconds delay, void (EtcdSource::*action)());
    void end_patience();

    EventLoop& loop_;
    const Options options_;
    const std::string server_;  // whose a saved state is
    std::mt19937_64 random_{std::random_device()()};
    std::unique_ptr<HttpClient> client_;
    etcd::Gateway gateway_;
    etcd::Follower follower_;
    std::optional<Ipv4Address> address_;
    std::string address_problem_;
    std::unique_ptr<etcd::Claimer> claimer_;  // as soon as there is an address
    etcd::Grace grace_;
    std::uint64_t upsets_ = 0;  // of the follower that have been seen
    std::function<void()> on_change_;

    bool patient_ = true;              // an endpoint may still answer before the saved state is used
    std::optional<SavedState> saved_;  // that was found at the start
    bool live_ = false;                // what is published is etcd's, not the saved state
    ClusterObjects objects_;
    SourceHealth health_;
    StateKeeper keeper_;
    EventLoop::Watch patience_;
    EventLoop::Watch publish_timer_;
    EventLoop::Watch address_timer_;
    EventLoop::Watch grace_timer_;
};

}  // namespace podlane
