// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/pod_links.h"

#include <fcntl.h>

#include "agent/log.h"
#include "maps/base/fd.h"

namespace podlane {
namespace {

// A pod's namespace and its end of the pair.
struct PodSide {
    netlink::Socket socket;
    netlink::Link link;
};

// The path may have become another namespace's: the device in it must be the very peer of `host`.
Result<PodSide> open_pod_side(const Endpoint& endpoint, const netlink::Link& host) {
    if (endpoint.netns.empty()) {
        return fail("the path of its network namespace is not known");
    }
    const Fd netns(::open(endpoint.netns.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!netns.valid()) {
        return fail_errno(errno, "open {}", endpoint.netns);
    }
    auto socket = netlink::Socket::open_in(netns.get());
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto link = netlink::find_link(*socket, host.link);
    if (!link) {
        return std::unexpected(link.error());
    }
    if (!*link || (*link)->kind != "veth" || (*link)->mac != endpoint.mac) {
        return fail("{} does not hold the other end of {}", endpoint.netns, host.name);
    }
    return PodSide{std::move(*socket), **link};
}

Result<void> set_mtu(netlink::Socket& socket, const netlink::Link& link, std::uint32_t mtu) {
    return socket.execute(netlink::change_link(link, {.mtu = mtu}));
}

}  // namespace

// The receiving side is the larger one at every moment, for what the pod sends; nothing of that size comes to the pod
// before its entry in the map says so.
Result<void> PodLinks::set_both(const Endpoint& endpoint, const netlink::Link& host, std::uint32_t mtu) {
    auto pod = open_pod_side(endpoint, host);
    if (!pod) {
        return std::unexpected(pod.error());
    }
    const bool grows = mtu > host.mtu;
    if (grows) {
        if (auto set = set_mtu(socket_, host, mtu); !set) {
            return set;
        }
    }
    if (auto set = set_mtu(pod->socket, pod->link, mtu); !set) {
        if (grows) {
            [[maybe_unused]] const auto back = set_mtu(socket_, host, host.mtu);
        }
        return set;
    }
    return grows ? Result<void>() : set_mtu(socket_, host, mtu);
}

std::uint32_t PodLinks::follow(const Endpoint& endpoint, const netlink::Link& host, std::uint32_t mtu) {
    if (endpoint.mtu_fixed || host.mtu == mtu || host.link == 0) {
        return host.mtu;
    }
    if (const auto set = set_both(endpoint, host, mtu); !set) {
        if (complained_.insert(endpoint.id()).second) {
            log::warning("endpoint {}: its MTU stays {} instead of {}: {}", endpoint.id(), host.mtu, mtu,
                         set.error().message);
        }
        return host.mtu;
    }
    forget(endpoint.id());
    log::info("endpoint {}: MTU {} instead of {}", endpoint.id(), mtu, host.mtu);
    return mtu;
}

}  // namespace podlane
