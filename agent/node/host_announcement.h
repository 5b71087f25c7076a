// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/netlink/socket.h"
#include "agent/reconcile/link_reconciler.h"
#include "maps/base/result.h"

namespace podlane {

// Tells the LAN where a host's addresses are now, by gratuitous ARP from the device.
[[nodiscard]] Result<void> announce_host(netlink::Socket& socket, const ReturnedHost& host);

}  // namespace podlane
