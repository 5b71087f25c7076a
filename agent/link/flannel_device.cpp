// SPDX-License-Identifier: Apache-2.0
#include "agent/link/flannel_device.h"

#include "agent/link/ownership.h"

namespace podlane {

bool is_plain_vxlan(const netlink::Link& link) {
    return link.vxlan && !link.vxlan->external && !link.alias.starts_with(alias_prefix);
}

bool is_flannel_device(const netlink::Link& link, std::uint32_t vni, std::uint16_t port) {
    return is_plain_vxlan(link) && link.vxlan->vni == vni && link.vxlan->port == port;
}

}  // namespace podlane
