// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/event_loop.h"
#include "agent/source/etcd/follow.h"
#include "agent/source/etcd/gateway.h"
#include "agent/source/etcd/store.h"
#include "agent/source/source.h"

namespace podlane::etcd {

// Keeps a Store current: asks what Follow says.
class Follower {
public:
    struct Options {
        std::string prefix;  // without a slash at its end
        Random random;
    };
    // `changed` is called, possibly from within libcurl, after every change of the store or the problem. The loop and
    // the gateway must outlive it.
    Follower(EventLoop& loop, Gateway& gateway, const Options& options, std::function<void()> changed);

    void start() { advance(); }
    void restart();

    [[nodiscard]] bool in_sync() const { return in_sync_; }
    // How often a list was doubted, or was of another cluster or of an earlier time than what was known.
    [[nodiscard]] std::uint64_t upsets() const { return upsets_; }
    [[nodiscard]] Store& store() { return store_; }
    [[nodiscard]] const Store& store() const { return store_; }
    [[nodiscard]] const SourceActivity& activity() const { return activity_; }
    // One line that names the endpoint; empty: all well.
    [[nodiscard]] const std::string& problem() const { return problem_; }

private:
    void advance();
    void ask(const char* what, RangeContent content, void (Follower::*take)(const UnaryCall::Answer& answer));
    void take_list(const UnaryCall::Answer& answer);
    void take_check(const UnaryCall::Answer& answer);
    void begin_watch(const Follow::Watch& watch);
    [[nodiscard]] HttpEvents::Then take_bytes(std::string_view bytes);
    [[nodiscard]] Result<void> take_message(const WatchAnswer& answer);
    void take_watch_end(const Result<void>& result);
    void fail(const std::string& message);
    void tell_failure(const std::string& message);
    void set_problem(std::string problem);

    EventLoop& loop_;
    Gateway& gateway_;
    const KeyRange range_;
    std::function<void()> changed_;
    Follow machine_;
    Store store_;
    bool in_sync_ = false;
    std::uint64_t upsets_ = 0;
    SourceActivity activity_{.resource = "subnets"};
    std::string problem_;

    // What the watch that runs has told of itself.
    struct Watching {
        std::unique_ptr<WatchMessages> messages;
        int status = 0;
        std::string refusal;
        bool created = false;
        std::int64_t compact_revision = 0;
        std::string endpoint;
        std::string error;                                    // that ended it
        enum class End { unknown, told } end = End::unknown;  // whether Follow has been told already
    };
    Watching watching_;
    UnaryCall call_;
    std::unique_ptr<HttpCall> watch_;
    EventLoop::Watch timer_;  // the next request, or the watch's end
};

}  // namespace podlane::etcd
