// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/socket.h"

#include <arpa/inet.h>

#include "test/net/harness/error.h"

namespace podlane::net {
namespace {

template <typename Call>
SocketAddress address_by(Call call, const Fd& socket) {
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    if (call(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        raise_errno("read the address of a socket");
    }
    return {Ipv4Address::from_wire(address.sin_addr.s_addr), ntohs(address.sin_port)};
}

}  // namespace

Fd timed_socket(int type, std::chrono::milliseconds timeout) {
    Fd socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    if (!socket.valid()) {
        raise_errno("open a socket");
    }
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
    const timeval limit{seconds.count(), std::chrono::microseconds(timeout - seconds).count()};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        if (::setsockopt(socket.get(), SOL_SOCKET, option, &limit, sizeof(limit)) != 0) {
            raise_errno("set the time-out of a socket");
        }
    }
    return socket;
}

sockaddr_in to_sockaddr(const SocketAddress& address) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_port = htons(address.port);
    result.sin_addr.s_addr = address.address.wire();
    return result;
}

SocketAddress local_address(const Fd& socket) {
    return address_by(::getsockname, socket);
}

SocketAddress peer_address(const Fd& socket) {
    return address_by(::getpeername, socket);
}

Fd server_socket(const Namespace& ns, Ipv4Address address, int type, std::chrono::milliseconds timeout) {
    return in_namespace(ns, [&] {
        Fd socket = timed_socket(type, timeout);
        const sockaddr_in local = to_sockaddr({address, 0});
        if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0) {
            raise_errno("bind to {} in {}", address, ns.name());
        }
        if (type == SOCK_STREAM && ::listen(socket.get(), SOMAXCONN) != 0) {
            raise_errno("listen on {} in {}", address, ns.name());
        }
        return socket;
    });
}

Fd client_socket(const Namespace& ns, int type, std::chrono::milliseconds timeout) {
    return in_namespace(ns, [&] { return timed_socket(type, timeout); });
}

bool connect_to(const Fd& socket, const SocketAddress& address) {
    const sockaddr_in remote = to_sockaddr(address);
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&remote), sizeof(remote)) == 0;
}

void set_option(const Fd& socket, int level, int option, int value) {
    if (::setsockopt(socket.get(), level, option, &value, sizeof(value)) != 0) {
        raise_errno("set socket option {}/{} to {}", level, option, value);
    }
}

}  // namespace podlane::net
