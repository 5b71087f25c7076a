// SPDX-License-Identifier: Apache-2.0
#include "agent/node/requirements.h"

#include "agent/log.h"
#include "agent/netlink/link.h"
#include "agent/netlink/socket.h"

namespace podlane {
namespace {

Result<void> require_vxlan(const FeatureSet& without) {
    if (without.contains(Feature::vxlan)) {
        return std::unexpected(missing(Feature::vxlan));
    }
    auto socket = netlink::Socket::open();
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto supported = netlink::supports_vxlan(*socket);
    if (!supported) {
        return std::unexpected(supported.error());
    }
    return *supported ? Result<void>() : std::unexpected(missing(Feature::vxlan));
}

}  // namespace

Result<KernelFeatures> probe_node(const FeatureSet& without) {
    if (!without.empty()) {
        log::warning("taken for missing, by --without-feature: {}", without.to_string());
    }
    auto features = probe_kernel(without);
    if (!features) {
        return features;
    }
    if (auto there = require_vxlan(without); !there) {
        return std::unexpected(there.error());
    }
    log::info("encapsulation: {}, hooks: {}, memory: {}, XDP: {}", to_string(features->encapsulation),
              to_string(features->attach), to_string(features->memory), to_string(features->xdp));
    return features;
}

}  // namespace podlane
