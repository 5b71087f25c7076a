// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/event_loop.h"
#include "agent/http/http_call.h"
#include "agent/http/http_client.h"
#include "agent/source/kube/access.h"
#include "agent/source/kube/decoder.h"
#include "agent/source/kube/list_watch.h"
#include "agent/source/source.h"
#include "agent/state/objects.h"

namespace podlane {

// Keeps one kind of objects as the API server has it: carries out what ListWatch wants, and holds what comes of it.
class KubeReflector {
public:
    struct Options {
        DecodeOptions decode;
        KubeAccessSource access;
        ListWatch::Random random;
    };

    // Loop and client must outlive the reflector. `changed`: after every change of what follows here; it may come
    // while a request is being read, and must not destroy the reflector.
    KubeReflector(EventLoop& loop, HttpClient& client, Options options, std::function<void()> changed);
    KubeReflector(const KubeReflector&) = delete;
    KubeReflector& operator=(const KubeReflector&) = delete;
    ~KubeReflector() = default;

    // What was known before: a list is held against it.
    void remember(ClusterObjects objects) { objects_ = std::move(objects); }
    void start() { advance(); }
    // Lists anew, at once.
    void restart();

    // Nodes, or pods.
    [[nodiscard]] const ClusterObjects& objects() const { return objects_; }
    // A list has been read since the start.
    [[nodiscard]] bool in_sync() const { return in_sync_; }
    // Empty: all well. Otherwise one line: what failed at which server.
    [[nodiscard]] const std::string& problem() const { return problem_; }
    [[nodiscard]] const std::vector<ObjectWarning>& warnings() const { return warnings_; }
    [[nodiscard]] const SourceActivity& activity() const { return activity_; }

private:
    // One request and what has come of it.
    struct Exchange {
        std::unique_ptr<ListDecoder> list;  // one of the two
        std::unique_ptr<WatchDecoder> watch;
        HttpHead head;
        std::string refusal;                    // the body of an answer that is not 200
        std::optional<RequestFailure> failure;  // found in the body
    };

    void advance();
    void begin_list(const ListWatch::List& list);
    void begin_watch(const ListWatch::Watch& watch);
    void begin(const std::string& query, const HttpTimeouts& timeouts);
    [[nodiscard]] HttpEvents::Then take_head(const HttpHead& head);
    [[nodiscard]] HttpEvents::Then take_body(std::string_view bytes);
    void take_end(const Result<void>& result);
    [[nodiscard]] std::optional<RequestFailure> failure_of(const Result<void>& result) const;
    void take_list();
    [[nodiscard]] Result<void> take_event(WatchEvent event);
    void add(ReadObjects objects, ClusterObjects& target, std::vector<ObjectWarning>& warnings) const;
    void remove(const ObjectHead& head);
    void fail(RequestFailure failure);
    void set_problem(std::string problem);
    [[nodiscard]] ListWatch::Names names(const ClusterObjects& objects) const;
    [[nodiscard]] std::string_view resource() const { return is_node() ? "nodes" : "pods"; }
    [[nodiscard]] bool is_node() const { return options_.decode.kind == KubeKind::node; }

    EventLoop& loop_;
    HttpClient& client_;
    const Options options_;
    std::function<void()> changed_;
    ListWatch machine_;
    EventLoop::Watch retry_;
    std::string server_;
    Exchange exchange_;
    std::unique_ptr<HttpCall> call_;

    ClusterObjects pending_;  // of the pages of a list so far
    std::vector<ObjectWarning> pending_warnings_;
    ClusterObjects objects_;
    std::vector<ObjectWarning> warnings_;
    bool in_sync_ = false;
    std::string problem_;
    bool watch_fails_ = false;  // that is the problem: lists alone do not end it
    SourceActivity activity_;
};

}  // namespace podlane
