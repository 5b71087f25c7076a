// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "agent/cni/result.h"
#include "agent/cni/rtnetlink.h"

namespace podlane::cni {

// Named after the attachment, not after the container's interface: the kernel looks for a device of the new one's name
// in the host's namespace too, and refuses where it finds one.
[[nodiscard]] RtMessage create_macvlan_request(const Attachment& attachment, int master_index, int sandbox_fd);
// Gives a device that is down its final name, and the alias that tells whose it is.
[[nodiscard]] RtMessage rename_request(int index, const std::string& name, const std::string& alias);

// MACVLAN_MODE_* of "bridge", ...; 0 for a name that is none. And back; empty for a mode that the plugin does not make.
[[nodiscard]] std::uint32_t macvlan_mode_number(std::string_view mode);
[[nodiscard]] std::string_view macvlan_mode_name(std::uint32_t mode);

// The number that `socket`'s namespace has for the namespace behind `namespace_fd`; -1 where it has none.
[[nodiscard]] Result<std::int32_t> namespace_number(RtSocket& socket, int namespace_fd);

}  // namespace podlane::cni
