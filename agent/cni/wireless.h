// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "agent/cni/rtnetlink.h"

namespace podlane::cni {

// Whether the device with that index, in the network namespace that the process is in, is a station of a wireless
// network (not one in four-address mode, which access points take any MAC from). False also where the kernel does not
// say. Asks nl80211, which, unlike /sys, answers for the right namespace.
[[nodiscard]] bool is_wireless_station(int index);

// The two answers that it takes, read: the number of the family nl80211 in a list of generic netlink's families, and
// what an interface is.
[[nodiscard]] std::optional<std::uint16_t> find_nl80211(std::span<const RtReply> families);
[[nodiscard]] bool describes_station(std::span<const RtReply> interface);

}  // namespace podlane::cni
