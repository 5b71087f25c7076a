// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/doctor/facts.h"
#include "agent/netlink/socket.h"

namespace podlane::doctor {

enum class Probing : std::uint8_t {
    off,
    on,  // puts ARP requests on the LANs of macvlan networks; takes a second for each
};

// Reads what the checks judge, of the calling thread's network namespace; changes nothing. What cannot be read is named
// in `gaps`. Needs what the agent needs (root).
[[nodiscard]] Facts collect(const Config& config, Probing probing);

// The parts of it.
[[nodiscard]] std::vector<DhcpClient> find_dhcp_clients(const std::vector<MacvlanFacts>& networks);
[[nodiscard]] Result<LanProbe> probe_lan(const MacvlanFacts& network, Ipv4Address target, const MacAddress& own);

}  // namespace podlane::doctor
