// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <vector>

#include "test/net/harness/error.h"
#include "test/net/harness/socket.h"
#include "test/net/harness/traffic.h"
#include "test/net/harness/wait.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

// Notes that a number was seen; true the first time.
bool see(std::uint64_t number, std::vector<bool>& seen) {
    if (number >= seen.size()) {
        seen.resize(number + 4096);
    }
    const bool fresh = !seen[number];
    seen[number] = true;
    return fresh;
}

// Seconds' worth: a reader that the machine does not let run loses nothing, the network's losses are what is counted.
void enlarge_buffer(const Fd& socket) {
    constexpr int bytes = 16 * 1024 * 1024;
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0) {
        raise_errno("enlarge a receive buffer");
    }
}

}  // namespace

UdpStream::UdpStream(const Endpoint& client, const Endpoint& server)
    : client_(client_socket(*client.ns, SOCK_DGRAM, 50ms)),
      server_(server_socket(*server.ns, server.address, SOCK_DGRAM, 50ms)) {
    enlarge_buffer(client_);
    enlarge_buffer(server_);
    if (!connect_to(client_, local_address(server_))) {
        raise_errno("connect a datagram socket to {}", server.address);
    }
    echoer_ = std::jthread([this](const std::stop_token& stop) { echo_numbers(stop); });
    reader_ = std::jthread([this](const std::stop_token& stop) { read_echoes(stop); });
    sender_ = std::jthread([this](const std::stop_token& stop) { send_numbers(stop); });
}

void UdpStream::send_numbers(const std::stop_token& stop) {
    auto next = std::chrono::steady_clock::now();
    for (std::uint64_t number = 0; !stop.stop_requested(); ++number) {
        // An error (the ICMP answer to an earlier datagram) costs this one, and that counts as lost.
        ::send(client_.get(), &number, sizeof(number), 0);
        ++sent_;
        // A machine that was away for a while does not catch up in a burst that no socket buffer holds.
        next = std::max(next + 1ms, std::chrono::steady_clock::now());
        std::this_thread::sleep_until(next);
    }
}

void UdpStream::echo_numbers(const std::stop_token& stop) {
    std::vector<bool> seen;
    while (!stop.stop_requested()) {
        std::uint64_t number = 0;
        sockaddr_in from{};
        socklen_t size = sizeof(from);
        if (::recvfrom(server_.get(), &number, sizeof(number), 0, reinterpret_cast<sockaddr*>(&from), &size) !=
            sizeof(number)) {
            continue;
        }
        at_server_ += see(number, seen) ? 1 : 0;
        ::sendto(server_.get(), &number, sizeof(number), 0, reinterpret_cast<const sockaddr*>(&from), size);
    }
}

void UdpStream::read_echoes(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        std::uint64_t number = 0;
        if (::recv(client_.get(), &number, sizeof(number), 0) == sizeof(number)) {
            echoed_ += see(number, came_back_) ? 1 : 0;
        }
    }
}

UdpStream::Totals UdpStream::stop() {
    sender_.request_stop();
    sender_.join();
    // What is lost never comes; what is late does, and an emulated machine makes it very late.
    [[maybe_unused]] const bool complete = wait_until([&] { return echoed_ == sent_; }, 3s);
    for (std::jthread* thread : {&echoer_, &reader_}) {
        thread->request_stop();
        thread->join();
    }
    Totals totals{.sent = sent_, .at_server = at_server_, .echoed = echoed_};
    came_back_.resize(totals.sent);
    for (std::size_t number = 0; number < totals.sent; ++number) {
        if (!came_back_[number]) {
            totals.lost.push_back(number);
        }
    }
    return totals;
}

}  // namespace podlane::net
