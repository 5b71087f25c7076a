// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <libmnl/libmnl.h>

#include "maps/base/result.h"

namespace podlane::netlink {

// What a multicast socket listens to.
struct MulticastSettings {
    int protocol;                  // NETLINK_ROUTE, NETLINK_NETFILTER, ...
    std::span<const int> groups;   // of that protocol: RTNLGRP_*, NFNLGRP_*
    int receive_buffer;            // bytes, before the kernel doubles it
    std::size_t largest_datagram;  // bytes; what is larger counts as lost
};

// Follows what the kernel tells of one netlink protocol, in the network namespace it was opened in.
class MulticastSocket {
public:
    // Without CAP_NET_ADMIN in the first user namespace the buffer is what net.core.rmem_max allows, and losses are
    // likelier.
    [[nodiscard]] static Result<MulticastSocket> open(const MulticastSettings& settings);

    // Non-blocking; readable when there are messages. Owned by the socket.
    [[nodiscard]] int fd() const { return mnl_socket_get_fd(handle_.get()); }
    // Visits the messages that are there, of a few hundred datagrams at most, so that a flood does not hold up the
    // event loop; the descriptor stays readable while there are more. `lost` is called where the kernel could not keep
    // some. An error is one of the socket itself.
    [[nodiscard]] Result<void> drain(const std::function<void(const nlmsghdr&)>& visit,
                                     const std::function<void()>& lost);

private:
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    using Handle = std::unique_ptr<mnl_socket, Close>;
    MulticastSocket(Handle handle, std::size_t largest_datagram);

    Handle handle_;
    std::vector<std::byte> buffer_;
};

}  // namespace podlane::netlink
