// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "agent/event_loop.h"
#include "agent/netfilter/rule_monitor.h"
#include "agent/observe/health.h"
#include "agent/observe/repairs.h"
#include "agent/reconcile/forward_reconciler.h"

namespace podlane {

// The subsystem `firewall`: keeps pods' packets passing the host's FORWARD chains.
class Firewall {
public:
    // `disturbed` is called when somebody changed a chain; `loop` must outlive the firewall.
    [[nodiscard]] static Result<std::unique_ptr<Firewall>> create(EventLoop& loop,
                                                                  std::vector<Ipv4Prefix> cluster_cidrs,
                                                                  std::function<void()> disturbed);
    Firewall(const Firewall&) = delete;
    Firewall& operator=(const Firewall&) = delete;
    ~Firewall() = default;

    void reconcile(HealthBoard& health, RepairLog& repairs);
    [[nodiscard]] Result<std::vector<LinkItem>> inspect() { return reconciler_.inspect(cluster_cidrs_); }

private:
    Firewall(EventLoop& loop, ForwardReconciler reconciler, std::vector<Ipv4Prefix> cluster_cidrs,
             std::function<void()> disturbed)
        : loop_(loop),
          reconciler_(std::move(reconciler)),
          cluster_cidrs_(std::move(cluster_cidrs)),
          disturbed_(std::move(disturbed)) {}
    void on_events();
    // Whether all that went wrong is that another program is at the rules, and not for long; tries again soon.
    [[nodiscard]] bool is_only_busy(const std::vector<Error>& errors);

    EventLoop& loop_;
    ForwardReconciler reconciler_;
    std::vector<Ipv4Prefix> cluster_cidrs_;
    std::function<void()> disturbed_;
    std::optional<RuleMonitor> monitor_;  // none: the kernel has no nf_tables
    EventLoop::Watch watch_;
    EventLoop::Watch retry_;
    unsigned busy_ = 0;  // tries in a row
};

}  // namespace podlane
