// SPDX-License-Identifier: Apache-2.0
#include "agent/node/adjacency.h"

#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <utility>

#include "agent/log.h"
#include "agent/node/icmp_echo.h"

namespace podlane {
namespace {

using std::chrono::milliseconds;

template <typename T>
T random_number() {
    T number{};
    if (getrandom(&number, sizeof(number), 0) != sizeof(number)) {
        number = static_cast<T>(std::random_device{}());
    }
    return number;
}

template <typename T>
Result<void> set_option(const Fd& socket, int level, int option, const T& value) {
    if (setsockopt(socket.get(), level, option, &value, sizeof(value)) != 0) {
        return fail_errno(errno, "set option {} of the probes' socket", option);
    }
    return {};
}

// Room for the answers of thousands of peers, while the loop is busy with a pass over them all.
constexpr int receive_buffer = 4 << 20;  // bytes, before the kernel doubles it

// Beyond net.core.rmem_max only with CAP_NET_ADMIN in the first user namespace.
void make_room(const Fd& socket) {
    if (!set_option(socket, SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer)) {
        [[maybe_unused]] const auto smaller = set_option(socket, SOL_SOCKET, SO_RCVBUF, receive_buffer);
    }
}

// Echo replies with our identifier; every raw ICMP socket gets a copy of all there are.
Result<void> filter_answers(const Fd& socket, std::uint16_t identifier) {
    constexpr std::uint32_t everything_but_replies = ~(1U << ICMP_ECHOREPLY);
    if (auto set = set_option(socket, SOL_RAW, ICMP_FILTER, everything_but_replies); !set) {
        return set;
    }
    std::array<sock_filter, 5> program = {{
        {BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0},  // X: length of the IPv4 header
        {BPF_LD | BPF_H | BPF_IND, 0, 0, 4},   // ICMP identifier
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, identifier},
        {BPF_RET | BPF_K, 0, 0, 0xffffffff},
        {BPF_RET | BPF_K, 0, 0, 0},
    }};
    return set_option(socket, SOL_SOCKET, SO_ATTACH_FILTER,
                      sock_fprog{.len = static_cast<unsigned short>(program.size()), .filter = program.data()});
}

Result<Fd> open_socket(std::uint16_t identifier) {
    Fd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP));
    if (!socket.valid()) {
        return fail_errno(errno, "open a raw ICMP socket");
    }
    make_room(socket);
    constexpr int ttl = 1;
    constexpr int on = 1;
    for (const auto& set : {set_option(socket, IPPROTO_IP, IP_TTL, ttl), set_option(socket, IPPROTO_IP, IP_PKTINFO, on),
                            filter_answers(socket, identifier)}) {
        if (!set) {
            return std::unexpected(set.error());
        }
    }
    return socket;
}

constexpr std::size_t control_size = CMSG_SPACE(sizeof(in_pktinfo));
struct alignas(cmsghdr) Control {
    std::array<std::uint8_t, control_size> bytes{};
};

// What recvmsg and sendmsg are given: a packet, who it is from or for, and the device. The packet must outlive it.
struct Message {
    explicit Message(std::span<std::uint8_t> packet) : data{.iov_base = packet.data(), .iov_len = packet.size()} {
        header.msg_name = &peer;
        header.msg_namelen = sizeof(peer);
        header.msg_iov = &data;
        header.msg_iovlen = 1;
        header.msg_control = control.bytes.data();
        header.msg_controllen = control.bytes.size();
    }
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;
    ~Message() = default;

    sockaddr_in peer{};
    iovec data;
    Control control;
    msghdr header{};
};

std::optional<std::uint32_t> receiving_device(msghdr& message) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
            in_pktinfo info{};
            std::memcpy(&info, CMSG_DATA(part), sizeof(info));
            return static_cast<std::uint32_t>(info.ipi_ifindex);
        }
    }
    return std::nullopt;
}

}  // namespace

AdjacencyProber::AdjacencyProber(EventLoop& loop, const Patience& patience, std::function<void()> on_change,
                                 std::uint16_t identifier, Fd socket)
    : loop_(loop),
      on_change_(std::move(on_change)),
      identifier_(identifier),
      socket_(std::move(socket)),
      schedule_(patience, &random_number<std::uint64_t>) {}

