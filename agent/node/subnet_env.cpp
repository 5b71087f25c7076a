// SPDX-License-Identifier: Apache-2.0
#include "agent/node/subnet_env.h"

namespace podlane {

std::string subnet_env(const Ipv4Prefix& network, const Ipv4Prefix& pod_cidr, std::uint32_t mtu) {
    const auto gateway = Ipv4Address::from_host(pod_cidr.address().host() + 1);
    return fmt::format("FLANNEL_NETWORK={}\nFLANNEL_SUBNET={}/{}\nFLANNEL_MTU={}\nFLANNEL_IPMASQ=true\n", network,
                       gateway, pod_cidr.length(), mtu);
}

}  // namespace podlane
