// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/follower.h"

#include <utility>

#include "agent/log.h"

namespace podlane::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Then = HttpEvents::Then;

constexpr int http_ok = 200;
constexpr std::size_t longest_refusal = 4096;
constexpr HttpTimeouts read_timeouts = {
    .connect = seconds(5), .head = seconds(10), .silence = seconds(10), .total = seconds(60)};
// Some failures belong to a server's life: one by itself is no problem as long as there is a state.
constexpr std::size_t tolerated_failures = 1;

}  // namespace

Follower::Follower(EventLoop& loop, Gateway& gateway, const Options& options, std::function<void()> changed)
    : loop_(loop),
      gateway_(gateway),
      range_(keys_below(options.prefix + '/')),
      changed_(std::move(changed)),
      machine_(gateway.endpoints(), options.random),
      store_(options.prefix) {}

void Follower::restart() {
    call_.cancel();
    watch_.reset();
    machine_.restart(Follow::Clock::now());
    advance();
}

void Follower::advance() {
    timer_.cancel();
    const auto now = Follow::Clock::now();
    const auto step = machine_.next(now);
    if (std::holds_alternative<Follow::List>(step)) {
        store_.list_begins();
        ask("list", RangeContent::values, &Follower::take_list);
    } else if (std::holds_alternative<Follow::Check>(step)) {
        ask("check", RangeContent::count, &Follower::take_check);
    } else if (const auto* watch = std::get_if<Follow::Watch>(&step)) {
        begin_watch(*watch);
    } else if (const auto* wait = std::get_if<Follow::Wait>(&step)) {
        auto timer = loop_.after(std::chrono::ceil<milliseconds>(wait->until - now), [this] { advance(); });
        if (timer) {
            timer_ = std::move(*timer);
        } else {
            set_problem(timer.error().message);
        }
    }
}

void Follower::ask(const char* what, RangeContent content, void (Follower::*take)(const UnaryCall::Answer&)) {
    const auto begun = call_.start(gateway_,
                                   {.endpoint = machine_.endpoint(),
                                    .path = "/v3/kv/range",
                                    .body = range_request(range_, content),
                                    .timeouts = read_timeouts},
                                   [this, what, take](const UnaryCall::Answer& answer) {
                                       if (answer.good()) {
                                           (this->*take)(answer);
                                       } else {
                                           fail(fmt::format("{}: {}", what, answer.problem));
                                       }
                                   });
    if (!begun) {
        fail(begun.error().message);
    }
}

void Follower::take_list(const UnaryCall::Answer& answer) {
    const auto list = parse_range(answer.body);
    if (!list) {
        fail(fmt::format("list: {}", list.error().message));
        return;
    }
    const auto content = store_.compare(*list);
    const bool set_back = in_sync_ && machine_.is_behind(list->position);
    const auto& endpoint = gateway_.endpoint(machine_.endpoint());
    const auto verdict = machine_.listed(list->position, content, Follow::Clock::now());
    upsets_ += set_back || verdict == Follow::Verdict::doubted ? 1 : 0;
    if (verdict == Follow::Verdict::doubted) {
        store_.doubt(*list);
        problem_ = fmt::format("{}: a list lacks {} of {} subnets: not believed before a second one lacks them too",
                               endpoint, machine_.doubted_loss(), content.known.size());
        changed_();
    } else {
        store_.replace(*list);
        ++activity_.lists;
        in_sync_ = true;
        problem_.clear();
        changed_();
    }
    advance();
}

void Follower::take_check(const UnaryCall::Answer& answer) {
    const auto range = parse_range(answer.body);
    if (!range) {
        fail(fmt::format("check: {}", range.error().message));
        return;
    }
    machine_.checked(range->position, Follow::Clock::now());
    set_problem("");
    advance();
}

