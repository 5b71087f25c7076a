// SPDX-License-Identifier: Apache-2.0
#include "agent/node/pod_snat_policy.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "agent/log.h"

namespace podlane {

void PodSnatPolicy::begin(const std::vector<netlink::InterfaceAddress>& addresses,
                          const std::set<std::uint32_t>& own_devices, Ipv4Address internal_ip) {
    deciding_.clear();
    node_addresses_ = egress_addresses(addresses, own_devices, internal_ip);
}

PodSnat PodSnatPolicy::decide(const ClusterObjects& objects, const Endpoint& endpoint) {
    const PodObject* pod =
        find_pod(objects, {.name_space = endpoint.name_space, .name = endpoint.name, .uid = endpoint.uid});
    if (pod == nullptr) {
        return {};
    }
    auto decision = decide_pod_snat(*pod, node_addresses_);
    std::ranges::move(decision.warnings, std::back_inserter(deciding_));
    return decision.snat;
}

void PodSnatPolicy::end() {
    for (const auto& warning : deciding_) {
        if (std::ranges::find(warnings_, warning) == warnings_.end()) {
            log::warning("{}", warning.to_string());
        }
    }
    warnings_ = std::exchange(deciding_, {});
}

}  // namespace podlane
