// SPDX-License-Identifier: Apache-2.0
#include "agent/state/macvlan_state.h"

#include <algorithm>

namespace podlane {

LocalShim shim_of(const MacvlanNetwork& network, std::string_view node_name) {
    return {.device = {.network = network.name,
                       .name = network.shim,
                       .master = network.master,
                       .mac = shim_mac(node_name, network.name),
                       .mtu = network.master_mtu,
                       .place = network.place,
                       .address = network.place == HostPlace::master ? network.host_address : std::nullopt,
                       .gate = network.gate},
            .pods = network.pods,
            .may_move = network.place == HostPlace::shim || network.wanted == HostPlace::shim,
            .rp_filter = network.rp_filter};
}

std::vector<MacvlanPodEntry> macvlan_entries(const MacvlanNetwork& network) {
    std::vector<MacvlanPodEntry> entries;
    if (network.shim_ifindex == 0 || !network.host_address) {
        return entries;
    }
    for (const auto& pod : network.pods) {
        MacvlanPodEntry entry{.ip = pod.ip, .pod = {}};
        entry.pod.ifindex = network.shim_ifindex;
        entry.pod.host_address = network.host_address->wire();
        std::ranges::copy(pod.mac.bytes(), entry.pod.mac);
        entries.push_back(entry);
    }
    return entries;
}

}  // namespace podlane
