// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/reflector.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "agent/log.h"
#include "agent/source/kube/request.h"
#include "agent/text/printable.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Then = HttpEvents::Then;

constexpr int http_ok = 200;
// The server itself gives up after 60 s.
constexpr HttpTimeouts list_timeouts = {
    .connect = seconds(10), .head = seconds(75), .silence = seconds(30), .total = seconds(300)};
// A watch that the server does not end in time is cut.
constexpr seconds watch_grace(30);
// Some failures belong to a server's life: one by itself is no problem as long as there is a state.
constexpr unsigned tolerated_failures = 1;

std::string object_name(const ObjectHead& head, KubeKind kind) {
    return kind == KubeKind::node ? head.name
                                  : (head.name_space.empty() ? "default" : head.name_space) + '/' + head.name;
}

int to_number(std::string_view text) {
    int number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

}  // namespace

KubeReflector::KubeReflector(EventLoop& loop, HttpClient& client, Options options, std::function<void()> changed)
    : loop_(loop),
      client_(client),
      options_(std::move(options)),
      changed_(std::move(changed)),
      machine_({.loss = options_.decode.kind == KubeKind::node ? ListWatch::Options::Loss::confirmed
                                                               : ListWatch::Options::Loss::believed,
                .random = options_.random}),
      activity_{.resource = resource()} {}

void KubeReflector::restart() {
    call_.reset();
    machine_.restart(ListWatch::Clock::now());
    advance();
}

void KubeReflector::advance() {
    retry_.cancel();
    const auto now = ListWatch::Clock::now();
    const auto step = machine_.next(now);
    if (const auto* list = std::get_if<ListWatch::List>(&step)) {
        begin_list(*list);
    } else if (const auto* watch = std::get_if<ListWatch::Watch>(&step)) {
        begin_watch(*watch);
    } else if (const auto* wait = std::get_if<ListWatch::Wait>(&step)) {
        auto timer = loop_.after(std::chrono::ceil<milliseconds>(wait->until - now), [this] { advance(); });
        if (timer) {
            retry_ = std::move(*timer);
        } else {
            set_problem(timer.error().message);
        }
    }
}

void KubeReflector::begin_list(const ListWatch::List& list) {
    if (list.continue_token.empty()) {
        pending_ = {};
        pending_warnings_.clear();
    }
    exchange_ = {};
    exchange_.list = std::make_unique<ListDecoder>(options_.decode);
    std::string query;
    if (!list.resource_version.empty()) {
        query += fmt::format("&resourceVersion={}", percent_encoded(list.resource_version));
    }
    if (list.limit > 0) {
        query += fmt::format("&limit={}", list.limit);
    }
    if (!list.continue_token.empty()) {
        query += fmt::format("&continue={}", percent_encoded(list.continue_token));
    }
    begin(query, list_timeouts);
}

void KubeReflector::begin_watch(const ListWatch::Watch& watch) {
    exchange_ = {};
    exchange_.watch = std::make_unique<WatchDecoder>(options_.decode);
    ++activity_.watches;
    begin(fmt::format("&watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
                      percent_encoded(watch.resource_version), watch.timeout.count()),
          {.connect = list_timeouts.connect,
           .head = list_timeouts.head,
           .silence = milliseconds(0),
           .total = watch.timeout + watch_grace});
}

void KubeReflector::begin(const std::string& query, const HttpTimeouts& timeouts) {
    const auto access = read_access(options_.access);
    if (!access) {
        fail({.kind = RequestFailure::Kind::connection, .message = access.error().message});
        return;
    }
    server_ = access->server;
    auto all = query;
    if (!is_node()) {
        all += fmt::format("&fieldSelector=spec.nodeName%3D{}", percent_encoded(options_.decode.node_name));
    }
    const auto target =
        fmt::format("/api/v1/{}{}{}", resource(), all.empty() ? "" : "?", all.empty() ? "" : all.substr(1));
    const auto request = kube_request(*access, target, timeouts);
    auto call = client_.start(request, {.head = [this](const HttpHead& head) { return take_head(head); },
                                        .body = [this](std::string_view bytes) { return take_body(bytes); },
                                        .done = [this](const Result<void>& result) { take_end(result); }});
    if (!call) {
        fail({.kind = RequestFailure::Kind::connection, .message = call.error().message});
        return;
    }
    call_ = std::move(*call);
}

Then KubeReflector::take_head(const HttpHead& head) {
    exchange_.head = head;
    if (head.status == http_ok && exchange_.watch) {
        watch_fails_ = false;
        set_problem("");
    }
    return Then::go_on;
}

Then KubeReflector::take_body(std::string_view bytes) {
    if (exchange_.head.status != http_ok) {
        exchange_.refusal += bytes.substr(0, longest_refusal - std::min(exchange_.refusal.size(), longest_refusal));
        return Then::go_on;
    }
    const auto fed = exchange_.list ? exchange_.list->feed(bytes)
                                    : exchange_.watch->feed(
                                          bytes, [this](WatchEvent event) { return take_event(std::move(event)); });
    if (fed) {
        return Then::go_on;
    }
    if (!exchange_.failure) {
        exchange_.failure = {.kind = RequestFailure::Kind::content, .message = fed.error().message};
    }
    return Then::stop;
}

