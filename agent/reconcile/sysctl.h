// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace podlane {

// Settings below /proc/sys, of the calling thread's network namespace where they are under net/. Keys have slashes:
// "net/ipv4/conf/podlane0/rp_filter". A key that does not exist (no such device, no IPv6) is ENOENT.
// Where /proc/sys is read-only, as in a container without privileges, what is written goes through /host/proc/sys.
[[nodiscard]] Result<std::string> read_sysctl(std::string_view key);  // without the newline
[[nodiscard]] Result<void> write_sysctl(std::string_view key, std::string_view value);

}  // namespace podlane
