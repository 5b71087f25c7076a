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

// An entry of a forwarding database: of a VXLAN device, or of a bridge on one of its ports.
struct FdbEntry {
    std::uint32_t ifindex = 0;  // of the VXLAN device, or of the port
    MacAddress mac;
    std::optional<Ipv4Address> remote{};  // VXLAN: the outer destination (NDA_DST)
    std::uint16_t state = NUD_PERMANENT;  // NUD_*; learned entries are NUD_REACHABLE or NUD_STALE
    std::uint8_t flags = NTF_SELF;        // NTF_*: NTF_SELF the device's own, NTF_MASTER its bridge's

    [[nodiscard]] std::string to_string() const;  // "02:00:00:00:00:01 dev #7 dst 192.168.0.2"
    auto operator<=>(const FdbEntry&) const = default;
};

// Request. Overwrites the entry of that MAC; for a MAC of many (zero, multicast) it joins those that are there.
[[nodiscard]] Message set_fdb_entry(const FdbEntry& entry);

// Of one device or port, or of all with ifindex 0.
[[nodiscard]] Result<std::vector<FdbEntry>> list_fdb(Socket& socket, std::uint32_t ifindex);

// RTM_NEWNEIGH and RTM_DELNEIGH of AF_BRIDGE; nothing for anything else.
[[nodiscard]] std::optional<FdbEntry> decode_fdb_entry(const nlmsghdr& message);

}  // namespace podlane::netlink
