// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "agent/cni/arp.h"
#include "agent/doctor/collect.h"
#include "maps/base/fd.h"

namespace podlane::doctor {
namespace {

constexpr int rounds = 3;
constexpr std::chrono::milliseconds wait_for_answers{300};

// Locally administered, and no other NIC's: the NIC's own last bytes behind another beginning.
MacAddress foreign_mac(const MacAddress& own) {
    const auto& bytes = own.bytes();
    return MacAddress({0x06, 0x70, 0x6c, static_cast<std::uint8_t>(bytes[3] ^ 0x55U), bytes[4], bytes[5]});
}

// All ARP packets that come by the master, those for the foreign MAC too: a NIC that is not promiscuous takes none of
// them. It is again as it was when the socket is closed.
Result<Fd> open_socket(std::uint32_t ifindex) {
    Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));  // deaf until it is bound
    if (!socket.valid()) {
        return fail_errno(errno, "ARP probe: socket");
    }
    sockaddr_ll where{};
    where.sll_family = AF_PACKET;
    where.sll_protocol = htons(ETH_P_ARP);
    where.sll_ifindex = static_cast<int>(ifindex);
    packet_mreq promiscuous{};
    promiscuous.mr_ifindex = where.sll_ifindex;
    promiscuous.mr_type = PACKET_MR_PROMISC;
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof(where)) < 0 ||
        ::setsockopt(socket.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)) < 0) {
        return fail_errno(errno, "ARP probe: interface {}", ifindex);
    }
    return socket;
}

Result<void> send(const Fd& socket, const cni::ArpFrame& frame) {
    if (::send(socket.get(), frame.data(), frame.size(), 0) < 0) {
        return fail_errno(errno, "ARP probe: send");
    }
    return {};
}

// The target's answer to one of the two MACs, to which it is addressed.
void take(std::span<const std::uint8_t> frame, LanProbe& probe) {
    if (frame.size() < std::tuple_size_v<cni::ArpFrame>) {
        return;
    }
    std::array<std::uint8_t, ETH_ALEN> destination{};
    std::ranges::copy(frame.first(destination.size()), destination.begin());
    const MacAddress to(destination);
    const bool answers = cni::rival_in(frame, probe.target, to).has_value();
    probe.own_answered = probe.own_answered || (answers && to == probe.own);
    probe.foreign_answered = probe.foreign_answered || (answers && to == probe.foreign);
}

Result<void> listen(const Fd& socket, LanProbe& probe) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + wait_for_answers;
    while (!probe.own_answered || !probe.foreign_answered) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd waiting{socket.get(), POLLIN, 0};
        if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) == 0) {
            return {};
        }
        std::array<std::uint8_t, 128> frame{};
        const ssize_t count = ::recv(socket.get(), frame.data(), frame.size(), MSG_DONTWAIT);
        if (count < 0 && errno != EINTR && errno != EAGAIN) {
            return fail_errno(errno, "ARP probe: receive");
        }
        if (count > 0) {
            take(std::span(frame).first(static_cast<std::size_t>(count)), probe);
        }
    }
    return {};
}

}  // namespace

// RFC 5227: the sender's address is 0.0.0.0, so that nobody learns a new MAC for one.
Result<LanProbe> probe_lan(const MacvlanFacts& network, Ipv4Address target, const MacAddress& own) {
    LanProbe probe{.master = network.settings.master, .target = target, .own = own, .foreign = foreign_mac(own)};
    const auto socket = open_socket(network.master_ifindex);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    for (int round = 0; round < rounds && (!probe.own_answered || !probe.foreign_answered); ++round) {
        for (const auto& mac : {probe.foreign, probe.own}) {
            if (auto sent = send(*socket, cni::arp_request(mac, Ipv4Address(), target)); !sent) {
                return std::unexpected(sent.error());
            }
        }
        if (auto heard = listen(*socket, probe); !heard) {
            return std::unexpected(heard.error());
        }
    }
    return probe;
}

}  // namespace podlane::doctor
