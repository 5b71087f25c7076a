// SPDX-License-Identifier: Apache-2.0
#include "agent/node/host_announcement.h"

#include "agent/cni/arp.h"
#include "agent/netlink/link.h"

namespace podlane {

Result<void> announce_host(netlink::Socket& socket, const ReturnedHost& host) {
    const auto link = netlink::find_link(socket, host.ifindex);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (!*link) {
        return fail("there is no device #{}", host.ifindex);
    }
    const auto arp = cni::ArpSocket::open(static_cast<int>(host.ifindex), (*link)->mac.value_or(MacAddress{}));
    if (!arp) {
        return std::unexpected(arp.error());
    }
    for (const auto address : host.addresses) {
        if (auto told = arp->announce(address); !told) {
            return told;
        }
    }
    return {};
}

}  // namespace podlane