void Follower::begin_watch(const Follow::Watch& watch) {
    ++activity_.watches;
    watching_ = {};
    watching_.messages = std::make_unique<WatchMessages>();
    watching_.endpoint = gateway_.endpoint(machine_.endpoint());
    auto call = gateway_.post({.endpoint = machine_.endpoint(),
                               .path = "/v3/watch",
                               .body = watch_request(range_, watch.start_revision),
                               .timeouts = {.connect = read_timeouts.connect, .head = read_timeouts.head}},
                              {.head =
                                   [this](const HttpHead& head) {
                                       watching_.status = head.status;
                                       return Then::go_on;
                                   },
                               .body = [this](std::string_view bytes) { return take_bytes(bytes); },
                               .done = [this](const Result<void>& result) { take_watch_end(result); }});
    // Nothing else ends it: etcd itself never does.
    auto end = loop_.after(watch.time, [this] {
        watch_.reset();
        machine_.watch_ended(Follow::Clock::now());
        advance();
    });
    if (!call || !end) {
        fail(call ? end.error().message : call.error().message);
        return;
    }
    watch_ = std::move(*call);
    timer_ = std::move(*end);
}

Then Follower::take_bytes(std::string_view bytes) {
    if (watching_.status != http_ok) {
        watching_.refusal += bytes.substr(0, longest_refusal - std::min(watching_.refusal.size(), longest_refusal));
        return Then::go_on;
    }
    const auto fed =
        watching_.messages->feed(bytes, [this](const WatchAnswer& answer) { return take_message(answer); });
    if (fed) {
        return Then::go_on;
    }
    watching_.error = fed.error().message;
    return Then::stop;
}

// An error ends the watch.
Result<void> Follower::take_message(const WatchAnswer& answer) {
    if (answer.compact_revision != 0 || answer.canceled || !answer.error.empty()) {
        watching_.compact_revision = answer.compact_revision;
        return podlane::fail("the server ended the watch{}{}", answer.error.empty() ? "" : ": ", answer.error);
    }
    if (answer.created) {
        watching_.created = true;
        if (!machine_.watching(answer.position, Follow::Clock::now())) {
            watching_.end = Watching::End::told;
            return podlane::fail("the member has fallen behind, or is of another cluster");
        }
        return {};
    }
    for (const auto& event : answer.events) {
        store_.put(event);
    }
    // Large changes come in parts; only the header of the last one may be resumed from.
    const auto known = answer.events.empty() ? answer.position.revision : answer.events.back().revision;
    machine_.progressed(known);
    if (!answer.events.empty()) {
        changed_();
    }
    return {};
}

void Follower::take_watch_end(const Result<void>& result) {
    const auto ended = std::exchange(watch_, nullptr);
    timer_.cancel();
    const auto now = Follow::Clock::now();
    if (watching_.status != 0 && watching_.status != http_ok) {
        fail(fmt::format("watch: {}", describe_refusal(watching_.status, watching_.refusal)));
    } else if (watching_.compact_revision != 0) {
        log::debug("cluster state: {} was compacted, list again", watching_.compact_revision);
        machine_.compacted(now);
        advance();
    } else if (watching_.end == Watching::End::told) {
        tell_failure(fmt::format("{}: watch: {}", watching_.endpoint, watching_.error));
        advance();
    } else if (!watching_.error.empty()) {
        fail(fmt::format("watch: {}", watching_.error));
    } else if (!watching_.created) {
        fail(fmt::format("watch: {}", result ? "no answer" : result.error().message));
    } else {
        machine_.watch_ended(now);
        advance();
    }
}

void Follower::fail(const std::string& message) {
    const auto& endpoint = gateway_.endpoint(machine_.endpoint());
    const auto problem = fmt::format("{}: {}", endpoint, message);
    machine_.failed(Follow::Clock::now());
    tell_failure(problem);
    advance();
}

void Follower::tell_failure(const std::string& message) {
    ++activity_.failures;
    log::debug("cluster state: {}", message);
    if (!in_sync_ || machine_.failures() > tolerated_failures) {
        set_problem(message);
    }
}

void Follower::set_problem(std::string problem) {
    if (problem != problem_) {
        problem_ = std::move(problem);
        changed_();
    }
}

}  // namespace podlane::etcd
