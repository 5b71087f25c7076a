// SPDX-License-Identifier: Apache-2.0
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>

#include <ctime>
// Does not include what it needs of <ctime>.
#include <linux/errqueue.h>

#include <optional>
#include <regex>

#include <fmt/format.h>

#include "test/net/harness/error.h"
#include "test/net/harness/process.h"
#include "test/net/harness/socket.h"
#include "test/net/harness/traffic.h"

namespace podlane::net {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t closed_port = 33434;

ProbeOutcome judge(const sock_extended_err& error, Ipv4Address from, Ipv4Address destination) {
    using Kind = ProbeOutcome::Kind;
    if (error.ee_origin != SO_EE_ORIGIN_ICMP) {
        return {};
    }
    if (error.ee_type == ICMP_TIME_EXCEEDED) {
        return {Kind::time_exceeded, from};
    }
    if (error.ee_type == ICMP_DEST_UNREACH) {
        const bool by_destination = error.ee_code == ICMP_PORT_UNREACH && from == destination;
        return {by_destination ? Kind::reached : Kind::unreachable, from};
    }
    return {};
}

// What ICMP said about the datagram that the socket sent, RFC 792 in the form of ip(7) IP_RECVERR.
ProbeOutcome read_icmp_error(const Fd& socket, Ipv4Address destination) {
    std::array<char, 512> control{};
    std::array<char, 512> payload{};
    iovec part{payload.data(), payload.size()};
    msghdr message{nullptr, 0, &part, 1, control.data(), control.size(), 0};
    if (::recvmsg(socket.get(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
        return {};
    }
    for (cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != nullptr; entry = CMSG_NXTHDR(&message, entry)) {
        if (entry->cmsg_level == IPPROTO_IP && entry->cmsg_type == IP_RECVERR) {
            const auto* error = reinterpret_cast<const sock_extended_err*>(CMSG_DATA(entry));
            const auto* offender = reinterpret_cast<const sockaddr_in*>(SO_EE_OFFENDER(error));
            return judge(*error, Ipv4Address::from_wire(offender->sin_addr.s_addr), destination);
        }
    }
    return {};
}

ProbeOutcome probe_once(const Namespace& from, Ipv4Address to, int ttl) {
    const Fd socket = client_socket(from, SOCK_DGRAM, 1s);
    set_option(socket, IPPROTO_IP, IP_RECVERR, 1);
    set_option(socket, IPPROTO_IP, IP_TTL, ttl);
    const sockaddr_in address = to_sockaddr({to, closed_port});
    const char content = 'p';
    ::sendto(socket.get(), &content, sizeof(content), 0, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    pollfd waiting{socket.get(), 0, 0};
    ::poll(&waiting, 1, 1200);
    return read_icmp_error(socket, to);
}

}  // namespace

ProbeOutcome probe_udp(const Namespace& from, Ipv4Address to, int ttl) {
    // Hosts limit the rate of their ICMP errors (icmp_ratelimit: one a second): silence gets two more chances.
    ProbeOutcome outcome;
    for (int attempt = 0; attempt < 3 && outcome.kind == ProbeOutcome::Kind::silence; ++attempt) {
        outcome = probe_once(from, to, ttl);
    }
    return outcome;
}

PingOutcome ping(const Namespace& from, Ipv4Address to, unsigned count) {
    const auto completed =
        run(from, {"ping", "-n", "-c", fmt::format("{}", count), "-i", "0.02", "-W", "1", to.to_string()});
    PingOutcome outcome{0, 0, completed.out + completed.err};
    std::smatch totals;
    const std::regex pattern("([0-9]+) packets transmitted, ([0-9]+) received");
    if (std::regex_search(outcome.output, totals, pattern)) {
        outcome.sent = static_cast<unsigned>(std::stoul(totals[1]));
        outcome.answered = static_cast<unsigned>(std::stoul(totals[2]));
    }
    return outcome;
}

}  // namespace podlane::net
