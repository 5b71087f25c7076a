// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include <cerrno>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "test/net/harness/packet.h"
#include "test/net/harness/socket.h"
#include "test/net/harness/traffic.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

struct Datagram {
    Bytes bytes;
    SocketAddress from;
};

std::optional<Datagram> receive_datagram(const Fd& socket) {
    Datagram datagram{Bytes(65536), {}};
    sockaddr_in from{};
    socklen_t from_size = sizeof(from);
    const ssize_t got = ::recvfrom(socket.get(), datagram.bytes.data(), datagram.bytes.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &from_size);
    if (got < 0) {
        return std::nullopt;
    }
    datagram.bytes.resize(static_cast<std::size_t>(got));
    datagram.from = {Ipv4Address::from_wire(from.sin_addr.s_addr), ntohs(from.sin_port)};
    return datagram;
}

bool send_datagram(const Fd& socket, ByteView bytes, const SocketAddress& to) {
    const sockaddr_in address = to_sockaddr(to);
    return ::sendto(socket.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&address),
                    sizeof(address)) == static_cast<ssize_t>(bytes.size());
}

// Differs from datagram to datagram and from byte to byte.
Bytes content_of_size(std::size_t size) {
    Bytes content(size);
    std::uint32_t state = static_cast<std::uint32_t>(size) * 2654435761U + 1;
    for (auto& byte : content) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<std::uint8_t>(state >> 24U);
    }
    return content;
}

std::string describe_failure(const char* way, std::size_t size, const std::optional<Datagram>& got) {
    if (!got) {
        return fmt::format("datagram of {} bytes {}: {}", size, way, std::generic_category().message(errno));
    }
    return fmt::format("datagram of {} bytes {} is not what was sent ({} bytes)", size, way, got->bytes.size());
}

}  // namespace

Outcome echo_udp(const Endpoint& client, const Endpoint& server, const std::vector<std::size_t>& sizes) {
    const Fd at_server = server_socket(*server.ns, server.address, SOCK_DGRAM, 2s);
    const Fd at_client = client_socket(*client.ns, SOCK_DGRAM, 2s);
    const SocketAddress address{server.reached_at(), local_address(at_server).port};
    Outcome outcome;
    for (const std::size_t size : sizes) {
        const Bytes content = content_of_size(size);
        if (!send_datagram(at_client, content, address)) {
            return {describe_failure("cannot be sent", size, std::nullopt), outcome.client_seen_as};
        }
        const auto request = receive_datagram(at_server);
        if (!request || request->bytes != content) {
            return {describe_failure("to the server", size, request), outcome.client_seen_as};
        }
        outcome.client_seen_as = request->from.address;
        if (!send_datagram(at_server, content, request->from)) {
            return {describe_failure("cannot be sent back", size, std::nullopt), outcome.client_seen_as};
        }
        const auto answer = receive_datagram(at_client);
        if (!answer || answer->bytes != content) {
            return {describe_failure("to the client", size, answer), outcome.client_seen_as};
        }
    }
    return outcome;
}

Arrival send_one_datagram(const Endpoint& client, const Endpoint& server, const SendOptions& options) {
    const Fd at_server = server_socket(*server.ns, server.address, SOCK_DGRAM, 2s);
    set_option(at_server, IPPROTO_IP, IP_RECVTTL, 1);
    set_option(at_server, IPPROTO_IP, IP_RECVTOS, 1);
    const Fd at_client = client_socket(*client.ns, SOCK_DGRAM, 2s);
    set_option(at_client, IPPROTO_IP, IP_TTL, options.ttl);
    set_option(at_client, IPPROTO_IP, IP_TOS, options.tos);
    const Bytes content = content_of_size(32);
    if (!send_datagram(at_client, content, local_address(at_server))) {
        return {};
    }
    Bytes buffer(256);
    std::array<char, 256> control{};
    iovec part{buffer.data(), buffer.size()};
    sockaddr_in from{};
    msghdr message{&from, sizeof(from), &part, 1, control.data(), control.size(), 0};
    if (::recvmsg(at_server.get(), &message, 0) != static_cast<ssize_t>(content.size())) {
        return {};
    }
    Arrival arrival{true, 0, 0, Ipv4Address::from_wire(from.sin_addr.s_addr)};
    for (cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != nullptr; entry = CMSG_NXTHDR(&message, entry)) {
        if (entry->cmsg_type == IP_TTL) {
            arrival.ttl = *reinterpret_cast<const int*>(CMSG_DATA(entry));
        } else if (entry->cmsg_type == IP_TOS) {
            arrival.tos = *CMSG_DATA(entry);
        }
    }
    return arrival;
}

}  // namespace podlane::net
