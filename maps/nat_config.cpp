// SPDX-License-Identifier: Apache-2.0
#include "maps/nat_config.h"

#include <algorithm>
#include <array>

#include "maps/base/monotonic.h"
#include "maps/nat_use.h"

namespace podlane {
namespace {

// Seconds.
constexpr std::array<std::uint32_t, NAT_STATE_COUNT> nat_timeouts = [] {
    std::array<std::uint32_t, NAT_STATE_COUNT> timeouts{};
    timeouts[NAT_STATE_OPENING] = 240;       // RFC 5382, REQ-5
    timeouts[NAT_STATE_ESTABLISHED] = 7440;  // the same
    timeouts[NAT_STATE_CLOSED] = 10;
    timeouts[NAT_STATE_UDP] = 300;  // RFC 4787, REQ-5
    timeouts[NAT_STATE_DNS] = 20;   // RFC 4787, REQ-5a
    timeouts[NAT_STATE_ICMP] = 60;  // RFC 5508, REQ-2
    timeouts[NAT_STATE_SCTP] = 7440;
    return timeouts;
}();

// The smallest size of which as many blocks hold `ports`: at most NAT_BLOCK_SIZE_MAX, for there are 65536 ports.
std::uint32_t block_size_for(std::uint32_t ports) {
    std::uint32_t size = 1;
    while (size * size < ports) {
        ++size;
    }
    return size;
}

}  // namespace

nat_config nat_config_for(std::uint16_t low, std::uint16_t high) {
    const std::uint32_t ports = std::uint32_t{high} - low + 1;
    const auto block_size = block_size_for(ports);
    nat_config config{};
    config.enabled = 1;
    config.flows_per_pod = nat_flows_per_pod;
    config.port_low = low;
    config.port_count = static_cast<std::uint16_t>(ports);
    config.block_size = static_cast<std::uint16_t>(block_size);
    config.block_count = static_cast<std::uint16_t>((ports + block_size - 1) / block_size);
    std::ranges::copy(nat_timeouts, config.timeouts);
    return config;
}

std::int64_t nat_expiry(const flow_key& flow, const nat_entry& entry) {
    return static_cast<std::int64_t>(entry.last_seen) + nat_timeouts.at(nat_state_of(&flow, &entry)) * ns_per_second;
}

}  // namespace podlane
