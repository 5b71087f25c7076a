// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/node_condition.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/log.h"
#include "agent/source/kube/request.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Then = HttpEvents::Then;
using nlohmann::json;

constexpr int http_ok = 200;
constexpr int http_forbidden = 403;
constexpr std::string_view condition_type = "NetworkUnavailable";
constexpr std::string_view our_reason = "PodlaneIsUp";
constexpr HttpTimeouts timeouts = {
    .connect = seconds(10), .head = seconds(30), .silence = seconds(10), .total = seconds(60)};
constexpr milliseconds first_backoff = seconds(1);
constexpr unsigned most_doublings = 6;
// A Node with its images and annotations.
constexpr std::size_t longest_answer = 4UL * 1024 * 1024;

// Of the two, `status` decides for everybody who reads conditions; the times are what kubectl shows.
std::string patch_text() {
    const auto now = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
    return json{{"status",
                 {{"conditions",
                   {{{"type", condition_type},
                     {"status", "False"},
                     {"reason", our_reason},
                     {"message", "podlane's datapath is up on this node"},
                     {"lastHeartbeatTime", now},
                     {"lastTransitionTime", now}}}}}}}
        .dump();
}

std::string text_at(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

std::optional<NetworkCondition> read_network_condition(const std::string& node_list) {
    const auto list = json::parse(node_list, nullptr, false);
    const auto node = json::json_pointer("/items/0");
    if (!list.is_object() || !list.contains(node) || !list.at(node).is_object()) {
        return std::nullopt;
    }
    const auto conditions = json::json_pointer("/items/0/status/conditions");
    NetworkCondition result;
    for (const auto& one : list.contains(conditions) ? list.at(conditions) : json::array()) {
        if (one.is_object() && text_at(one, "type") == condition_type) {
            result = {.status = text_at(one, "status"), .reason = text_at(one, "reason")};
        }
    }
    return result;
}

Result<std::unique_ptr<NodeCondition>> NodeCondition::create(EventLoop& loop, Options options) {
    auto client = HttpClient::create(loop);
    if (!client) {
        return std::unexpected(client.error());
    }
    return std::unique_ptr<NodeCondition>(new NodeCondition(loop, std::move(options), std::move(*client)));
}

NodeCondition::NodeCondition(EventLoop& loop, Options options, std::unique_ptr<HttpClient> client)
    : loop_(loop), options_(std::move(options)), client_(std::move(client)) {}

void NodeCondition::network_is_up() {
    if (!std::exchange(is_up_, true)) {
        look();
    }
}

// A list, for which the agent has the right anyway, out of the server's cache.
void NodeCondition::look() {
    const auto access = read_access(options_.access);
    if (!access) {
        fail(access.error().message);
        return;
    }
    const auto target = fmt::format("/api/v1/nodes?fieldSelector=metadata.name%3D{}&resourceVersion=0",
                                    percent_encoded(options_.node_name));
    begin(kube_request(*access, target, timeouts), &NodeCondition::take_node);
}

void NodeCondition::take_node() {
    const auto condition = read_network_condition(answer_);
    if (!condition) {
        fail(fmt::format("the API server has no node {}", options_.node_name));
        return;
    }
    const bool said = condition->status == "False" && (is_ours_ || condition->reason == our_reason);
    if (!said) {
        if (is_ours_) {
            log::warning("node condition {} was set to \"{}\" by somebody ({}): written again", condition_type,
                         condition->status, condition->reason);
        }
        write();
        return;
    }
    is_ours_ = true;
    failures_ = 0;
    problem_.clear();
    schedule(spread(options_.period));
}

void NodeCondition::write() {
    const auto access = read_access(options_.access);
    if (!access) {
        fail(access.error().message);
        return;
    }
    auto request =
        kube_request(*access, fmt::format("/api/v1/nodes/{}/status", percent_encoded(options_.node_name)), timeouts);
    request.headers.emplace_back("Content-Type: application/strategic-merge-patch+json");
    request.method = HttpMethod::patch;
    request.body = patch_text();
    begin(request, &NodeCondition::take_written);
}

void NodeCondition::take_written() {
    log::info("node condition {} is False, reason {}", condition_type, our_reason);
    is_ours_ = true;
    failures_ = 0;
    problem_.clear();
    schedule(spread(options_.period));
}

void NodeCondition::begin(const HttpQuery& request, void (NodeCondition::*then)()) {
    status_ = 0;
    answer_.clear();
    const auto url = request.url;
    auto call = client_->start(
        request, {.head =
                      [this](const HttpHead& head) {
                          status_ = head.status;
                          return Then::go_on;
                      },
                  .body =
                      [this](std::string_view bytes) {
                          answer_ += bytes;
                          return answer_.size() > longest_answer ? Then::stop : Then::go_on;
                      },
                  .done =
                      [this, then, url](const Result<void>& result) {
                          const auto ended = std::exchange(call_, nullptr);
                          if (result && status_ == http_ok) {
                              (this->*then)();
                          } else {
                              fail(fmt::format("{}: {}", url,
                                               result ? describe_refusal(status_, answer_) : result.error().message));
                          }
                      }});
    if (!call) {
        fail(call.error().message);
        return;
    }
    call_ = std::move(*call);
}

// Told once, as long as it stays the same.
void NodeCondition::fail(std::string problem) {
    if (status_ == http_forbidden) {
        problem +=
            "; its ClusterRole must have {apiGroups: [\"\"], resources: [nodes/status], verbs: [patch]} and "
            "{apiGroups: [\"\"], resources: [nodes], verbs: [list]}";
    }
    if (problem != problem_) {
        log::warning("node condition {} cannot be written: {}; it is tried again", condition_type, problem);
        problem_ = std::move(problem);
    }
    const auto delay = std::min(first_backoff * (1U << std::min(failures_++, most_doublings)), options_.period);
    schedule(spread(delay));
}

void NodeCondition::schedule(milliseconds delay) {
    auto timer = loop_.after(delay, [this] {
        timer_.cancel();
        look();
    });
    if (timer) {
        timer_ = std::move(*timer);
    } else {
        log::error("node condition {}: {}", condition_type, timer.error().message);
    }
}

milliseconds NodeCondition::spread(milliseconds time) {
    return milliseconds(std::uniform_int_distribution(time.count() / 2, time.count() * 3 / 2)(random_));
}

}  // namespace podlane
