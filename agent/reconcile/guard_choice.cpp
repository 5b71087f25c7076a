// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/guard_choice.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace podlane {

std::optional<std::string> cost_of_native(const GuardCandidate& device) {
    if (device.kind == "veth") {
        return "XDP in a veth's driver turns its peer's segmentation offload off";
    }
    if (!device.kind.empty()) {
        return fmt::format("a {} device, not hardware", device.kind);
    }
    if (device.buffers == XdpBuffers::one) {
        return "this kernel gives XDP programs one buffer, so drivers would change how they receive";
    }
    // Every driver gives these up for XDP or refuses the program, and not all show it in the flags (virtio_net). Where
    // a native guard of an earlier configuration runs they are off, but still asked for.
    for (const char* merging : {"rx-lro", "rx-gro-hw"}) {
        if (device.features.active.contains(merging) || device.features.requested.contains(merging)) {
            return fmt::format("the device merges packets ({}), which XDP would end", merging);
        }
    }
    return std::nullopt;
}

std::vector<std::string> lost_features(const DeviceFeatures& before, const DeviceFeatures& after) {
    std::vector<std::string> lost;
    std::ranges::set_difference(before.active, after.active, std::back_inserter(lost));
    return lost;
}

}  // namespace podlane
