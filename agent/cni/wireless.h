// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace podlane::cni {

// Whether the device with that index, in the network namespace that the process is in, is a station of a wireless
// network (not one in four-address mode, which access points take any MAC from). False also where the kernel does not
// say. Asks nl80211, which, unlike /sys, answers for the right namespace.
[[nodiscard]] bool is_wireless_station(int index);

}  // namespace podlane::cni
