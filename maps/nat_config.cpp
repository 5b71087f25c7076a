// SPDX-License-Identifier: Apache-2.0
#include "maps/nat_config.h"

namespace podlane {
namespace {

constexpr std::uint32_t pods_that_fill_the_table = 4;

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
    config.flows_per_pod = spec::nat_by_flow::capacity / pods_that_fill_the_table;
    config.port_low = low;
    config.port_count = static_cast<std::uint16_t>(ports);
    config.block_size = static_cast<std::uint16_t>(block_size);
    config.block_count = static_cast<std::uint16_t>((ports + block_size - 1) / block_size);
    config.timeouts = {.tcp_established = 7440,
                       .tcp_transitory = 240,
                       .tcp_closed = 10,
                       .udp = 300,
                       .udp_dns = 20,
                       .icmp = 60,
                       .sctp = 7440};
    return config;
}

}  // namespace podlane