void KubeReflector::take_end(const Result<void>& result) {
    const auto ended = std::exchange(call_, nullptr);
    if (auto failure = failure_of(result)) {
        fail(std::move(*failure));
        return;
    }
    if (exchange_.list) {
        take_list();
    } else {
        // Cut or over: what has been said was said in whole events.
        machine_.watch_ended(ListWatch::Clock::now());
        if (machine_.failures() > tolerated_failures) {
            set_problem(fmt::format("{}: watch {}: the server ends every watch at once", server_, resource()));
        }
    }
    advance();
}

std::optional<RequestFailure> KubeReflector::failure_of(const Result<void>& result) const {
    if (exchange_.failure) {
        return exchange_.failure;
    }
    const auto& head = exchange_.head;
    if (head.status != 0 && head.status != http_ok) {
        return RequestFailure{.kind = RequestFailure::Kind::status,
                              .status = head.status,
                              .retry_after = head.retry_after,
                              .message = describe_refusal(head.status, exchange_.refusal)};
    }
    if (!result && (exchange_.list || head.status == 0)) {
        return RequestFailure{.kind = RequestFailure::Kind::connection, .message = result.error().message};
    }
    return std::nullopt;
}

void KubeReflector::take_list() {
    auto page = exchange_.list->finish();
    if (!page) {
        fail({.kind = RequestFailure::Kind::content, .message = page.error().message});
        return;
    }
    add(std::move(page->objects), pending_, pending_warnings_);
    const auto verdict =
        machine_.listed({.resource_version = page->resource_version, .continue_token = page->continue_token},
                        names(pending_), names(objects_), ListWatch::Clock::now());
    if (verdict == ListWatch::Verdict::complete) {
        objects_ = std::exchange(pending_, {});
        warnings_ = std::exchange(pending_warnings_, {});
        in_sync_ = true;
        ++activity_.lists;
        if (!watch_fails_) {
            problem_.clear();
        }
        changed_();
    } else if (verdict == ListWatch::Verdict::doubted) {
        set_problem(fmt::format("{}: a list lacks {} of {} nodes: not believed before a second one lacks them too",
                                server_, machine_.doubted_loss(), objects_.nodes.size()));
    }
}

Result<void> KubeReflector::take_event(WatchEvent event) {
    using Type = WatchEvent::Type;
    if (event.type == Type::error) {
        const int code = to_number(event.head.code);
        exchange_.failure = {.kind = RequestFailure::Kind::status,
                             .status = code,
                             .message = fmt::format("{}: {}", code, printable(event.head.message))};
        return podlane::fail("the server ended the watch");
    }
    machine_.progressed(event.head.resource_version);
    if (event.type != Type::bookmark) {
        remove(event.head);
        if (event.type != Type::deleted) {
            add(std::move(event.objects), objects_, warnings_);
        }
        changed_();
    }
    return {};
}

void KubeReflector::add(ReadObjects objects, ClusterObjects& target, std::vector<ObjectWarning>& warnings) const {
    for (auto& node : objects.nodes) {
        auto name = node.name;
        target.nodes.insert_or_assign(std::move(name), std::move(node));
    }
    for (auto& pod : objects.pods) {
        auto name = pod.name_space + '/' + pod.name;
        target.pods.insert_or_assign(std::move(name), std::move(pod));
    }
    warnings.insert(warnings.end(), std::move_iterator(objects.warnings.begin()),
                    std::move_iterator(objects.warnings.end()));
}

void KubeReflector::remove(const ObjectHead& head) {
    const auto name = object_name(head, options_.decode.kind);
    if (is_node()) {
        objects_.nodes.erase(name);
    } else {
        objects_.pods.erase(name);
    }
    const auto described = fmt::format("{} {}", is_node() ? "node" : "pod", printable(name));
    std::erase_if(warnings_, [&](const ObjectWarning& warning) { return warning.object == described; });
}

void KubeReflector::fail(RequestFailure failure) {
    const auto verb = exchange_.list ? "list" : "watch";
    auto problem =
        server_.empty() ? failure.message : fmt::format("{}: {} {}: {}", server_, verb, resource(), failure.message);
    log::debug("cluster state: {}", problem);
    ++activity_.failures;
    machine_.failed(failure, ListWatch::Clock::now());
    if (!in_sync_ || machine_.failures() > tolerated_failures || ListWatch::is_final(failure)) {
        watch_fails_ = exchange_.watch != nullptr;
        set_problem(std::move(problem));
    }
    advance();
}

void KubeReflector::set_problem(std::string problem) {
    if (problem != problem_) {
        problem_ = std::move(problem);
        changed_();
    }
}

ListWatch::Names KubeReflector::names(const ClusterObjects& objects) const {
    ListWatch::Names result;
    for (const auto& [name, node] : objects.nodes) {
        result.insert(name);
    }
    return result;
}

}  // namespace podlane
