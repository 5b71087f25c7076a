// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/echo.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <random>

#include "agent/node/icmp_echo.h"
#include "maps/base/fd.h"

namespace podlane::migrate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int rounds = 3;
constexpr std::chrono::milliseconds patience{500};

// Who is asked by which nonce. One that may not be sent (no route, a packet filter's rule) is silent as well.
std::map<std::uint64_t, Ipv4Address> send_all(int socket, const std::set<Ipv4Address>& targets, int round,
                                              std::mt19937_64& random) {
    std::map<std::uint64_t, Ipv4Address> asked;
    for (const auto target : targets) {
        const Echo echo{.identifier = static_cast<std::uint16_t>(getpid()),
                        .sequence = static_cast<std::uint16_t>(round),
                        .nonce = random()};
        const auto bytes = echo_request(echo);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = target.wire();
        if (sendto(socket, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) >= 0) {
            asked.emplace(echo.nonce, target);
        }
    }
    return asked;
}

void hear(int socket, std::map<std::uint64_t, Ipv4Address> asked, std::set<Ipv4Address>& silent) {
    const auto deadline = Clock::now() + patience;
    while (!asked.empty()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd ready{.fd = socket, .events = POLLIN, .revents = 0};
        if (left <= 0 || poll(&ready, 1, static_cast<int>(left)) <= 0) {
            return;
        }
        std::array<std::uint8_t, 256> packet{};
        const auto size = recv(socket, packet.data(), packet.size(), MSG_DONTWAIT);
        if (size < 0) {
            continue;
        }
        const auto reply = parse_echo_reply(std::span(packet).first(static_cast<std::size_t>(size)));
        const auto found = reply ? asked.find(reply->nonce) : asked.end();
        if (found != asked.end()) {
            silent.erase(found->second);
            asked.erase(found);
        }
    }
}

}  // namespace

Result<std::set<Ipv4Address>> silent_among(const std::vector<Ipv4Address>& addresses) {
    std::set<Ipv4Address> silent(addresses.begin(), addresses.end());
    if (silent.empty()) {
        return silent;
    }
    const Fd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
    if (!socket.valid()) {
        return fail_errno(errno, "open a socket for ICMP echo");
    }
    // The answers of a whole cluster come at once.
    const int buffer = 4 << 20;
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
    std::mt19937_64 random(std::random_device{}());
    for (int round = 0; round < rounds && !silent.empty(); ++round) {
        hear(socket.get(), send_all(socket.get(), silent, round, random), silent);
    }
    return silent;
}

}  // namespace podlane::migrate
