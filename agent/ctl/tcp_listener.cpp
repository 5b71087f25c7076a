// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "agent/ctl/http_server.h"

namespace podlane {
namespace {

constexpr int backlog = 64;

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

Result<SocketAddress> socket_address(const std::string& host, std::uint16_t port) {
    SocketAddress address;
    sockaddr_in ipv4{};
    sockaddr_in6 ipv6{};
    if (inet_pton(AF_INET, host.c_str(), &ipv4.sin_addr) == 1) {
        ipv4.sin_family = AF_INET;
        ipv4.sin_port = htons(port);
        std::memcpy(&address.storage, &ipv4, sizeof(ipv4));
        address.size = sizeof(ipv4);
    } else if (inet_pton(AF_INET6, host.c_str(), &ipv6.sin6_addr) == 1) {
        ipv6.sin6_family = AF_INET6;
        ipv6.sin6_port = htons(port);
        std::memcpy(&address.storage, &ipv6, sizeof(ipv6));
        address.size = sizeof(ipv6);
    } else {
        return fail_errno(EINVAL, "listen on {}: this is no address", host);
    }
    return address;
}

}  // namespace

Result<Fd> listen_tcp(const std::string& host, std::uint16_t port) {
    const auto address = socket_address(host, port);
    if (!address) {
        return std::unexpected(address.error());
    }
    Fd listener(socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // Connections of an agent that ended a moment ago keep nobody from the port.
    const int yes = 1;
    if (!listener.valid() || setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        bind(listener.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->size) != 0 ||
        listen(listener.get(), backlog) != 0) {
        return fail_errno(errno, "listen on {} port {}", host, port);
    }
    return listener;
}

}  // namespace podlane
