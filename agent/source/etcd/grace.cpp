// SPDX-License-Identifier: Apache-2.0
#include "agent/source/etcd/grace.h"

#include <algorithm>
#include <utility>

namespace podlane::etcd {
namespace {

// Longer than the longest delay before a request (Retry), and one that gets no answer.
constexpr std::chrono::seconds length(60);

// What only one node may have.
std::set<std::string> belongings(const Grace::Nodes& nodes) {
    std::set<std::string> all;
    for (const auto& [name, node] : nodes) {
        all.insert(node.pod_cidrs.begin(), node.pod_cidrs.end());
        all.insert(node.internal_ips.begin(), node.internal_ips.end());
    }
    return all;
}

}  // namespace

void Grace::remember(Nodes nodes) {
    nodes_ = std::move(nodes);
    counted_ = nodes_.size();
}

void Grace::alarm(Clock::time_point now) {
    until_ = now + length;
}

const Grace::Nodes& Grace::take(Nodes live, Clock::time_point now) {
    std::erase_if(nodes_, [&](const auto& each) { return live.contains(each.first); });
    const auto newly = std::ranges::count_if(nodes_, [&](const auto& each) { return !missing_.contains(each.first); });
    if (2 * static_cast<std::size_t>(newly) > counted_) {
        alarm(now);
    }
    const auto taken = belongings(live);
    const auto has_been_taken = [&](const std::string& each) { return taken.contains(each); };
    missing_.clear();
    counted_ = live.size();
    for (auto& [name, node] : nodes_) {
        if (now < until_ && std::ranges::none_of(node.pod_cidrs, has_been_taken) &&
            std::ranges::none_of(node.internal_ips, has_been_taken)) {
            missing_.insert(name);
            live.emplace(name, std::move(node));
        }
    }
    nodes_ = std::move(live);
    return nodes_;
}

std::optional<Grace::Clock::time_point> Grace::ends() const {
    return missing_.empty() ? std::nullopt : std::optional(until_);
}

}  // namespace podlane::etcd
