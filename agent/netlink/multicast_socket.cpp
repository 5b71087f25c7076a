// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/multicast_socket.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace podlane::netlink {
namespace {

constexpr int datagrams_per_drain = 512;

Result<void> subscribe(mnl_socket* handle, const MulticastSettings& settings) {
    const int fd = mnl_socket_get_fd(handle);
    const int size = settings.receive_buffer;
    if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0) {
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    if (mnl_socket_bind(handle, 0, MNL_SOCKET_AUTOPID) != 0) {
        return fail_errno(errno, "bind a netlink socket for events");
    }
    for (const int group : settings.groups) {
        if (::setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
            return fail_errno(errno, "join netlink group {} of protocol {}", group, settings.protocol);
        }
    }
    return {};
}

}  // namespace

MulticastSocket::MulticastSocket(Handle handle, std::size_t largest_datagram)
    : handle_(std::move(handle)), buffer_(largest_datagram) {}

Result<MulticastSocket> MulticastSocket::open(const MulticastSettings& settings) {
    Handle handle(mnl_socket_open2(settings.protocol, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!handle) {
        return fail_errno(errno, "open a netlink socket for events of protocol {}", settings.protocol);
    }
    if (const auto done = subscribe(handle.get(), settings); !done) {
        return std::unexpected(done.error());
    }
    return MulticastSocket(std::move(handle), settings.largest_datagram);
}

Result<void> MulticastSocket::drain(const std::function<void(const nlmsghdr&)>& visit,
                                    const std::function<void()>& lost) {
    for (int count = 0; count < datagrams_per_drain; ++count) {
        const ssize_t size = mnl_socket_recvfrom(handle_.get(), buffer_.data(), buffer_.size());
        if (size < 0 && errno == EAGAIN) {
            return {};
        }
        if (size < 0 && (errno == ENOBUFS || errno == ENOSPC)) {  // ENOSPC: a datagram larger than the buffer
            lost();
            continue;
        }
        if (size < 0 && errno != EINTR) {
            return fail_errno(errno, "read netlink events");
        }
        const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
        int remaining = static_cast<int>(size);
        for (; mnl_nlmsg_ok(message, remaining); message = mnl_nlmsg_next(message, &remaining)) {
            visit(*message);
        }
    }
    return {};
}

}  // namespace podlane::netlink
