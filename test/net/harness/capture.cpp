// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/capture.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "test/net/harness/error.h"
#include "test/net/harness/wait.h"

namespace podlane::net {
namespace {

constexpr std::uint16_t every_protocol = 0x0003;  // ETH_P_ALL
constexpr std::size_t largest_frame = 1U << 19U;  // BIG TCP included
constexpr int socket_buffer = 64 << 20;

Fd packet_socket(const Namespace& ns, const std::string& device, std::uint16_t protocol) {
    return in_namespace(ns, [&] {
        // Bound before it receives anything: a protocol of 0 hears nothing.
        Fd socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(protocol);
        address.sll_ifindex = static_cast<int>(::if_nametoindex(device.c_str()));
        if (!socket.valid() || address.sll_ifindex == 0) {
            raise_errno("open a packet socket on {} of {}", device, ns.name());
        }
        ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &socket_buffer, sizeof(socket_buffer));
        if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
            raise_errno("bind a packet socket to {} of {}", device, ns.name());
        }
        return socket;
    });
}

}  // namespace

Capture::Capture(const Namespace& ns, const std::string& device, FrameFilter filter)
    : filter_(std::move(filter)), socket_(packet_socket(ns, device, every_protocol)) {
    reader_ = std::jthread([this](const std::stop_token& stop) { read_frames(stop); });
}

void Capture::read_frames(const std::stop_token& stop) {
    Bytes buffer(largest_frame);
    while (!stop.stop_requested()) {
        pollfd waiting{socket_.get(), POLLIN, 0};
        ::poll(&waiting, 1, 20);
        const std::scoped_lock lock(mutex_);
        while (read_one(buffer)) {
        }
    }
}

bool Capture::read_one(Bytes& buffer) {
    sockaddr_ll from{};
    socklen_t from_size = sizeof(from);
    const ssize_t got = ::recvfrom(socket_.get(), buffer.data(), buffer.size(), MSG_TRUNC,
                                   reinterpret_cast<sockaddr*>(&from), &from_size);
    if (got < 0) {
        return false;
    }
    const auto length = static_cast<std::size_t>(got);
    const auto kept = static_cast<std::ptrdiff_t>(std::min(length, kept_bytes));
    Frame frame{Bytes(buffer.begin(), buffer.begin() + kept), length, from.sll_pkttype == PACKET_OUTGOING};
    if (filter_(frame)) {
        frames_.push_back(std::move(frame));
    }
    return true;
}

std::vector<Frame> Capture::frames() {
    const std::scoped_lock lock(mutex_);
    Bytes buffer(largest_frame);
    while (read_one(buffer)) {
    }
    return frames_;
}

std::optional<Frame> Capture::wait_for_frame(std::chrono::milliseconds timeout) {
    std::vector<Frame> seen;
    const bool found = wait_until([&] { return !(seen = frames()).empty(); }, timeout);
    return found ? std::optional(seen.front()) : std::nullopt;
}

unsigned Capture::lost() {
    tpacket_stats statistics{};
    socklen_t size = sizeof(statistics);
    if (::getsockopt(socket_.get(), SOL_PACKET, PACKET_STATISTICS, &statistics, &size) != 0) {
        raise_errno("read the statistics of a packet socket");
    }
    const std::scoped_lock lock(mutex_);
    lost_ += statistics.tp_drops;  // the kernel counts from zero again
    return lost_;
}

FrameFilter every_frame() {
    return [](const Frame&) { return true; };
}

FrameFilter vxlan_frames(std::uint16_t port) {
    return [port](const Frame& frame) { return decode_vxlan_frame(frame.bytes, port).has_value(); };
}

RawSender::RawSender(const Namespace& ns, const std::string& device) : socket_(packet_socket(ns, device, 0)) {}

void RawSender::send(ByteView frame) const {
    if (::send(socket_.get(), frame.data(), frame.size(), 0) != static_cast<ssize_t>(frame.size())) {
        raise_errno("send a frame of {} bytes", frame.size());
    }
}

}  // namespace podlane::net
