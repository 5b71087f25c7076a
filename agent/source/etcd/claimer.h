// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "agent/event_loop.h"
#include "agent/source/etcd/claim.h"
#include "agent/source/etcd/gateway.h"
#include "agent/source/etcd/store.h"

namespace podlane::etcd {

// Holds this node's subnet: asks what Claim says, by what the store holds.
class Claimer {
public:
    // `changed` is called after every change of the store, the claim or the problem; never from within advance(). Loop,
    // gateway and store must outlive it.
    Claimer(EventLoop& loop, Gateway& gateway, Store& store, Claim claim, std::function<void()> changed);

    // The store has changed. `network` as in Claim::View.
    void advance(const Network* network);
    // Renew the lease with the next advance().
    void hurry() { claim_.hurry(); }

    [[nodiscard]] const Claim& claim() const { return claim_; }
    // One line; empty: all well.
    [[nodiscard]] std::string problem() const;

private:
    void ask(const char* path, std::string body, UnaryCall::Done take);
    void write(const Claim::Write& write);
    void take_grant(const UnaryCall::Answer& answer);
    void take_keep_alive(const UnaryCall::Answer& answer);
    void take_write(const Claim::Write& write, const UnaryCall::Answer& answer);
    void fail(const char* what, const UnaryCall::Answer& answer);

    EventLoop& loop_;
    Gateway& gateway_;
    Store& store_;
    Claim claim_;
    std::function<void()> changed_;
    std::string failure_;
    UnaryCall call_;
    EventLoop::Watch timer_;
};

}  // namespace podlane::etcd
