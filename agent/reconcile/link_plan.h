// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "agent/link/host_network.h"
#include "agent/netlink/message.h"
#include "agent/reconcile/link_actual.h"
#include "agent/reconcile/link_reconciler.h"
#include "maps/base/result.h"

// The pure half of the link reconciler below the devices: what to do, from what is wanted and what is there.
namespace podlane {

// The wanted objects in the kernel's terms, by ifindex.
struct WantedObjects {
    HostObjects objects;
    std::vector<LinkItem> waiting;          // whose device is missing
    std::set<std::string> missing_devices;  // that they wait for
    std::vector<Error> collisions;          // of an object with an earlier one, which stays
};
[[nodiscard]] WantedObjects locate(const WantedHostNetwork& wanted, const LinkTable& links);

// Requests in the order they must take: addresses before routes that name them as source, additions before removals.
[[nodiscard]] std::vector<netlink::Message> plan_objects(const HostObjects& wanted, const HostObjects& actual,
                                                         Sweep sweep, const LinkTable& links);

// Wanted against actual, line by line.
[[nodiscard]] std::vector<LinkItem> object_items(const HostObjects& wanted, const HostObjects& actual,
                                                 const LinkTable& links);

}  // namespace podlane
