// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "maps/base/address.h"
#include "maps/base/fd.h"
#include "maps/base/result.h"

// Sockets of the load generator, and the little protocol between its two ends.
namespace podlane::traffic {

// Where a server listens: TCP and UDP on the same port.
struct Endpoint {
    Ipv4Address address;
    std::uint16_t port = 0;  // host byte order

    [[nodiscard]] std::string to_string() const;
};

// The byte that a TCP client sends first. request_response and single_request are themselves the request, and are
// answered with the same byte.
enum class Request : char {
    request_response = 'r',  // answered, and so is each byte after it, until the client closes
    single_request = 'c',    // answered, then the server closes
    stream = 's',            // bytes follow until the client shuts down its side; answered with their number
    udp_count = 'u',         // answered with the number of UDP packets received since the server started
};

// Numbers travel as eight bytes in the order of this machine: both ends run on it.
using Count = std::uint64_t;

inline constexpr std::size_t udp_payload_bytes = 64;
inline constexpr std::size_t stream_buffer_bytes = 131072;
// No peer answers for this long: the path is broken.
inline constexpr std::chrono::seconds io_timeout{5};

// A TCP socket that listens, or a UDP socket that is bound.
[[nodiscard]] Result<Fd> listen_tcp(const Endpoint& local);
[[nodiscard]] Result<Fd> bind_udp(const Endpoint& local);
// Connected sockets. connect_tcp waits up to `patience` for a server that does not listen yet.
[[nodiscard]] Result<Fd> connect_tcp(const Endpoint& server, std::chrono::milliseconds patience);
[[nodiscard]] Result<Fd> connect_udp(const Endpoint& server);
// io_timeout for sending and receiving, and no delay for small segments.
[[nodiscard]] Result<void> prepare_tcp(const Fd& socket);

// All of `size` bytes or an error; receive_all takes an early end of the stream for one.
[[nodiscard]] Result<void> send_all(const Fd& socket, const void* data, std::size_t size);
[[nodiscard]] Result<void> receive_all(const Fd& socket, void* data, std::size_t size);

// Keeps this thread, and the threads that it starts, on one CPU.
[[nodiscard]] Result<void> pin_to_cpu(int cpu);

}  // namespace podlane::traffic
