// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "maps/base/address.h"
#include "maps/base/result.h"

namespace podlane {

// What podlane takes of the configuration file of ip-masq-agent (kubernetes-sigs/ip-masq-agent).
struct IpMasqAgentConfig {
    std::vector<Ipv4Prefix> non_masquerade_cidrs;  // may overlap, and repeat
    bool masq_link_local = false;                  // 169.254.0.0/16 is translated

    bool operator==(const IpMasqAgentConfig&) const = default;
};

// Means what it means to ip-masq-agent: YAML or JSON; keys in any case, unknown ones passed over; without
// nonMasqueradeCIDRs the networks of RFC 1918. But there is no limit to how many, IPv6 networks are passed over, and
// so is what podlane has no use for (cidrLimit, masqLinkLocalIPv6, resyncInterval). An error is one line that begins
// with "<name>:<line>: ".
[[nodiscard]] Result<IpMasqAgentConfig> parse_ip_masq_agent(std::string_view text, std::string_view name);

}  // namespace podlane
