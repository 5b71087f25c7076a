// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "agent/ctl/command.h"

namespace podlane::ctl {

struct MigrateOptions {
    std::optional<std::string> config{};   // the agent's file; nothing: where the agent looks for it, below `root`
    std::optional<std::string> run_dir{};  // as agentctl sees it; nothing: what the configuration says, below `root`
    std::optional<std::string> bpffs{};    // the same
    std::string root = "/";                // the node's root file system
    std::optional<std::string> record{};   // as agentctl sees it; nothing: /var/lib/podlane/migration.json below `root`
    std::string flannel_device{};          // empty: the one with the configured VNI and port
    std::string bridge = "cni0";
};

// `agentctl migrate ...`: a node goes from flannel to podlane, or back, with its pods running. degraded: something
// stands in the way, or a check failed.
[[nodiscard]] Outcome<ExitStatus> migrate_plan(const Context& context, const MigrateOptions& options);
[[nodiscard]] Outcome<ExitStatus> migrate_apply(const Context& context, const MigrateOptions& options);
[[nodiscard]] Outcome<ExitStatus> migrate_verify(const Context& context, const MigrateOptions& options);
[[nodiscard]] Outcome<ExitStatus> migrate_commit(const Context& context, const MigrateOptions& options);
[[nodiscard]] Outcome<ExitStatus> migrate_rollback(const Context& context, const MigrateOptions& options);

}  // namespace podlane::ctl
