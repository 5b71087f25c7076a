// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/node/node_agent.h"
#include "agent/state/objects.h"

namespace podlane {

// What this node's Node object is to say of it, for peers: the VTEP in podlane's annotations, and with overlay.flannel
// in flannel's too. Empty while there is no overlay device: a MAC is published that the device has, and no other.
[[nodiscard]] Annotations wanted_annotations(const NodeAgent& agent);
// What it says by now, as far as the cluster's state tells.
[[nodiscard]] Annotations present_annotations(const NodeAgent& agent);

}  // namespace podlane
