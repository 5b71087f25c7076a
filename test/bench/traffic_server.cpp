// SPDX-License-Identifier: Apache-2.0
#include "test/bench/traffic_server.h"

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace podlane::traffic {
namespace {

// Blocking calls and no poll: what is measured is the path, so the ends do as little as they can.

// A receive with a time-out is interrupted when the process is stopped and continued (signal(7)).
ssize_t receive_some(const Fd& client, void* data, std::size_t size) {
    ssize_t received = 0;
    do {
        received = ::recv(client.get(), data, size, 0);
    } while (received < 0 && errno == EINTR);
    return received;
}

void answer_requests(const Fd& client, char request) {
    while (::send(client.get(), &request, 1, MSG_NOSIGNAL) == 1) {
        if (receive_some(client, &request, 1) != 1) {
            return;
        }
    }
}

void answer_stream(const Fd& client) {
    std::vector<std::byte> buffer(stream_buffer_bytes);
    Count bytes = 0;
    ssize_t received = 0;
    while ((received = receive_some(client, buffer.data(), buffer.size())) > 0) {
        bytes += static_cast<Count>(received);
    }
    // A stream that broke off is not answered: its client then reports the failure.
    if (received == 0) {
        [[maybe_unused]] const auto sent = send_all(client, &bytes, sizeof(bytes));
    }
}

void answer(const Fd& client, const std::atomic<Count>& udp_packets) {
    char first = 0;
    if (receive_some(client, &first, 1) != 1) {
        return;
    }
    switch (static_cast<Request>(first)) {
        case Request::request_response:
            answer_requests(client, first);
            return;
        case Request::single_request:
            ::send(client.get(), &first, 1, MSG_NOSIGNAL);
            return;
        case Request::stream:
            answer_stream(client);
            return;
        case Request::udp_count: {
            const Count count = udp_packets.load(std::memory_order_relaxed);
            [[maybe_unused]] const auto sent = send_all(client, &count, sizeof(count));
            return;
        }
    }
}

// Counts what arrives. Ends the process when the socket fails: a counter that stands still would look like loss.
void count_packets(const Fd& socket, std::atomic<Count>& packets) {
    constexpr unsigned batch = 64;
    std::array<std::array<std::byte, udp_payload_bytes>, batch> payloads{};
    std::array<iovec, batch> vectors{};
    std::array<mmsghdr, batch> messages{};
    for (unsigned i = 0; i < batch; ++i) {
        vectors[i] = {.iov_base = payloads[i].data(), .iov_len = payloads[i].size()};
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (;;) {
        const int received = ::recvmmsg(socket.get(), messages.data(), batch, MSG_WAITFORONE, nullptr);
        if (received > 0) {
            packets.fetch_add(static_cast<Count>(received), std::memory_order_relaxed);
        } else if (received < 0 && errno != EINTR && errno != ECONNREFUSED) {
            std::perror("traffic: receive UDP");
            std::exit(1);
        }
    }
}

}  // namespace

Result<void> serve(const Endpoint& local) {
    auto listener = listen_tcp(local);
    if (!listener) {
        return std::unexpected(listener.error());
    }
    auto udp = bind_udp(local);
    if (!udp) {
        return std::unexpected(udp.error());
    }
    std::atomic<Count> udp_packets = 0;
    const std::jthread counter([&] { count_packets(*udp, udp_packets); });
    fmt::print("listening on {}\n", local.to_string());
    std::fflush(stdout);
    for (;;) {
        const Fd client(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client.valid()) {
            if (errno == EINTR || errno == ECONNABORTED) {
                continue;
            }
            std::perror("traffic: accept");
            std::exit(1);  // the counting thread never ends by itself
        }
        if (prepare_tcp(client)) {
            answer(client, udp_packets);
        }
    }
}

}  // namespace podlane::traffic
