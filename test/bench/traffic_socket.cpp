// SPDX-License-Identifier: Apache-2.0
#include "test/bench/traffic_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <thread>

namespace podlane::traffic {
namespace {

using std::chrono::steady_clock;

constexpr int udp_buffer_bytes = 4 * 1024 * 1024;

sockaddr_in to_sockaddr(const Endpoint& endpoint) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = endpoint.address.wire();
    address.sin_port = htons(endpoint.port);
    return address;
}

// The sockets API takes every address family through one pointer type.
template <typename Call>
int with_sockaddr(const Endpoint& endpoint, Call call) {
    const sockaddr_in address = to_sockaddr(endpoint);
    return call(reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(sizeof(address)));
}

Result<Fd> open_socket(int type) {
    Fd socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    if (!socket.valid()) {
        return fail_errno(errno, "open a socket");
    }
    return socket;
}

Result<void> set_option(const Fd& socket, int level, int name, int value) {
    if (::setsockopt(socket.get(), level, name, &value, sizeof(value)) != 0) {
        return fail_errno(errno, "set socket option {}", name);
    }
    return {};
}

Result<Fd> bind_socket(int type, const Endpoint& local) {
    auto socket = open_socket(type);
    if (!socket) {
        return socket;
    }
    if (auto done = set_option(*socket, SOL_SOCKET, SO_REUSEADDR, 1); !done) {
        return std::unexpected(done.error());
    }
    const int status =
        with_sockaddr(local, [&](auto* address, auto size) { return ::bind(socket->get(), address, size); });
    if (status != 0) {
        return fail_errno(errno, "bind {}", local.to_string());
    }
    return socket;
}

Result<Fd> connect_socket(int type, const Endpoint& server) {
    auto socket = open_socket(type);
    if (!socket) {
        return socket;
    }
    if (type == SOCK_STREAM) {
        if (auto done = prepare_tcp(*socket); !done) {
            return std::unexpected(done.error());
        }
    }
    const int status =
        with_sockaddr(server, [&](auto* address, auto size) { return ::connect(socket->get(), address, size); });
    if (status != 0) {
        // SO_SNDTIMEO ends a connect with EINPROGRESS, which would puzzle whoever reads it.
        const int code = errno == EINPROGRESS ? ETIMEDOUT : errno;
        return fail_errno(code, "connect to {}", server.to_string());
    }
    return socket;
}

Error io_error(const char* what) {
    const int code = errno == EAGAIN ? ETIMEDOUT : errno;
    return fail_errno(code, "{}", what).error();
}

}  // namespace

std::string Endpoint::to_string() const {
    return fmt::format("{}:{}", address.to_string(), port);
}

Result<Fd> listen_tcp(const Endpoint& local) {
    auto socket = bind_socket(SOCK_STREAM, local);
    if (socket && ::listen(socket->get(), SOMAXCONN) != 0) {
        return fail_errno(errno, "listen on {}", local.to_string());
    }
    return socket;
}

Result<Fd> bind_udp(const Endpoint& local) {
    auto socket = bind_socket(SOCK_DGRAM, local);
    if (!socket) {
        return socket;
    }
    // Beyond rmem_max where we may: a receiver that is away for a moment should not decide the result.
    if (!set_option(*socket, SOL_SOCKET, SO_RCVBUFFORCE, udp_buffer_bytes)) {
        if (auto done = set_option(*socket, SOL_SOCKET, SO_RCVBUF, udp_buffer_bytes); !done) {
            return std::unexpected(done.error());
        }
    }
    return socket;
}

Result<Fd> connect_tcp(const Endpoint& server, std::chrono::milliseconds patience) {
    const auto deadline = steady_clock::now() + patience;
    auto socket = connect_socket(SOCK_STREAM, server);
    while (!socket && socket.error().code == ECONNREFUSED && steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        socket = connect_socket(SOCK_STREAM, server);
    }
    return socket;
}

Result<Fd> connect_udp(const Endpoint& server) {
    return connect_socket(SOCK_DGRAM, server);
}

Result<void> prepare_tcp(const Fd& socket) {
    const timeval timeout{.tv_sec = io_timeout.count(), .tv_usec = 0};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        if (::setsockopt(socket.get(), SOL_SOCKET, option, &timeout, sizeof(timeout)) != 0) {
            return fail_errno(errno, "set a socket's time-out");
        }
    }
    // A machine's default may pace by a model of the wire (bbr), and then the model is what gets measured.
    constexpr std::string_view congestion_control = "cubic";
    if (::setsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, congestion_control.data(), congestion_control.size()) !=
        0) {
        return fail_errno(errno, "set congestion control {}", congestion_control);
    }
    return set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
}

Result<void> send_all(const Fd& socket, const void* data, std::size_t size) {
    const auto* next = static_cast<const std::byte*>(data);
    while (size > 0) {
        const ssize_t sent = ::send(socket.get(), next, size, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) {
                continue;
            }
            return std::unexpected(io_error("send"));
        }
        next += sent;
        size -= static_cast<std::size_t>(sent);
    }
    return {};
}

Result<void> receive_all(const Fd& socket, void* data, std::size_t size) {
    auto* next = static_cast<std::byte*>(data);
    while (size > 0) {
        const ssize_t received = ::recv(socket.get(), next, size, 0);
        if (received == 0) {
            return fail("receive: the peer closed the connection");
        }
        if (received < 0) {
            if (errno == EINTR) {
                continue;
            }
            return std::unexpected(io_error("receive"));
        }
        next += received;
        size -= static_cast<std::size_t>(received);
    }
    return {};
}

Result<void> pin_to_cpu(int cpu) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) {
        return fail("CPU {}: out of range", cpu);
    }
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(static_cast<unsigned>(cpu), &cpus);
    if (::sched_setaffinity(0, sizeof(cpus), &cpus) != 0) {
        return fail_errno(errno, "pin to CPU {}", cpu);
    }
    return {};
}

}  // namespace podlane::traffic
