// SPDX-License-Identifier: Apache-2.0
#include "agent/node/publication.h"

#include "agent/state/flannel_annotations.h"
#include "agent/state/podlane_annotations.h"

namespace podlane {

Annotations wanted_annotations(const NodeAgent& agent) {
    const Node* self = agent.cluster().self();
    const auto& mac = agent.overlay_mac();
    if (self == nullptr || !mac) {
        return {};
    }
    auto annotations = make_vtep_annotations(self->vtep, *mac);
    const auto& overlay = agent.settings().config.overlay;
    if (overlay.flannel) {
        annotations.merge(make_flannel_annotations({.address = self->vtep, .mac = *mac, .vni = overlay.vni},
                                                   present_annotations(agent)));
    }
    return annotations;
}

Annotations present_annotations(const NodeAgent& agent) {
    const auto& nodes = agent.source().objects().nodes;
    const auto self = nodes.find(agent.settings().config.node_name);
    return self == nodes.end() ? Annotations() : self->second.annotations;
}

}  // namespace podlane
