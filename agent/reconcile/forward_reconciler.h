// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "agent/netfilter/forward_table.h"
#include "agent/reconcile/link_reconciler.h"

namespace podlane {

struct ForwardReport {
    std::vector<std::string> changes;   // "iptables-nft: -A FORWARD -s 10.244.0.0/16 ..."
    std::vector<std::string> repairs;   // those of the changes that only undo what somebody else did
    std::vector<Error> errors;          // one per table; the other table was still brought in order
    std::vector<std::string> dropping;  // tables whose policy is DROP, by name
};

// Lets pods' packets pass the FORWARD chains whose policy is DROP, in the network namespace that the tables are of,
// which must be the calling thread's. Its own, and all that it ever removes: rules with podlane's comment.
class ForwardReconciler {
public:
    using Tables = std::vector<std::unique_ptr<ForwardTable>>;
    // Those of this kernel.
    [[nodiscard]] static Result<ForwardReconciler> create();
    explicit ForwardReconciler(Tables tables) : tables_(std::move(tables)) {}

    [[nodiscard]] ForwardReport reconcile(std::span<const Ipv4Prefix> cluster_cidrs);
    // Wanted against actual; changes nothing.
    [[nodiscard]] Result<std::vector<LinkItem>> inspect(std::span<const Ipv4Prefix> cluster_cidrs);
    // Removes every rule of podlane's.
    [[nodiscard]] CleanupReport cleanup(CleanupMode mode);

private:
    Tables tables_;
    std::set<std::string> settled_;  // tables whose policy was DROP already when they were last in order
};

}  // namespace podlane
