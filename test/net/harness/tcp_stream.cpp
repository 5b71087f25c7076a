// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "test/net/harness/error.h"
#include "test/net/harness/socket.h"
#include "test/net/harness/traffic.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t part_size = 262144;
// For one step without progress: longer than any retransmission that a change of paths may cost.
constexpr auto patience = 10s;

}  // namespace

TcpStream::TcpStream(const Endpoint& client, const Endpoint& server)
    : client_(client_socket(*client.ns, SOCK_STREAM, patience)) {
    const Fd listener = server_socket(*server.ns, server.address, SOCK_STREAM, patience);
    if (!connect_to(client_, local_address(listener))) {
        raise_errno("connect to {}", server.address);
    }
    server_ = Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!server_.valid()) {
        raise_errno("accept a connection at {}", server.address);
    }
    reader_ = std::jthread([this](const std::stop_token& stop) { read_parts(stop); });
    sender_ = std::jthread([this](const std::stop_token& stop) { send_parts(stop); });
}

// Paced, so that several of them leave the machine some time for the rest of the test.
void TcpStream::send_parts(const std::stop_token& stop) {
    const std::vector<char> part(part_size, 's');
    while (!stop.stop_requested()) {
        if (::send(client_.get(), part.data(), part.size(), MSG_NOSIGNAL) < 0) {
            problem_ = fmt::format("sending stopped after {} bytes: {}", received_.load(),
                                   std::generic_category().message(errno));
            return;
        }
        std::this_thread::sleep_for(2ms);
    }
}

void TcpStream::read_parts(const std::stop_token& stop) {
    std::vector<char> part(part_size);
    while (!stop.stop_requested()) {
        const ssize_t got = ::recv(server_.get(), part.data(), part.size(), MSG_DONTWAIT);
        if (got > 0) {
            received_ += static_cast<std::uint64_t>(got);
        } else {
            std::this_thread::sleep_for(1ms);
        }
    }
}

std::string TcpStream::stop() {
    sender_.request_stop();
    sender_.join();
    reader_.request_stop();
    reader_.join();
    return problem_;
}

}  // namespace podlane::net
