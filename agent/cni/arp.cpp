// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/arp.h"

#include <arpa/inet.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace podlane::cni {
namespace {

// RFC 826 for Ethernet and IPv4, after the Ethernet header. All of it in network byte order.
struct [[gnu::packed]] ArpPacket {
    std::uint16_t hardware;
    std::uint16_t protocol;
    std::uint8_t hardware_length;
    std::uint8_t protocol_length;
    std::uint16_t operation;
    std::array<std::uint8_t, 6> sender_mac;
    std::uint32_t sender;
    std::array<std::uint8_t, 6> target_mac;
    std::uint32_t target;
};
static_assert(sizeof(ethhdr) + sizeof(ArpPacket) == std::tuple_size_v<ArpFrame>);

bool is_ipv4_over_ethernet(const ArpPacket& packet) {
    return packet.hardware == htons(ARPHRD_ETHER) && packet.protocol == htons(ETH_P_IP) &&
           packet.hardware_length == ETH_ALEN && packet.protocol_length == sizeof(packet.sender) &&
           (packet.operation == htons(ARPOP_REQUEST) || packet.operation == htons(ARPOP_REPLY));
}

}  // namespace

ArpFrame arp_request(const MacAddress& sender_mac, Ipv4Address sender, Ipv4Address target) {
    ethhdr ethernet{};
    std::memset(ethernet.h_dest, 0xff, sizeof(ethernet.h_dest));
    std::memcpy(ethernet.h_source, sender_mac.bytes().data(), sizeof(ethernet.h_source));
    ethernet.h_proto = htons(ETH_P_ARP);
    ArpPacket packet{};
    packet.hardware = htons(ARPHRD_ETHER);
    packet.protocol = htons(ETH_P_IP);
    packet.hardware_length = ETH_ALEN;
    packet.protocol_length = sizeof(packet.sender);
    packet.operation = htons(ARPOP_REQUEST);
    packet.sender_mac = sender_mac.bytes();
    packet.sender = sender.wire();
    packet.target = target.wire();
    ArpFrame frame{};
    std::memcpy(frame.data(), &ethernet, sizeof(ethernet));
    std::memcpy(frame.data() + sizeof(ethernet), &packet, sizeof(packet));
    return frame;
}

std::optional<MacAddress> rival_in(std::span<const std::uint8_t> frame, Ipv4Address address,
                                   const MacAddress& own_mac) {
    if (frame.size() < std::tuple_size_v<ArpFrame>) {
        return std::nullopt;
    }
    ethhdr ethernet{};
    ArpPacket packet{};
    std::memcpy(&ethernet, frame.data(), sizeof(ethernet));
    std::memcpy(&packet, frame.data() + sizeof(ethernet), sizeof(packet));
    if (ethernet.h_proto != htons(ETH_P_ARP) || !is_ipv4_over_ethernet(packet)) {
        return std::nullopt;
    }
    const MacAddress sender_mac(packet.sender_mac);
    const bool has_it = packet.sender == address.wire();
    const bool probes_for_it =
        packet.sender == 0 && packet.target == address.wire() && packet.operation == htons(ARPOP_REQUEST);
    return (has_it || probes_for_it) && sender_mac != own_mac ? std::optional(sender_mac) : std::nullopt;
}

bool is_answer_in(std::span<const std::uint8_t> frame, const ArpQuestion& question, const MacAddress& own_mac) {
    if (frame.size() < std::tuple_size_v<ArpFrame>) {
        return false;
    }
    ethhdr ethernet{};
    ArpPacket packet{};
    std::memcpy(&ethernet, frame.data(), sizeof(ethernet));
    std::memcpy(&packet, frame.data() + sizeof(ethernet), sizeof(packet));
    return ethernet.h_proto == htons(ETH_P_ARP) && is_ipv4_over_ethernet(packet) &&
           packet.operation == htons(ARPOP_REPLY) && std::ranges::equal(ethernet.h_dest, own_mac.bytes()) &&
           packet.sender == question.target.wire() && packet.target == question.sender.wire() &&
           packet.target_mac == own_mac.bytes();
}

Result<ArpSocket> ArpSocket::open(int interface_index, const MacAddress& own_mac) {
    Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));  // deaf until it is bound to its interface
    if (!socket.valid()) {
        return fail_errno(errno, "ARP: socket");
    }
    sockaddr_ll where{};
    where.sll_family = AF_PACKET;
    where.sll_protocol = htons(ETH_P_ARP);
    where.sll_ifindex = interface_index;
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof(where)) < 0) {
        return fail_errno(errno, "ARP: bind to interface {}", interface_index);
    }
    return ArpSocket(std::move(socket), own_mac);
}

Result<void> ArpSocket::send(const ArpFrame& frame) const {
    if (::send(socket_.get(), frame.data(), frame.size(), 0) < 0) {
        return fail_errno(errno, "ARP: send");
    }
    return {};
}

Result<std::optional<MacAddress>> ArpSocket::listen(Ipv4Address address, std::chrono::milliseconds wait) const {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + wait;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd waiting{socket_.get(), POLLIN, 0};
        if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) == 0) {
            return std::optional<MacAddress>();
        }
        std::array<std::uint8_t, 128> frame{};
        const ssize_t count = ::recv(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT);
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (count < 0) {
            return fail_errno(errno, "ARP: receive");
        }
        if (const auto rival = rival_in(std::span(frame).first(static_cast<std::size_t>(count)), address, own_mac_)) {
            return rival;
        }
    }
}

Result<std::optional<MacAddress>> ArpSocket::probe(Ipv4Address address) const {
    const auto frame = arp_request(own_mac_, Ipv4Address(), address);
    for (int i = 1; i <= probe_count; ++i) {
        if (auto sent = send(frame); !sent) {
            return std::unexpected(sent.error());
        }
        auto rival = listen(address, i < probe_count ? probe_interval : last_probe_wait);
        if (!rival || *rival) {
            return rival;
        }
    }
    return std::optional<MacAddress>();
}

Result<void> ArpSocket::ask(const ArpQuestion& question) const {
    return send(arp_request(own_mac_, question.sender, question.target));
}

Result<bool> ArpSocket::has_answer(const ArpQuestion& question) const {
    for (;;) {
        std::array<std::uint8_t, 128> frame{};
        const ssize_t count = ::recv(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0 && errno == EAGAIN) {
            return false;
        }
        if (count < 0) {
            return fail_errno(errno, "ARP: receive");
        }
        if (is_answer_in(std::span(frame).first(static_cast<std::size_t>(count)), question, own_mac_)) {
            return true;
        }
    }
}

Result<void> ArpSocket::announce(Ipv4Address address) const {
    return send(arp_request(own_mac_, address, address));
}

}  // namespace podlane::cni
