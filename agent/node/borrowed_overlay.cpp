// SPDX-License-Identifier: Apache-2.0
#include "agent/node/borrowed_overlay.h"

#include <algorithm>

#include "agent/link/flannel_device.h"

namespace podlane {

std::optional<netlink::Link> find_flannel_overlay(const std::vector<netlink::Link>& links, std::uint32_t vni,
                                                  std::uint16_t port) {
    const auto found = std::ranges::find_if(
        links, [&](const netlink::Link& link) { return is_flannel_device(link, vni, port) && link.is_up(); });
    return found == links.end() ? std::nullopt : std::optional(*found);
}

}  // namespace podlane
