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
constexpr std::string_view our_reason = "PodlaneIsUp";
// What a ClusterRole must have.
constexpr std::string_view right_to_list = R"({apiGroups: [""], resources: [nodes], verbs: [list]})";
constexpr std::string_view right_to_status = R"({apiGroups: [""], resources: [nodes/status], verbs: [patch]})";
constexpr std::string_view right_to_nodes = R"({apiGroups: [""], resources: [nodes], verbs: [patch]})";
constexpr HttpTimeouts timeouts = {
    .connect = seconds(10), .head = seconds(30), .silence = seconds(10), .total = seconds(60)};
constexpr milliseconds first_backoff = seconds(1);
constexpr unsigned most_doublings = 6;
constexpr unsigned failures_to_report = 2;
// A Node with its images and annotations.
constexpr std::size_t longest_answer = 4UL * 1024 * 1024;

// Of the two, `status` decides for everybody who reads conditions; the times are what kubectl shows.
json our_condition() {
    const auto now = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
    return {{"type", network_condition}, {"status", "False"},
            {"reason", our_reason},      {"message", "podlane's datapath is up on this node"},
            {"lastHeartbeatTime", now},  {"lastTransitionTime", now}};
}

}  // namespace

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
    right_ = right_to_list;
    begin(kube_request(*access, target, timeouts), &NodeStatus::take_node);
}

void NodeStatus::take_node() {
    const auto node = read_node_view(answer_);
    if (!node) {
        fail(fmt::format("the API server has no node {}", options_.node_name));
        return;
    }
    const auto patch = next_patch(*node);
    if (!patch) {
        rest();
        return;
    }
    const auto since = wrote_at_ ? Clock::now() - *wrote_at_ : Clock::duration::max();
    if (since < options_.pace) {
        schedule(std::chrono::ceil<milliseconds>(options_.pace - since));
        return;
    }
    log_changes(*node);
    write(*patch);
}

// The taint goes when the rest stands.
std::optional<NodeStatus::Patch> NodeStatus::next_patch(const NodeView& node) {
    json status = json::object();
    for (const auto& [key, before] : differing_annotations(wanted_, node.annotations)) {
        status["metadata"]["annotations"][key] = wanted_.at(key);
    }
    if (node.status != "False" || (!is_ours_ && node.reason != our_reason)) {
        status["status"]["conditions"] = json::array({our_condition()});
    }
    const auto target = "/api/v1/nodes/" + percent_encoded(options_.node_name);
    if (!status.empty()) {
        return Patch{.target = target + "/status",
                     .content_type = "application/strategic-merge-patch+json",
                     .body = status.dump(),
                     .right = right_to_status,
                     .then = &NodeStatus::take_written};
    }
    is_ours_ = true;
    auto untaint = untaint_patch(node.taints, options_.startup_taint);
    if (untaint.empty()) {
        return std::nullopt;
    }
    return Patch{.target = target,
                 .content_type = "application/json-patch+json",
                 .body = std::move(untaint),
                 .right = right_to_nodes,
                 .then = &NodeStatus::take_untainted};
}

void NodeStatus::log_changes(const NodeView& node) const {
    for (const auto& [key, before] : differing_annotations(wanted_, node.annotations)) {
        const auto instead = before.empty() ? std::string() : fmt::format(" instead of \"{}\"", printable(before));
        log::info("annotation {}: \"{}\"{}", key, wanted_.at(key), instead);
    }
    if (is_ours_ && node.status != "False") {
        log::warning("node condition {} was set to \"{}\" by somebody ({}): written again", network_condition,
                     node.status, node.reason);
    }
}

void NodeStatus::write(const Patch& patch) {
    const auto access = read_access(options_.access);
    if (!access) {
        fail(access.error().message);
        return;
    }
    auto request = kube_request(*access, patch.target, timeouts);
    request.headers.push_back("Content-Type: " + patch.content_type);
    request.method = HttpMethod::patch;
    request.body = patch.body;
    wrote_at_ = Clock::now();
    right_ = patch.right;
    begin(request, patch.then);
}

void NodeStatus::take_written() {
    if (!std::exchange(is_ours_, true)) {
        log::info("node condition {} is False, reason {}", network_condition, our_reason);
    }
    again_ = again_ || !options_.startup_taint.empty();
    rest();
}

void NodeStatus::take_untainted() {
    log::info("taint {} removed", options_.startup_taint);
    rest();
}

void NodeStatus::rest() {
    failures_ = 0;
    problem_.clear();
    if (options_.report) {
        options_.report({});
    }
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

// Logged once, as long as it stays the same.
void NodeStatus::fail(std::string reason) {
    const bool forbidden = std::exchange(status_, 0) == http_forbidden;
    const auto missing = forbidden ? fmt::format("its ClusterRole must have {}", right_) : std::string();
    auto problem = forbidden ? fmt::format("{}; {}", reason, missing) : reason;
    if (problem != problem_) {
        log::warning("the Node cannot be written: {}; it is tried again", problem);
        problem_ = std::move(problem);
    }
    again_ = false;
    const auto delay = std::min(first_backoff * (1U << std::min(failures_++, most_doublings)), options_.period);
    if (options_.report && failures_ >= failures_to_report) {
        options_.report(
            {.reason = std::move(reason),
             .action = forbidden ? missing : "see to it that the API server can be reached and accepts it"});
    }
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
        log::error("the Node: {}", timer.error().message);
    }
}

milliseconds NodeStatus::spread(milliseconds time) {
    return milliseconds(std::uniform_int_distribution(time.count() / 2, time.count() * 3 / 2)(random_));
}

}  // namespace podlane
