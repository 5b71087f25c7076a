// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/source/etcd/messages.h"
#include "agent/source/etcd/retry.h"

namespace podlane::etcd {

// How this node comes by its subnet and keeps it. Pure: it is shown what etcd holds and told what became of its
// requests and the time, and says what to do next.
//
//   no subnet of this node's ──> grant a lease ──> create the key, if nobody else has ──> held
//   a key with its PublicIP  ──> keep its lease alive, mend what it says ──────────────> held
//   (or with the one it had)
//
// The subnet it had before comes first, then a random one. A key without a lease is a reservation: it is never given
// one. The lease is renewed when a 24th of it is over (of a day: every hour), so that it outlives an etcd that is away
// for almost all of it. A lease that is lost is a key that is gone: it is created again. Until another subnet is held
// the old one counts, since its pods run.
class Claim {
public:
    using Clock = std::chrono::steady_clock;

    struct Options {
        std::size_t endpoints = 1;
        Random random;
        std::chrono::seconds ttl{86400};
        // With flannel: a MAC that this node's key has is kept, since flannel's peers know it.
        enum class Mac : std::uint8_t { own, keep } mac = Mac::own;
    };

    // What etcd holds.
    struct View {
        const Network* network = nullptr;  // null: there is none, or none that can be used: only what is had is kept
        const std::map<Ipv4Prefix, Subnet>* subnets = nullptr;
        std::vector<Ipv4Prefix> taken;  // those, and what stands in keys that cannot be read
    };

    struct Grant {
        std::chrono::seconds ttl;
        bool operator==(const Grant&) const = default;
    };
    // Creates the key (revision 0), or changes the one that is there.
    struct Write {
        Ipv4Prefix subnet;
        Attributes attributes;
        std::int64_t lease = 0;
        std::int64_t revision = 0;
        bool operator==(const Write&) const = default;
    };
    struct KeepAlive {
        std::int64_t lease = 0;
        bool operator==(const KeepAlive&) const = default;
    };
    struct Wait {
        Clock::time_point until;
        bool operator==(const Wait&) const = default;
    };
    struct Idle {  // until what etcd holds has changed
        bool operator==(const Idle&) const = default;
    };
    struct Running {
        bool operator==(const Running&) const = default;
    };
    using Step = std::variant<Grant, Write, KeepAlive, Wait, Idle, Running>;

    Claim(Options options, const Attributes& attributes)
        : options_(std::move(options)), retry_(options_.endpoints, options_.random), attributes_(attributes) {}

    // What this node had before, from a saved state. A key that still says just this is its own, whatever its PublicIP
    // is by now.
    struct Before {
        Ipv4Prefix subnet;
        std::optional<Ipv4Address> public_ip = std::nullopt;
        std::optional<MacAddress> mac = std::nullopt;
    };
    void remember(const Before& before);

    // What to do now; with Grant, Write and KeepAlive the request counts as begun.
    [[nodiscard]] Step next(const View& view, Clock::time_point now);
    [[nodiscard]] std::size_t endpoint() const { return retry_.endpoint(); }

    void granted(const Lease& lease, Clock::time_point now);
    // The condition did not hold: what is there by now has to be in the next view.
    void refused(Clock::time_point now);
    void written(const Write& write);
    void kept_alive(const Lease& lease, Clock::time_point now);
    // `status`: of HTTP; 0: there was no answer.
    void failed(int status, Clock::time_point now);
    // Renew at once.
    void hurry() { renew_at_ = {}; }

    // The subnet that is this node's; nothing: none so far.
    [[nodiscard]] const std::optional<Ipv4Prefix>& held() const { return held_; }
    // This node's, or what it left behind under the PublicIP that it had.
    [[nodiscard]] bool owns(const Subnet& subnet) const;
    // What is published with it.
    [[nodiscard]] const Attributes& attributes() const { return attributes_; }
    // Why there is none; empty: nothing is wrong.
    [[nodiscard]] const std::string& problem() const { return problem_; }
    [[nodiscard]] std::size_t failures() const { return retry_.failures(); }

private:
    [[nodiscard]] const Subnet* own_subnet(const View& view) const;
    [[nodiscard]] bool may_have(const View& view, const Ipv4Prefix& subnet) const;
    [[nodiscard]] Step keep(const Subnet& own, Clock::time_point now);
    [[nodiscard]] Step take(const View& view);
    [[nodiscard]] std::optional<Ipv4Prefix> choose(const View& view) const;
    void take_lease(const Lease& lease, Clock::time_point now);

    const Options options_;
    Retry retry_;
    Attributes attributes_;
    std::optional<Before> remembered_;
    std::optional<Ipv4Prefix> before_;  // remembered, or held once
    std::optional<Ipv4Prefix> held_;
    std::int64_t lease_ = 0;  // that is known to live; 0: none
    std::int64_t dead_lease_ = 0;
    Clock::time_point renew_at_{};
    Clock::time_point not_before_{};
    bool running_ = false;
    std::string problem_;
};

}  // namespace podlane::etcd
