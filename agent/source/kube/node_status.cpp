// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/node_status.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/log.h"
#include "agent/source/kube/request.h"
#include "agent/text/printable.h"

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
json our_condition() {
    const auto now = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
    return {{"type", condition_type},   {"status", "False"},
            {"reason", our_reason},     {"message", "podlane's datapath is up on this node"},
            {"lastHeartbeatTime", now}, {"lastTransitionTime", now}};
}

std::string text_at(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Of strings; a Node has no others.
Annotations read_annotations(const json& node) {
    const auto at = json::json_pointer("/metadata/annotations");
    Annotations result;
    if (node.contains(at) && node.at(at).is_object()) {
        for (const auto& [key, value] : node.at(at).items()) {
            if (value.is_string()) {
                result.emplace(key, value.get<std::string>());
            }
        }
    }
    return result;
}

void log_change(const std::string& key, const std::string& before, const std::string& now) {
    const auto instead = before.empty() ? std::string() : fmt::format(" instead of \"{}\"", printable(before));
    log::info("annotation {}: \"{}\"{}", key, now, instead);
}

}  // namespace

std::optional<NodeStatusView> read_node_status(const std::string& node_list) {
    const auto list = json::parse(node_list, nullptr, false);
    const auto first = json::json_pointer("/items/0");
    if (!list.is_object() || !list.contains(first) || !list.at(first).is_object()) {
        return std::nullopt;
    }
    const auto& node = list.at(first);
    const auto conditions = json::json_pointer("/status/conditions");
    NodeStatusView result;
    for (const auto& one : node.contains(conditions) ? node.at(conditions) : json::array()) {
        if (one.is_object() && text_at(one, "type") == condition_type) {
            result.status = text_at(one, "status");
            result.reason = text_at(one, "reason");
        }
    }
    result.annotations = read_annotations(node);
    return result;
}

Annotations differing_annotations(const Annotations& wanted, const Annotations& present) {
    Annotations result;
    for (const auto& [key, value] : wanted) {
        const auto found = present.find(key);
        if (found == present.end()) {
            result.emplace(key, "");
        } else if (found->second != value) {
            result.insert(*found);
        }
    }
    return result;
}

Result<std::unique_ptr<NodeStatus>> NodeStatus::create(EventLoop& loop, Options options) {
    auto client = HttpClient::create(loop);
    if (!client) {
        return std::unexpected(client.error());
    }
    return std::unique_ptr<NodeStatus>(new NodeStatus(loop, std::move(options), std::move(*client)));
}

NodeStatus::NodeStatus(EventLoop& loop, Options options, std::unique_ptr<HttpClient> client)
    : loop_(loop), options_(std::move(options)), client_(std::move(client)) {}

void NodeStatus::publish(const Annotations& wanted, const Annotations& present) {
    auto differing = differing_annotations(wanted, present);
    const bool news = !is_up_ || wanted != wanted_ || (!differing.empty() && differing != differing_);
    wanted_ = wanted;
    differing_ = std::move(differing);
    is_up_ = true;
    if (news) {
        look_soon();
    }
}

// A failure has its own pace.
void NodeStatus::look_soon() {
    if (call_ != nullptr) {
        again_ = true;
    } else if (failures_ == 0) {
        timer_.cancel();
        exactly_ = true;
        look();
    }
}

// A list, for which the agent has the right anyway. As a rule out of the server's cache; that may be behind what the
// cluster's state shows.
void NodeStatus::look() {
    const auto access = read_access(options_.access);
    if (!access) {
        fail(access.error().message);
        return;
    }
    const auto target =
        fmt::format("/api/v1/nodes?fieldSelector=metadata.name%3D{}{}", percent_encoded(options_.node_name),
                    std::exchange(exactly_, false) ? "" : "&resourceVersion=0");
    begin(kube_request(*access, target, timeouts), &NodeStatus::take_node);
}

void NodeStatus::take_node() {
    const auto node = read_node_status(answer_);
    if (!node) {
        fail(fmt::format("the API server has no node {}", options_.node_name));
        return;
    }
    const auto changes = differing_annotations(wanted_, node->annotations);
    const bool said = node->status == "False" && (is_ours_ || node->reason == our_reason);
    if (said && changes.empty()) {
        is_ours_ = true;
        rest();
        return;
    }
    const auto since = wrote_at_ ? Clock::now() - *wrote_at_ : Clock::duration::max();
    if (since < options_.pace) {
        schedule(std::chrono::ceil<milliseconds>(options_.pace - since));
        return;
    }
    json patch = json::object();
    for (const auto& [key, before] : changes) {
        log_change(key, before, wanted_.at(key));
        patch["metadata"]["annotations"][key] = wanted_.at(key);
    }
    if (!said) {
        if (is_ours_) {
            log::warning("node condition {} was set to \"{}\" by somebody ({}): written again", condition_type,
                         node->status, node->reason);
        }
        patch["status"]["conditions"] = json::array({our_condition()});
    }
    write(patch.dump());
}

void NodeStatus::write(const std::string& patch) {
    const auto access = read_access(options_.access);
    if (!access) {
        fail(access.error().message);
        return;
    }
    auto request =
        kube_request(*access, fmt::format("/api/v1/nodes/{}/status", percent_encoded(options_.node_name)), timeouts);
    request.headers.emplace_back("Content-Type: application/strategic-merge-patch+json");
    request.method = HttpMethod::patch;
    request.body = patch;
    wrote_at_ = Clock::now();
    begin(request, &NodeStatus::take_written);
}

void NodeStatus::take_written() {
    if (!std::exchange(is_ours_, true)) {
        log::info("node condition {} is False, reason {}", condition_type, our_reason);
    }
    rest();
}

void NodeStatus::rest() {
    failures_ = 0;
    problem_.clear();
    schedule(std::exchange(again_, false) ? options_.pace : spread(options_.period));
}

void NodeStatus::begin(const HttpQuery& request, void (NodeStatus::*then)()) {
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
void NodeStatus::fail(std::string problem) {
    if (status_ == http_forbidden) {
        problem +=
            "; its ClusterRole must have {apiGroups: [\"\"], resources: [nodes/status], verbs: [patch]} and "
            "{apiGroups: [\"\"], resources: [nodes], verbs: [list]}";
    }
    if (problem != problem_) {
        log::warning("the node's status cannot be written: {}; it is tried again", problem);
        problem_ = std::move(problem);
    }
    again_ = false;
    const auto delay = std::min(first_backoff * (1U << std::min(failures_++, most_doublings)), options_.period);
    schedule(spread(delay));
}

void NodeStatus::schedule(milliseconds delay) {
    auto timer = loop_.after(delay, [this] {
        timer_.cancel();
        look();
    });
    if (timer) {
        timer_ = std::move(*timer);
    } else {
        log::error("the node's status: {}", timer.error().message);
    }
}

milliseconds NodeStatus::spread(milliseconds time) {
    return milliseconds(std::uniform_int_distribution(time.count() / 2, time.count() * 3 / 2)(random_));
}

}  // namespace podlane
