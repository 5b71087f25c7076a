// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/netlink/message.h"
#include "agent/netlink/socket.h"
#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane::netlink {

// An IPv4 address of a device.
struct InterfaceAddress {
    std::uint32_t ifindex = 0;
    Ipv4Address address;
    std::uint8_t prefix_length = 32;
    std::uint8_t scope = 0;  // RT_SCOPE_*

    [[nodiscard]] std::string to_string() const;  // "10.0.0.1/32"
    auto operator<=>(const InterfaceAddress&) const = default;
};

// Requests. Replacing adds the address, or changes the scope of the one that is there.
[[nodiscard]] Message replace_address(const InterfaceAddress& address);
[[nodiscard]] Message delete_address(const InterfaceAddress& address);

// Of one device, or of all with ifindex 0.
[[nodiscard]] Result<std::vector<InterfaceAddress>> list_addresses(Socket& socket, std::uint32_t ifindex);

// RTM_NEWADDR and RTM_DELADDR of IPv4; nothing for anything else.
[[nodiscard]] std::optional<InterfaceAddress> decode_address(const nlmsghdr& message);

}  // namespace podlane::netlink
