// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "agent/cni/endpoint.h"
#include "agent/netlink/link.h"
#include "agent/netlink/socket.h"

namespace podlane {

// Makes the veth pairs of running pods follow the MTU that pods are to have. The pod's side is changed by a socket of
// its namespace, which is entered for the moment of opening it, by the path in the endpoint's record. Where that path
// leads nowhere (a record rebuilt from the kernel, an agent that does not see the runtime's /run/netns) both sides stay
// as they are: what is too large for its path is answered by ICMP then. Never one side alone: a veth device takes
// nothing larger than its own MTU from its peer, and says nothing.
class PodLinks {
public:
    // The socket must outlive this.
    explicit PodLinks(netlink::Socket& socket) : socket_(socket) {}

    // `host`: the pair's host side. Returns the MTU of the pair afterwards, bytes of IP. Logs what it changed, and for
    // each pod once why it could not.
    [[nodiscard]] std::uint32_t follow(const Endpoint& endpoint, const netlink::Link& host, std::uint32_t mtu);
    // Forgets what was said about the pod.
    void forget(const std::string& endpoint_id) { complained_.erase(endpoint_id); }

private:
    [[nodiscard]] Result<void> set_both(const Endpoint& endpoint, const netlink::Link& host, std::uint32_t mtu);

    netlink::Socket& socket_;
    std::set<std::string> complained_;  // by Endpoint::id()
};

}  // namespace podlane
