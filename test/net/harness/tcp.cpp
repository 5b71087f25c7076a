// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <future>
#include <map>
#include <system_error>

#include <fmt/format.h>

#include "test/net/harness/socket.h"
#include "test/net/harness/traffic.h"

namespace podlane::net {
namespace {

constexpr std::size_t words_per_part = 16384;
constexpr std::uint64_t seed_to_server = 0x706f646c616e6501;
constexpr std::uint64_t seed_to_client = 0x706f646c616e6502;

std::string errno_text() {
    return std::generic_category().message(errno);
}

// A word tells its position: a lost, doubled, moved or damaged byte shows. Cheap, for it must not be what is measured.
std::uint64_t word_at(std::uint64_t seed, std::uint64_t position) {
    return seed ^ (position * 0x9e3779b97f4a7c15ULL);
}

// The stream, part by part.
class Pattern {
public:
    explicit Pattern(std::uint64_t seed) : seed_(seed), words_(words_per_part) {}
    [[nodiscard]] const char* part(std::uint64_t first_word) {
        for (std::size_t index = 0; index < words_per_part; ++index) {
            words_[index] = word_at(seed_, first_word + index);
        }
        return reinterpret_cast<const char*>(words_.data());
    }
    static constexpr std::uint64_t part_size = words_per_part * sizeof(std::uint64_t);

private:
    std::uint64_t seed_;
    std::vector<std::uint64_t> words_;
};

// False with errno; a peer that closed early is ECONNRESET.
bool send_all(int fd, const char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t sent = ::send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0) {
            return false;
        }
        data += sent;
        size -= static_cast<std::size_t>(sent);
    }
    return true;
}

bool receive_all(int fd, char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t got = ::recv(fd, data, size, 0);
        if (got <= 0) {
            errno = got == 0 ? ECONNRESET : errno;
            return false;
        }
        data += got;
        size -= static_cast<std::size_t>(got);
    }
    return true;
}

std::string send_stream(int fd, std::uint64_t seed, std::uint64_t bytes) {
    Pattern pattern(seed);
    for (std::uint64_t at = 0; at < bytes; at += Pattern::part_size) {
        const char* part = pattern.part(at / sizeof(std::uint64_t));
        if (!send_all(fd, part, std::min(Pattern::part_size, bytes - at))) {
            return fmt::format("sending stopped after about {} of {} bytes: {}", at, bytes, errno_text());
        }
    }
    return {};
}

std::string receive_stream(int fd, std::uint64_t seed, std::uint64_t bytes) {
    Pattern pattern(seed);
    std::vector<char> received(Pattern::part_size);
    for (std::uint64_t at = 0; at < bytes; at += Pattern::part_size) {
        const auto size = std::min(Pattern::part_size, bytes - at);
        if (!receive_all(fd, received.data(), size)) {
            return fmt::format("receiving stopped after about {} of {} bytes: {}", at, bytes, errno_text());
        }
        const char* expected = pattern.part(at / sizeof(std::uint64_t));
        if (std::memcmp(received.data(), expected, size) != 0) {
            const auto* differs = std::mismatch(expected, expected + size, received.data()).first;
            return fmt::format("byte {} is not what was sent", at + static_cast<std::uint64_t>(differs - expected));
        }
    }
    return {};
}

Outcome serve_one(const Fd& listener, std::uint64_t bytes, std::chrono::seconds timeout) {
    const Fd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid()) {
        return {fmt::format("accept: {}", errno_text()), {}};
    }
    const timeval limit{timeout.count(), 0};
    ::setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    Outcome outcome{receive_stream(connection.get(), seed_to_server, bytes), peer_address(connection).address};
    if (outcome.ok()) {
        outcome.problem = send_stream(connection.get(), seed_to_client, bytes);
    }
    return outcome;
}

