// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/wire.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "loader/probe.h"
#include "test/prog/harness/devices.h"

namespace podlane::prog {
namespace {

Result<Fd> packet_socket(std::uint32_t ifindex) {
    // Protocol 0: it sends, and receives nothing.
    Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!fd.valid()) {
        return fail_errno(errno, "open a packet socket");
    }
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(ifindex);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
        return fail_errno(errno, "bind a packet socket to interface {}", ifindex);
    }
    return fd;
}

}  // namespace

Wire::Wire(Node& node, const At& at)
    : node_(node), at_(at), ifindex_(ifindex_of(at.device)), attacher_(node.pins(), must(probe_kernel()).attach) {
    must(bring_up(at.device));
    socket_ = must(packet_socket(ifindex_of(at.device + "-pod")));
    must(attacher_.attach(at.hook, ifindex_, node.program_fd(at.hook)));
}

Wire::~Wire() {
    [[maybe_unused]] const auto detached =
        attacher_.detach({.hook = at_.hook, .ifindex = ifindex_, .method = attacher_.method(), .alive = true});
}

void Wire::send(const Bytes& frame) const {
    if (::send(socket_.get(), frame.data(), frame.size(), 0) != static_cast<ssize_t>(frame.size())) {
        must<void>(fail_errno(errno, "send a frame of {} bytes", frame.size()));
    }
}

Counted Wire::counted() const {
    using namespace std::chrono;
    const auto deadline = steady_clock::now() + seconds(1);
    for (;;) {
        Counted counted = node_.counted();
        if (!counted.empty() || steady_clock::now() > deadline) {
            return counted;
        }
        std::this_thread::sleep_for(milliseconds(1));
    }
}

}  // namespace podlane::prog
