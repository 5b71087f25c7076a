// SPDX-License-Identifier: Apache-2.0
#include "test/bench/traffic_client.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <thread>
#include <vector>

namespace podlane::traffic {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds server_patience{2000};
// Not counted: neighbours and routes are resolved, caches are warm.
constexpr std::chrono::milliseconds warm_up{100};
// After the last UDP packet was sent, until the receiver has read what is still queued.
constexpr std::chrono::milliseconds udp_settle{20};

Seconds since(steady_clock::time_point start) {
    return std::chrono::duration_cast<Seconds>(steady_clock::now() - start);
}

steady_clock::time_point deadline_after(Seconds duration) {
    return steady_clock::now() + std::chrono::duration_cast<steady_clock::duration>(duration);
}

Result<void> transact(const Fd& socket, Request request) {
    char byte = static_cast<char>(request);
    if (auto sent = send_all(socket, &byte, 1); !sent) {
        return sent;
    }
    return receive_all(socket, &byte, 1);
}

Result<void> request_and_close(const Endpoint& server) {
    auto socket = connect_tcp(server, server_patience);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    if (auto done = transact(*socket, Request::single_request); !done) {
        return done;
    }
    char end = 0;
    if (const ssize_t received = ::recv(socket->get(), &end, 1, 0); received != 0) {
        return received > 0 ? fail("the server answered twice")
                            : fail_errno(errno == EAGAIN ? ETIMEDOUT : errno, "wait for the server to close");
    }
    return {};
}

struct Repetitions {
    Count count = 0;
    Seconds elapsed{};
};

// Calls `step` until `duration` has passed.
template <typename Step>
Result<Repetitions> repeat(Seconds duration, Step step) {
    const auto start = steady_clock::now();
    Repetitions done;
    while ((done.elapsed = since(start)) < duration) {
        if (auto result = step(); !result) {
            return std::unexpected(result.error());
        }
        ++done.count;
    }
    return done;
}

// Once for warm_up, then for the record.
template <typename Step>
Result<Repetitions> repeat_warm(Seconds duration, Step step) {
    if (auto warm = repeat(warm_up, step); !warm) {
        return warm;
    }
    return repeat(duration, step);
}

Result<Count> received_udp_packets(const Endpoint& server) {
    auto socket = connect_tcp(server, server_patience);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const char request = static_cast<char>(Request::udp_count);
    if (auto sent = send_all(*socket, &request, 1); !sent) {
        return std::unexpected(sent.error());
    }
    Count count = 0;
    if (auto received = receive_all(*socket, &count, sizeof(count)); !received) {
        return std::unexpected(received.error());
    }
    return count;
}

// Sends as fast as the socket takes it. A queue that is full drops packets (ENOBUFS): that is part of the path.
Result<Seconds> flood(const Fd& socket, Seconds duration) {
    constexpr unsigned batch = 64;
    std::array<std::byte, udp_payload_bytes> payload{};
    iovec vector{.iov_base = payload.data(), .iov_len = payload.size()};
    std::array<mmsghdr, batch> messages{};
    for (auto& message : messages) {
        message.msg_hdr.msg_iov = &vector;
        message.msg_hdr.msg_iovlen = 1;
    }
    const auto done = repeat(duration, [&]() -> Result<void> {
        if (::sendmmsg(socket.get(), messages.data(), batch, 0) < 0 && errno != ENOBUFS && errno != EINTR) {
            return fail_errno(errno, "send UDP");
        }
        return {};
    });
    if (!done) {
        return std::unexpected(done.error());
    }
    return done->elapsed;
}

}  // namespace

Result<Measurement> measure_request_response(const Endpoint& server, Seconds duration) {
    auto socket = connect_tcp(server, server_patience);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    auto done = repeat_warm(duration, [&] { return transact(*socket, Request::request_response); });
    if (!done) {
        return std::unexpected(done.error());
    }
    const double seconds = done->elapsed.count();
    return Measurement{
        "rr",       "TCP request/response", "transactions/s", static_cast<double>(done->count) / seconds, seconds,
        done->count};
}

Result<Measurement> measure_connections(const Endpoint& server, Seconds duration) {
    auto done = repeat_warm(duration, [&] { return request_and_close(server); });
    if (!done) {
        return std::unexpected(done.error());
    }
    const double seconds = done->elapsed.count();
    return Measurement{"crr",           "TCP connect, request, close",
                       "connections/s", static_cast<double>(done->count) / seconds,
                       seconds,         done->count};
}

Result<Measurement> measure_stream(const Endpoint& server, Seconds duration) {
    auto socket = connect_tcp(server, server_patience);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const char request = static_cast<char>(Request::stream);
    if (auto sent = send_all(*socket, &request, 1); !sent) {
        return std::unexpected(sent.error());
    }
    const std::vector<std::byte> buffer(stream_buffer_bytes);
    const auto start = steady_clock::now();
    const auto deadline = deadline_after(duration);
    while (steady_clock::now() < deadline) {
        if (auto sent = send_all(*socket, buffer.data(), buffer.size()); !sent) {
            return std::unexpected(sent.error());
        }
    }
    if (::shutdown(socket->get(), SHUT_WR) != 0) {
        return fail_errno(errno, "end the stream");
    }
    Count bytes = 0;
    if (auto received = receive_all(*socket, &bytes, sizeof(bytes)); !received) {
        return std::unexpected(received.error());
    }
    const double seconds = since(start).count();
    return Measurement{"stream", "TCP, one connection", "Gb/s", static_cast<double>(bytes) * 8 / 1e9 / seconds, seconds,
                       bytes};
}

Result<Measurement> measure_udp(const Endpoint& server, Seconds duration) {
    auto before = received_udp_packets(server);
    if (!before) {
        return std::unexpected(before.error());
    }
    auto socket = connect_udp(server);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    const auto elapsed = flood(*socket, duration);
    if (!elapsed) {
        return std::unexpected(elapsed.error());
    }
    std::this_thread::sleep_for(udp_settle);
    const auto after = received_udp_packets(server);
    if (!after) {
        return std::unexpected(after.error());
    }
    const Count packets = *after - *before;
    const double seconds = elapsed->count();
    return Measurement{
        "udp", "UDP of 64 bytes, received", "packets/s", static_cast<double>(packets) / seconds, seconds, packets};
}

}  // namespace podlane::traffic
