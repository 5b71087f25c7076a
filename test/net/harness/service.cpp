// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/service.h"

#include <poll.h>

#include <array>
#include <cerrno>
#include <list>
#include <numeric>
#include <system_error>

#include <fmt/format.h>

#include "test/net/harness/error.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 2s;        // of a client, and of a backend with a client that says nothing
constexpr int stop_check = 50;       // ms
constexpr std::size_t longest = 64;  // bytes of a question or an answer

Fd bound_socket(const Namespace& ns, const SocketAddress& at, Transport transport) {
    return in_namespace(ns, [&] {
        const int type = transport == Transport::tcp ? SOCK_STREAM : SOCK_DGRAM;
        Fd socket = timed_socket(type, patience);
        set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
        const sockaddr_in local = to_sockaddr(at);
        if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0) {
            raise_errno("bind to {}:{} in {}", at.address, at.port, ns.name());
        }
        if (transport == Transport::tcp && ::listen(socket.get(), SOMAXCONN) != 0) {
            raise_errno("listen on {}:{} in {}", at.address, at.port, ns.name());
        }
        return socket;
    });
}

std::string describe(const std::string& name, const SocketAddress& client) {
    return fmt::format("{} {}", name, client.address);
}

// Sends a question and waits for the answer; empty with errno when there is none.
std::string exchange(const Fd& socket) {
    std::array<char, longest> answer{};
    if (::send(socket.get(), "who\n", 4, MSG_NOSIGNAL) != 4) {
        return {};
    }
    const ssize_t got = ::recv(socket.get(), answer.data(), answer.size(), 0);
    if (got <= 0) {
        errno = got == 0 ? ECONNRESET : errno;
        return {};
    }
    return {answer.data(), static_cast<std::size_t>(got)};
}

// From the calling thread's namespace.
std::string ask_once(const SocketAddress& service, Transport transport) {
    const Fd socket = timed_socket(transport == Transport::tcp ? SOCK_STREAM : SOCK_DGRAM, patience);
    return connect_to(socket, service) ? exchange(socket) : std::string();
}

// Answers what can be read; false when the client is gone.
bool answer(const Fd& connection, const std::string& text) {
    std::array<char, longest> question{};
    return ::recv(connection.get(), question.data(), question.size(), 0) > 0 &&
           ::send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL) > 0;
}

}  // namespace

Backend::Backend(const Namespace& ns, const SocketAddress& at, Transport transport, std::string name)
    : name_(std::move(name)),
      socket_(bound_socket(ns, at, transport)),
      server_([this, transport](const std::stop_token& stop) {
          transport == Transport::tcp ? serve_connections(stop) : serve_datagrams(stop);
      }) {}

void Backend::serve_connections(const std::stop_token& stop) const {
    std::list<Fd> connections;
    while (!stop.stop_requested()) {
        std::vector<pollfd> waiting = {{socket_.get(), POLLIN, 0}};
        for (const auto& connection : connections) {
            waiting.push_back({connection.get(), POLLIN, 0});
        }
        if (::poll(waiting.data(), waiting.size(), stop_check) <= 0) {
            continue;
        }
        auto ready = waiting.begin() + 1;
        std::erase_if(connections, [&](const Fd& connection) {
            return (ready++)->revents != 0 && !answer(connection, describe(name_, peer_address(connection)));
        });
        if (waiting.front().revents != 0) {
            connections.emplace_back(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        }
    }
}

void Backend::serve_datagrams(const std::stop_token& stop) const {
    while (!stop.stop_requested()) {
        pollfd waiting{socket_.get(), POLLIN, 0};
        if (::poll(&waiting, 1, stop_check) <= 0) {
            continue;
        }
        std::array<char, longest> question{};
        sockaddr_in from{};
        socklen_t size = sizeof(from);
        if (::recvfrom(socket_.get(), question.data(), question.size(), 0, reinterpret_cast<sockaddr*>(&from), &size) <
            0) {
            continue;
        }
        const auto text = describe(name_, {Ipv4Address::from_wire(from.sin_addr.s_addr), ntohs(from.sin_port)});
        ::sendto(socket_.get(), text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&from), size);
    }
}

unsigned Served::total() const {
    return std::accumulate(by.begin(), by.end(), 0U, [](unsigned sum, const auto& one) { return sum + one.second; });
}

Served ask_service(const Namespace& from, const SocketAddress& service, unsigned count, Transport transport) {
    // One thread for all: entering the namespace costs more than a connection.
    return in_namespace(from, [&] {
        Served served;
        for (unsigned number = 1; number <= count; ++number) {
            const auto heard = ask_once(service, transport);
            if (heard.empty()) {
                served.problem = fmt::format("number {} of {} to {}:{}: {}", number, count, service.address,
                                             service.port, std::generic_category().message(errno));
                break;
            }
            ++served.by[heard];
        }
        return served;
    });
}

Served ask_in_turn(const Namespace& from, const std::vector<SocketAddress>& services, unsigned rounds) {
    const Fd socket = client_socket(from, SOCK_DGRAM, patience);
    Served served;
    for (unsigned number = 0; number < rounds * services.size(); ++number) {
        const auto& asked = services[number % services.size()];
        const sockaddr_in to = to_sockaddr(asked);
        ::sendto(socket.get(), "who\n", 4, 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
        std::array<char, longest> heard{};
        sockaddr_in source{};
        socklen_t size = sizeof(source);
        const ssize_t got =
            ::recvfrom(socket.get(), heard.data(), heard.size(), 0, reinterpret_cast<sockaddr*>(&source), &size);
        if (got < 0 || source.sin_addr.s_addr != to.sin_addr.s_addr || source.sin_port != to.sin_port) {
            served.problem =
                fmt::format("number {} to {}:{}: {}", number, asked.address, asked.port,
                            got < 0 ? std::generic_category().message(errno)
                                    : fmt::format("answered from {}:{}", Ipv4Address::from_wire(source.sin_addr.s_addr),
                                                  ntohs(source.sin_port)));
            break;
        }
        ++served.by[std::string(heard.data(), static_cast<std::size_t>(got))];
    }
    return served;
}

LongConnection::LongConnection(const Namespace& from, const SocketAddress& service)
    : socket_(client_socket(from, SOCK_STREAM, patience)), connected_(connect_to(socket_, service)) {}

std::string LongConnection::ask() const {
    return connected_ ? exchange(socket_) : std::string();
}

}  // namespace podlane::net
