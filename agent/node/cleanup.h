// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "agent/reconcile/link_reconciler.h"
#include "maps/base/result.h"

namespace podlane {

struct CleanupTarget {
    std::filesystem::path run_dir;
    std::filesystem::path bpffs;
    std::string overlay_device;
};

// `podlane-agent cleanup`: removes hooks, pins, rules of FORWARD chains, the overlay device, routes, neighbours and
// changed sysctls, and prints a line for each; a dry run only prints. Then looks again and prints what remains,
// "nothing" or lines; anything is an error. Running pods' devices and records stay until their DEL. Refuses while an
// agent runs, which would make it all anew.
[[nodiscard]] Result<void> clean_up(const CleanupTarget& target, CleanupMode mode);

}  // namespace podlane
