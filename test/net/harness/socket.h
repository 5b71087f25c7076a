// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>

#include "maps/base/address.h"
#include "maps/base/fd.h"
#include "test/net/harness/namespace.h"

// Sockets for the traffic tools: blocking, with a time-out on each call.
namespace podlane::net {

struct SocketAddress {
    Ipv4Address address;
    std::uint16_t port = 0;  // host byte order
};

[[nodiscard]] sockaddr_in to_sockaddr(const SocketAddress& address);
[[nodiscard]] SocketAddress local_address(const Fd& socket);
[[nodiscard]] SocketAddress peer_address(const Fd& socket);

// In the calling thread's namespace.
[[nodiscard]] Fd timed_socket(int type, std::chrono::milliseconds timeout);
// Bound to `address` and a free port. `type` is SOCK_STREAM (then it listens) or SOCK_DGRAM.
[[nodiscard]] Fd server_socket(const Namespace& ns, Ipv4Address address, int type, std::chrono::milliseconds timeout);
// Not bound: the kernel chooses the source address.
[[nodiscard]] Fd client_socket(const Namespace& ns, int type, std::chrono::milliseconds timeout);
// False with errno when it could not.
[[nodiscard]] bool connect_to(const Fd& socket, const SocketAddress& address);
void set_option(const Fd& socket, int level, int option, int value);

}  // namespace podlane::net