Result<std::unique_ptr<AdjacencyProber>> AdjacencyProber::create(EventLoop& loop, const Patience& patience,
                                                                 std::function<void()> on_change) {
    const auto identifier = random_number<std::uint16_t>();
    auto socket = open_socket(identifier);
    if (!socket) {
        return std::unexpected(socket.error());
    }
    std::unique_ptr<AdjacencyProber> prober(
        new AdjacencyProber(loop, patience, std::move(on_change), identifier, std::move(*socket)));
    if (auto started = prober->start(); !started) {
        return std::unexpected(started.error());
    }
    return prober;
}

Result<void> AdjacencyProber::start() {
    auto watched = loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { work(); });
    if (!watched) {
        return std::unexpected(watched.error());
    }
    readable_ = std::move(*watched);
    return {};
}

void AdjacencyProber::follow(Ipv4Address source, const std::vector<ProbeTarget>& targets) {
    source_ = source;
    schedule_.follow(targets, ProbeSchedule::Clock::now());
    arm();
}

// Answers are read before any is held to be missing: the loop may have been busy elsewhere meanwhile.
void AdjacencyProber::work() {
    const bool answered = read_answers();
    const auto now = ProbeSchedule::Clock::now();
    const bool missed = schedule_.expire(now);
    if (now >= last_burst_ + ProbeSchedule::burst_interval) {
        for (const auto& probe : schedule_.take_due(now)) {
            send(probe);
            last_burst_ = now;
        }
    }
    arm();
    if (answered || missed) {
        on_change_();
    }
}

bool AdjacencyProber::read_answers() {
    bool changed = false;
    std::array<std::uint8_t, 128> packet{};
    while (true) {
        Message message(packet);
        const auto size = recvmsg(socket_.get(), &message.header, MSG_DONTWAIT);
        if (size < 0) {
            return changed;  // no more, or an error that was about a packet we sent
        }
        const auto echo = parse_echo_reply(std::span(packet).first(static_cast<std::size_t>(size)));
        const auto device = receiving_device(message.header);
        if (echo && device && echo->identifier == identifier_) {
            const Probe probe{.address = Ipv4Address::from_wire(message.peer.sin_addr.s_addr),
                              .ifindex = *device,
                              .sequence = echo->sequence,
                              .nonce = echo->nonce};
            changed = schedule_.answered(probe, ProbeSchedule::Clock::now()) || changed;
        }
    }
}

// One that cannot be sent (the device went, a firewall refuses it) will be missed as one that is lost on its way.
void AdjacencyProber::send(const Probe& probe) const {
    auto request = echo_request({.identifier = identifier_, .sequence = probe.sequence, .nonce = probe.nonce});
    Message message(request);
    message.peer.sin_family = AF_INET;
    message.peer.sin_addr.s_addr = probe.address.wire();
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<int>(probe.ifindex);
    info.ipi_spec_dst.s_addr = source_.wire();
    cmsghdr* part = CMSG_FIRSTHDR(&message.header);
    part->cmsg_level = IPPROTO_IP;
    part->cmsg_type = IP_PKTINFO;
    part->cmsg_len = CMSG_LEN(sizeof(info));
    std::memcpy(CMSG_DATA(part), &info, sizeof(info));
    if (sendmsg(socket_.get(), &message.header, MSG_DONTROUTE | MSG_DONTWAIT) < 0) {
        log::debug("probe of {} on device {}: {}", probe.address, probe.ifindex,
                   std::generic_category().message(errno));
    }
}

void AdjacencyProber::arm() {
    const auto next = schedule_.next();
    if (!next) {
        timer_.cancel();
        return;
    }
    const auto at = std::max(*next, last_burst_ + ProbeSchedule::burst_interval);
    if (timer_.active() && at == armed_for_) {
        return;
    }
    armed_for_ = at;
    const auto delay = std::chrono::ceil<milliseconds>(at - ProbeSchedule::Clock::now());
    auto timer = loop_.after(std::max(delay, milliseconds(1)), [this] {
        timer_.cancel();
        work();
    });
    if (timer) {
        timer_ = std::move(*timer);
    } else {
        log::error("probes of peers cease: {}", timer.error().message);
    }
}

}  // namespace podlane
