// SPDX-License-Identifier: Apache-2.0
#include "agent/source/source_log.h"

#include <algorithm>
#include <cstddef>

#include "agent/log.h"

namespace podlane {
namespace {

// Enough of a state's warnings for a log.
constexpr std::size_t most_logged_warnings = 20;

void log_warnings(const SourceHealth& before, const SourceHealth& now) {
    if (now.warnings == before.warnings) {
        return;
    }
    std::size_t logged = 0;
    for (const auto& warning : now.warnings) {
        if (std::ranges::find(before.warnings, warning) != before.warnings.end()) {
            continue;
        }
        if (++logged > most_logged_warnings) {
            log::warning("cluster state: more objects were left out: see `agentctl status`");
            return;
        }
        log::warning("{}", warning.to_string());
    }
}

}  // namespace

void log_changes(const SourceHealth& before, const Source& source, std::string_view from) {
    const SourceHealth& now = source.health();
    if (now.problem != before.problem) {
        if (now.problem.empty()) {
            log::info("cluster state: {} is good again", from);
        } else {
            log::error("cluster state: {}{}", now.problem, now.in_sync ? "; the last good state stays" : "");
        }
    }
    if (now.in_sync && !before.in_sync) {
        log::info("cluster state: {} nodes and {} pods of this node from {}", source.objects().nodes.size(),
                  source.objects().pods.size(), from);
    }
    log_warnings(before, now);
}

}  // namespace podlane
