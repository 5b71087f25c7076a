// SPDX-License-Identifier: Apache-2.0
#include "agent/node/pod_bridges.h"

#include <algorithm>
#include <string_view>

namespace podlane {
namespace {

constexpr std::string_view bridge_kind = "bridge";
constexpr std::string_view veth_kind = "veth";

}  // namespace

const netlink::Link* bridge_of(const netlink::Link& port, const std::vector<netlink::Link>& links) {
    const auto found = port.master == 0 ? links.end() : std::ranges::find(links, port.master, &netlink::Link::ifindex);
    return found == links.end() || found->kind != bridge_kind ? nullptr : &*found;
}

std::vector<std::string> find_pod_bridges(const std::vector<netlink::Link>& links,
                                          const std::vector<netlink::InterfaceAddress>& addresses,
                                          const std::vector<Ipv4Prefix>& pod_cidrs) {
    std::vector<std::string> names;
    for (const auto& bridge : links) {
        const bool is_pods = std::ranges::any_of(addresses, [&](const netlink::InterfaceAddress& address) {
            return address.ifindex == bridge.ifindex && std::ranges::any_of(pod_cidrs, [&](const Ipv4Prefix& cidr) {
                       return cidr.contains(address.address);
                   });
        });
        const bool has_other_ports = std::ranges::any_of(
            links, [&](const netlink::Link& port) { return port.master == bridge.ifindex && port.kind != veth_kind; });
        if (bridge.kind == bridge_kind && is_pods && !has_other_ports) {
            names.push_back(bridge.name);
        }
    }
    return names;
}

}  // namespace podlane
