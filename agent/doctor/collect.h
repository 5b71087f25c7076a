// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
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

// For an agent, which looks again and again: what check_status judges, of the namespace that it was opened in. Rules of
// nf_tables are read again only after a change.
class Watch {
public:
    [[nodiscard]] static Result<Watch> open(Config config);
    // `pods`: of this node.
    [[nodiscard]] Facts look(std::vector<Endpoint> pods);

private:
    Watch(Config config, netlink::Socket route, std::optional<netlink::Socket> filter)
        : config_(std::move(config)), route_(std::move(route)), filter_(std::move(filter)) {}
    [[nodiscard]] Result<std::vector<netfilter::Table>> tables();

    Config config_;
    netlink::Socket route_;
    std::optional<netlink::Socket> filter_;  // none: the kernel has no nf_tables
    std::optional<std::uint32_t> generation_;
    std::vector<netfilter::Table> nft_tables_;
};

// The parts of it.
[[nodiscard]] std::vector<DhcpClient> find_dhcp_clients(const std::vector<MacvlanFacts>& networks);
[[nodiscard]] Result<LanProbe> probe_lan(const MacvlanFacts& network, Ipv4Address target, const MacAddress& own);

}  // namespace podlane::doctor
