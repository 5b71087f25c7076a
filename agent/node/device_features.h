// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

#include "maps/base/result.h"

namespace podlane {

// A device's offloads, by the names that the kernel has for them: "rx-gro-hw", "tx-udp-segmentation".
struct DeviceFeatures {
    std::set<std::string> active;     // that are on
    std::set<std::string> requested;  // that are on as soon as nothing speaks against it; XDP may do so

    bool operator==(const DeviceFeatures&) const = default;
};

// Of a device in this network namespace.
[[nodiscard]] Result<DeviceFeatures> read_features(const std::string& device);

}  // namespace podlane
