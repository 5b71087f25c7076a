// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/neighbour.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/netlink/message.h"
#include "agent/netlink/socket.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::netlink {

// An entry of the ARP table.
struct Neighbour {
    std::uint32_t ifindex = 0;
    Ipv4Address address;
    std::optional<MacAddress> mac{};      // nothing while it is not resolved
    std::uint16_t state = NUD_PERMANENT;  // NUD_*
    std::uint8_t flags = 0;               // NTF_*
    std::uint8_t protocol = 0;            // RTPROT_*: who installed it; 0: nobody said

    [[nodiscard]] std::string to_string() const;  // "10.244.1.5 dev #7 lladdr 02:00:00:00:00:01"
    auto operator<=>(const Neighbour&) const = default;
};

// Requests. Replacing adds the entry or overwrites the one that is there.
[[nodiscard]] Message replace_neighbour(const Neighbour& neighbour);
[[nodiscard]] Message delete_neighbour(const Neighbour& neighbour);

// Of one device, or of all with ifindex 0.
[[nodiscard]] Result<std::vector<Neighbour>> list_neighbours(Socket& socket, std::uint32_t ifindex);

// How many entries the kernel's ARP table holds at most, those of all namespaces together (gc_thresh3); a permanent one
// does not count. Unlike the sysctl it can be read in every namespace.
[[nodiscard]] Result<std::uint32_t> neighbour_limit(Socket& socket);

// RTM_NEWNEIGH and RTM_DELNEIGH of IPv4; nothing for anything else.
[[nodiscard]] std::optional<Neighbour> decode_neighbour(const nlmsghdr& message);

}  // namespace podlane::netlink
