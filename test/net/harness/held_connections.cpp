// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/held_connections.h"

#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <fmt/format.h>

#include "test/net/harness/error.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 2s;
constexpr rlim_t enough_files = 16384;

std::string errno_text() {
    return std::generic_category().message(errno);
}

void allow_open_files() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::max(limit.rlim_cur, enough_files);
    limit.rlim_max = std::max(limit.rlim_max, limit.rlim_cur);
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        raise_errno("allow {} open files", enough_files);
    }
}

// In the calling thread's namespace.
Fd connected_socket(const SocketAddress& server, std::uint16_t port) {
    Fd socket = timed_socket(SOCK_STREAM, patience);
    set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    const sockaddr_in local = to_sockaddr({{}, port});
    if (port != 0 && ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0) {
        return {};
    }
    return connect_to(socket, server) ? std::move(socket) : Fd();
}

// Empty when the bytes arrived.
std::string pass_on(const Fd& from, const Fd& to, const std::string& message) {
    std::array<char, 64> heard{};
    if (::send(from.get(), message.data(), message.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(message.size()) ||
        ::recv(to.get(), heard.data(), message.size(), MSG_WAITALL) != static_cast<ssize_t>(message.size())) {
        return fmt::format("{}: {}", message, errno_text());
    }
    return std::memcmp(heard.data(), message.data(), message.size()) == 0 ? "" : message + " was not what arrived";
}

}  // namespace

HeldConnections::HeldConnections(const Endpoint& server)
    : listener_(server_socket(*server.ns, server.address, SOCK_STREAM, patience)),
      at_{server.reached_at(), local_address(listener_).port} {
    allow_open_files();
}

std::string HeldConnections::open(const Endpoint& client, unsigned count, std::uint16_t port) {
    return in_namespace(*client.ns, [&]() -> std::string {
        for (unsigned number = 0; number < count; ++number) {
            Fd socket = connected_socket(at_, number == 0 ? port : std::uint16_t{0});
            if (!socket.valid()) {
                return fmt::format("connection {}: {}", number, errno_text());
            }
            Fd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!accepted.valid()) {
                return fmt::format("accept number {}: {}", number, errno_text());
            }
            const timeval limit{std::chrono::seconds(patience).count(), 0};
            ::setsockopt(accepted.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
            const auto seen_as = peer_address(accepted);
            pairs_.push_back({std::move(socket), std::move(accepted), seen_as});
        }
        return {};
    });
}

std::string HeldConnections::echo_on_each() const {
    for (std::size_t number = 0; number < pairs_.size(); ++number) {
        const auto& [client, server, seen_as] = pairs_[number];
        auto problem = pass_on(client, server, fmt::format("connection {} asks", number));
        problem = problem.empty() ? pass_on(server, client, fmt::format("connection {} hears", number)) : problem;
        if (!problem.empty()) {
            return problem;
        }
    }
    return {};
}

void HeldConnections::reset(std::size_t count) {
    for (std::size_t number = 0; number < count; ++number) {
        const linger at_once{1, 0};
        ::setsockopt(pairs_[number].client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        pairs_[number].client.reset();
    }
    pairs_.erase(pairs_.begin(), pairs_.begin() + static_cast<std::ptrdiff_t>(count));
}

void HeldConnections::finish(std::size_t count) {
    for (std::size_t number = 0; number < count; ++number) {
        char end = 0;
        ::shutdown(pairs_[number].client.get(), SHUT_WR);
        ::recv(pairs_[number].server.get(), &end, 1, 0);
        pairs_[number].server.reset();
        ::recv(pairs_[number].client.get(), &end, 1, 0);
    }
    pairs_.erase(pairs_.begin(), pairs_.begin() + static_cast<std::ptrdiff_t>(count));
}

std::set<std::uint16_t> HeldConnections::ports_seen() const {
    std::set<std::uint16_t> ports;
    for (const auto& pair : pairs_) {
        ports.insert(pair.seen_as.port);
    }
    return ports;
}

std::set<Ipv4Address> HeldConnections::addresses_seen() const {
    std::set<Ipv4Address> addresses;
    for (const auto& pair : pairs_) {
        addresses.insert(pair.seen_as.address);
    }
    return addresses;
}

}  // namespace podlane::net
