// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/node/device_features.h"
#include "loader/probe.h"

namespace podlane {

// Whether `underlay.xdp: auto` may put the guard into a driver. Pure; what the device is and does comes in.

// A device as it is before anything is tried.
struct GuardCandidate {
    std::string kind;  // IFLA_INFO_KIND: "veth", "bond", ...; empty: hardware
    XdpBuffers buffers = XdpBuffers::one;
    DeviceFeatures features;
};

// What a native guard would cost on the device, so that it is not even tried: a trial resets rings and loses packets on
// many drivers. Nothing: try.
[[nodiscard]] std::optional<std::string> cost_of_native(const GuardCandidate& device);

// cost_of_native, or a test's stand-in for it: what a namespace can make is no hardware.
using CostOfNative = std::optional<std::string> (*)(const GuardCandidate&);

// The offloads that were on before the guard was attached and are not on any more; none: it costs nothing.
[[nodiscard]] std::vector<std::string> lost_features(const DeviceFeatures& before, const DeviceFeatures& after);

}  // namespace podlane
