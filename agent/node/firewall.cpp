// SPDX-License-Identifier: Apache-2.0
#include "agent/node/firewall.h"

#include <sys/epoll.h>

#include <algorithm>

#include <fmt/ranges.h>

#include "agent/log.h"

namespace podlane {
namespace {

constexpr auto retry_delay = std::chrono::milliseconds(200);
constexpr unsigned patience = 25;  // tries

}  // namespace

Result<std::unique_ptr<Firewall>> Firewall::create(EventLoop& loop, std::vector<Ipv4Prefix> cluster_cidrs,
                                                   std::function<void()> disturbed) {
    auto reconciler = ForwardReconciler::create();
    if (!reconciler) {
        return std::unexpected(reconciler.error());
    }
    std::unique_ptr<Firewall> firewall(
        new Firewall(loop, std::move(*reconciler), std::move(cluster_cidrs), std::move(disturbed)));
    auto monitor = RuleMonitor::open();
    if (!monitor) {
        log::info("{}: changed rules are found by looking, every few seconds", monitor.error().message);
        return firewall;
    }
    firewall->monitor_ = std::move(*monitor);
    auto watch =
        loop.watch(firewall->monitor_->fd(), EPOLLIN, [self = firewall.get()](std::uint32_t) { self->on_events(); });
    if (!watch) {
        return std::unexpected(watch.error());
    }
    firewall->watch_ = std::move(*watch);
    return firewall;
}

void Firewall::on_events() {
    const auto concerned = monitor_->drain();
    if (!concerned) {
        log::error("{}", concerned.error().message);
    } else if (*concerned) {
        disturbed_();
    }
}

bool Firewall::is_only_busy(const std::vector<Error>& errors) {
    const bool busy =
        !errors.empty() && std::ranges::all_of(errors, [](const Error& one) { return one.code == EAGAIN; });
    busy_ = busy ? busy_ + 1 : 0;
    if (!busy) {
        return false;
    }
    auto timer = loop_.after(retry_delay, [this] {
        retry_.cancel();
        disturbed_();
    });
    if (timer) {
        retry_ = std::move(*timer);
    }
    return busy_ < patience;
}

void Firewall::reconcile(HealthBoard& health, RepairLog& repairs) {
    const auto report = reconciler_.reconcile(cluster_cidrs_);
    repairs.note("firewall", report.changes, report.repairs);
    if (is_only_busy(report.errors)) {
        return;
    }
    if (!report.errors.empty()) {
        health.degraded("firewall", report.errors.front().message, "see the rules of chain FORWARD: iptables -S");
    } else if (report.dropping.empty()) {
        health.ok("firewall", "FORWARD accepts");
    } else {
        health.ok("firewall", fmt::format("FORWARD drops but for pods ({})", fmt::join(report.dropping, ", ")));
    }
}

}  // namespace podlane
