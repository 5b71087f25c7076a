// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/list_watch.h"

#include <algorithm>
#include <utility>

namespace podlane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned page_size = 500;
// kubectl's and the controllers' own: nodes' watches end at different times, and a lost one is noticed at last.
constexpr milliseconds shortest_watch = seconds(300);
constexpr milliseconds longest_watch = seconds(600);
// One that is over sooner, without an event, would be asked for without end.
constexpr milliseconds short_watch = seconds(1);

constexpr milliseconds first_backoff(500);
constexpr milliseconds longest_backoff = seconds(30);
constexpr unsigned most_doublings = 6;
// What no repetition mends: missing rights, a wrong address. Somebody has to act.
constexpr milliseconds shortest_refusal = seconds(30);
constexpr milliseconds longest_refusal = seconds(60);
// A server that names a later time means something else.
constexpr seconds longest_retry_after(300);
// All nodes' watches end when a server ends.
constexpr milliseconds reconnect_spread = seconds(1);
// A watch that is refused so often in a row is begun anew, with a list.
constexpr unsigned most_refused_watches = 3;

constexpr int http_bad_request = 400;
constexpr int http_unauthorized = 401;
constexpr int http_gone = 410;
constexpr int http_too_many_requests = 429;
constexpr int http_server_error = 500;
constexpr int http_gateway_timeout = 504;

}  // namespace

bool ListWatch::is_final(const RequestFailure& failure) {
    return failure.kind == RequestFailure::Kind::status && failure.status < http_server_error &&
           failure.status != http_too_many_requests && failure.status != http_unauthorized &&
           failure.status != http_gone && failure.status != http_bad_request;
}

ListWatch::Step ListWatch::next(Clock::time_point now) {
    if (running_) {
        return Running{};
    }
    if (now < not_before_) {
        return Wait{not_before_};
    }
    running_ = true;
    if (!watching_) {
        // With a limit the server would read from etcd, whatever version is asked for.
        return List{.resource_version = continue_token_.empty() ? list_version_ : "",
                    .continue_token = continue_token_,
                    .limit = list_version_.empty() ? page_size : 0};
    }
    watch_began_ = now;
    progress_ = false;
    return Watch{.resource_version = version_,
                 .timeout = std::chrono::round<seconds>(spread(shortest_watch, longest_watch))};
}

ListWatch::Verdict ListWatch::listed(const Page& page, const Names& listed, const Names& known, Clock::time_point now) {
    running_ = false;
    failures_ = failed_watches_;
    unauthorized_ = 0;
    continue_token_ = page.continue_token;
    if (!continue_token_.empty()) {
        return Verdict::more;
    }
    if (options_.loss == Options::Loss::confirmed && doubt_.doubts(listed, known)) {
        list_anew("");
        not_before_ = now + spread(LossDoubt::shortest_wait, LossDoubt::longest_wait);
        return Verdict::doubted;
    }
    version_ = page.resource_version;
    watching_ = true;
    return Verdict::complete;
}

void ListWatch::progressed(const std::string& resource_version) {
    version_ = resource_version;
    progress_ = true;
    failures_ = 0;
    failed_watches_ = 0;
    refused_watches_ = 0;
    expired_ = 0;
    unauthorized_ = 0;
}

void ListWatch::watch_ended(Clock::time_point now) {
    running_ = false;
    if (!progress_ && now - watch_began_ < short_watch) {
        ++failures_;
        ++failed_watches_;
        not_before_ = now + backoff();
        return;
    }
    failures_ = 0;
    failed_watches_ = 0;
    refused_watches_ = 0;
    expired_ = 0;
    unauthorized_ = 0;
    not_before_ = now + spread(milliseconds(0), reconnect_spread);
}

void ListWatch::failed(const RequestFailure& failure, Clock::time_point now) {
    running_ = false;
    ++failures_;
    const bool status = failure.kind == RequestFailure::Kind::status;
    unauthorized_ = status && failure.status == http_unauthorized ? unauthorized_ + 1 : 0;
    expired_ = status && failure.status == http_gone ? expired_ + 1 : expired_;
    if (watching_) {
        failed_watches_ += status && failure.status == http_gone && expired_ == 1 ? 0 : 1;
        watch_failed(failure);
    } else {
        list_failed(failure);
    }
    wait_after(failure, now);
}

void ListWatch::list_failed(const RequestFailure& failure) {
    const bool status = failure.kind == RequestFailure::Kind::status;
    // 410: the token, or the version, is too old. 400: one of them is no good. 504: the version is of the future (the
    // server's data were put back), or the server just is slow: then its cache may still answer.
    const bool any_version = list_version_.empty() || list_version_ == "0";
    const bool wrong_version = status && (failure.status == http_gone || failure.status == http_bad_request ||
                                          (failure.status == http_gateway_timeout && !any_version));
    if (wrong_version) {
        list_anew("");
    } else if (failure.kind == RequestFailure::Kind::content) {
        list_anew(list_version_);
    }
}

void ListWatch::watch_failed(const RequestFailure& failure) {
    if (failure.kind == RequestFailure::Kind::content) {
        list_anew(version_);
        return;
    }
    if (failure.kind == RequestFailure::Kind::connection) {
        return;
    }
    ++refused_watches_;
    if (failure.status == http_gone || refused_watches_ >= most_refused_watches || is_final(failure) ||
        failure.status == http_bad_request) {
        // What is known is too old to watch from, but still tells which cache is older. Where that did not help, the
        // list has to be exact.
        list_anew(expired_ > 1 || failure.status != http_gone ? "" : version_);
        refused_watches_ = 0;
    }
}

void ListWatch::restart(Clock::time_point now) {
    running_ = false;
    not_before_ = now;
    if (doubt_.is_pending()) {
        list_anew("");  // a cache that gave what is doubted does not confirm it
    } else {
        list_anew(version_.empty() ? "0" : version_);
    }
}

void ListWatch::list_anew(std::string resource_version) {
    watching_ = false;
    list_version_ = std::move(resource_version);
    continue_token_.clear();
}

void ListWatch::wait_after(const RequestFailure& failure, Clock::time_point now) {
    // At once, for the first time: with other credentials, with another list.
    const bool once_at_once =
        failure.kind == RequestFailure::Kind::status &&
        ((failure.status == http_unauthorized && unauthorized_ == 1) || (failure.status == http_gone && expired_ == 1));
    if (once_at_once) {
        not_before_ = now;
        return;
    }
    auto delay = is_final(failure) ? spread(shortest_refusal, longest_refusal) : backoff();
    if (failure.retry_after) {
        const milliseconds asked = std::min(*failure.retry_after, longest_retry_after);
        delay = std::max(delay, spread(asked, asked + reconnect_spread));
    }
    not_before_ = now + delay;
}

milliseconds ListWatch::backoff() {
    const auto doublings = std::min(failures_ == 0 ? 0 : failures_ - 1, most_doublings);
    const auto most = std::min(first_backoff * (1U << doublings), longest_backoff);
    return spread(most / 2, most);
}

milliseconds ListWatch::spread(milliseconds least, milliseconds most) {
    const auto width = static_cast<double>((most - least).count());
    return least + milliseconds(static_cast<milliseconds::rep>(options_.random() * width));
}

}  // namespace podlane