std::string use_connection(const Fd& client, const SocketAddress& server, std::uint64_t bytes) {
    if (!connect_to(client, server)) {
        return fmt::format("connect to {}:{}: {}", server.address, server.port, errno_text());
    }
    auto problem = send_stream(client.get(), seed_to_server, bytes);
    return problem.empty() ? receive_stream(client.get(), seed_to_client, bytes) : problem;
}

std::string echo_message(const Fd& client, const Fd& server, unsigned number) {
    const std::string message = fmt::format("connection {} says hello", number);
    std::string heard(message.size(), '\0');
    const bool there =
        send_all(client.get(), message.data(), message.size()) && receive_all(server.get(), heard.data(), heard.size());
    if (!there || heard != message) {
        return fmt::format("connection {} to the server: heard \"{}\", {}", number, heard, errno_text());
    }
    const bool back =
        send_all(server.get(), message.data(), message.size()) && receive_all(client.get(), heard.data(), heard.size());
    if (!back || heard != message) {
        return fmt::format("connection {} to the client: heard \"{}\", {}", number, heard, errno_text());
    }
    return {};
}

}  // namespace

std::uint64_t at_most_bulk_limit(std::uint64_t bytes) {
    const char* limit = std::getenv("PODLANE_TEST_BULK_LIMIT");
    return limit == nullptr ? bytes : std::min<std::uint64_t>(bytes, std::strtoull(limit, nullptr, 10));
}

Outcome exchange_tcp(const Endpoint& client, const Endpoint& server, std::uint64_t wanted_bytes,
                     std::chrono::seconds timeout) {
    const std::uint64_t bytes = at_most_bulk_limit(wanted_bytes);
    const Fd listener = server_socket(*server.ns, server.address, SOCK_STREAM, timeout);
    const SocketAddress address{server.reached_at(), local_address(listener).port};
    auto serving = std::async(std::launch::async, [&] { return serve_one(listener, bytes, timeout); });
    std::string client_problem;
    {
        const Fd socket = client_socket(*client.ns, SOCK_STREAM, timeout);
        client_problem = use_connection(socket, address, bytes);
    }
    Outcome outcome = serving.get();
    if (!client_problem.empty()) {
        outcome.problem =
            fmt::format("client: {}; server: {}", client_problem, outcome.ok() ? "well" : outcome.problem);
    }
    return outcome;
}

Outcome exchange_on_parallel_connections(const Endpoint& client, const Endpoint& server, unsigned count,
                                         ClientPorts ports) {
    constexpr auto timeout = std::chrono::seconds(5);
    const Fd listener = server_socket(*server.ns, server.address, SOCK_STREAM, timeout);
    const SocketAddress address = local_address(listener);
    std::vector<Fd> clients;
    std::map<std::uint16_t, Fd> servers;      // by the client's port, as the server sees it
    std::vector<std::uint16_t> client_ports;  // the same, by number
    Ipv4Address seen;
    for (unsigned number = 0; number < count; ++number) {
        clients.push_back(client_socket(*client.ns, SOCK_STREAM, timeout));
        if (!connect_to(clients.back(), address)) {
            return {fmt::format("connection {}: {}", number, errno_text()), {}};
        }
        Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!accepted.valid()) {
            return {fmt::format("accept number {}: {}", number, errno_text()), {}};
        }
        const timeval limit{timeout.count(), 0};
        ::setsockopt(accepted.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        const auto peer = peer_address(accepted);
        seen = peer.address;
        client_ports.push_back(ports == ClientPorts::kept ? local_address(clients.back()).port : peer.port);
        if (!servers.emplace(peer.port, std::move(accepted)).second) {
            return {fmt::format("connection {} shares its port with another", number), seen};
        }
    }
    for (unsigned number = 0; number < count; ++number) {
        const auto matching = servers.find(client_ports[number]);
        if (matching == servers.end()) {
            return {fmt::format("connection {} arrived from another port", number), seen};
        }
        if (auto problem = echo_message(clients[number], matching->second, number); !problem.empty()) {
            return {problem, seen};
        }
    }
    return {{}, seen};
}

}  // namespace podlane::net
