// SPDX-License-Identifier: Apache-2.0
#include "maps/nat_use.h"

#include <arpa/inet.h>

namespace podlane {

nat_destination nat_destination_of(const flow_key& flow, const nat_entry& entry) {
    const bool is_echo = nat_state_of(&flow, &entry) == NAT_STATE_ICMP;
    return {.nat_address = entry.nat_address,
            .remote_address = flow.remote_address,
            .remote_port = is_echo ? __be16{0} : flow.remote_port,
            .protocol = flow.protocol,
            .pad = 0};
}

bool has_port_of(const nat_entry& entry, std::uint16_t low, std::uint16_t count) {
    const auto port = ntohs(entry.nat_port);
    return port >= low && port - low < count;
}

}  // namespace podlane
