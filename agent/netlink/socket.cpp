// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/socket.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "agent/netlink/netns.h"

namespace podlane::netlink {
namespace {

constexpr timeval answer_timeout{.tv_sec = 1, .tv_usec = 0};
constexpr int receive_buffer = 4 << 20;      // bytes, before the kernel doubles it
constexpr std::size_t answer_cost = 8192;    // of the receive buffer, per request: an answer and its ack, with overhead
constexpr std::size_t largest_window = 512;  // requests; IOV_MAX is 1024
constexpr std::size_t largest_send = 64 << 10;      // bytes; the default send buffer is 208 KiB
constexpr std::size_t largest_datagram = 64 << 10;  // the kernel makes dump datagrams of 32 KiB at most
constexpr int dump_attempts = 5;

template <typename T>
bool set_option(int fd, int level, int option, const T& value) {
    return ::setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

// Errors with their explanation, replies without a copy of the request, dumps filtered by the kernel, time-outs.
Result<void> configure(int fd) {
    const int on = 1;
    if (!set_option(fd, SOL_NETLINK, NETLINK_EXT_ACK, on) || !set_option(fd, SOL_NETLINK, NETLINK_CAP_ACK, on)) {
        return fail_errno(errno, "set up extended acknowledgements of a netlink socket");
    }
    if (!set_option(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, on)) {
        return fail_errno(errno, "set up filtered dumps of a netlink socket (Linux 4.20)");
    }
    if (!set_option(fd, SOL_SOCKET, SO_RCVTIMEO, answer_timeout) ||
        !set_option(fd, SOL_SOCKET, SO_SNDTIMEO, answer_timeout)) {
        return fail_errno(errno, "set time-outs of a netlink socket");
    }
    // Beyond net.core.rmem_max only with CAP_NET_ADMIN in the first user namespace; without, windows are smaller.
    if (!set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer)) {
        set_option(fd, SOL_SOCKET, SO_RCVBUF, receive_buffer);
    }
    return {};
}

Result<std::size_t> window_for(int fd) {
    int size = 0;
    socklen_t length = sizeof(size);
    if (::getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &length) != 0) {
        return fail_errno(errno, "read the buffer size of a netlink socket");
    }
    return std::clamp(static_cast<std::size_t>(size) / answer_cost, std::size_t{1}, largest_window);
}

// NLMSGERR_ATTR_MSG of an NLMSG_ERROR message, as " (text)".
std::string explanation(const nlmsghdr& message) {
    if ((message.nlmsg_flags & NLM_F_ACK_TLVS) == 0) {
        return {};
    }
    const auto* body = header_of<nlmsgerr>(message);
    const std::size_t copied = (message.nlmsg_flags & NLM_F_CAPPED) != 0 ? 0 : mnl_nlmsg_get_payload_len(&body->msg);
    const auto text = Attributes(message, sizeof(nlmsgerr) + copied).string(NLMSGERR_ATTR_MSG);
    return text ? fmt::format(" ({})", *text) : std::string{};
}

// What an NLMSG_ERROR message says; error 0 is the acknowledgement.
Result<void> verdict(const nlmsghdr& message, const std::string& label) {
    const auto* body = header_of<nlmsgerr>(message);
    if (body == nullptr) {
        return fail_errno(EBADMSG, "{}", label);
    }
    if (body->error == 0) {
        return {};
    }
    const auto plain = fail_errno(-body->error, "{}", label);
    return std::unexpected(Error{plain.error().code, plain.error().message + explanation(message)});
}

// What NLMSG_DONE says: the dump's own error, where it has one, is its payload.
Result<void> dump_result(const nlmsghdr& message, const std::string& label) {
    const auto* code = header_of<int>(message);
    if (code != nullptr && *code < 0) {
        return fail_errno(-*code, "{}", label);
    }
    return {};
}

}  // namespace

// The requests under way, and what came of them.
struct Socket::Window {
    std::span<Message> requests;
    std::span<Result<void>> results;
    std::function<void(std::size_t, const nlmsghdr&)> visit;  // index within the window
    std::vector<bool> answered = std::vector<bool>(requests.size());
    std::size_t open = requests.size();
};

Socket::Socket(Handle handle, std::size_t window)
    : handle_(std::move(handle)), window_(window), buffer_(largest_datagram) {}

Result<Socket> Socket::open(int family) {
    Handle handle(mnl_socket_open2(family, SOCK_CLOEXEC));
    if (!handle) {
        return fail_errno(errno, "open a netlink socket");
    }
    if (mnl_socket_bind(handle.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
        return fail_errno(errno, "bind a netlink socket");
    }
    const int fd = mnl_socket_get_fd(handle.get());
    if (const auto done = configure(fd); !done) {
        return std::unexpected(done.error());
    }
    const auto window = window_for(fd);
    if (!window) {
        return std::unexpected(window.error());
    }
    return Socket(std::move(handle), *window);
}

Result<Socket> Socket::open_in(int network_namespace) {
    const auto scope = NetnsScope::enter(network_namespace);
    if (!scope) {
        return std::unexpected(scope.error());
    }
    return open();
}

Result<void> Socket::execute(Message request) {
    return execute(std::span(&request, 1)).front();
}

std::vector<Result<void>> Socket::execute(std::span<Message> requests) {
    return query(requests, [](std::size_t, const nlmsghdr&) {});
}

std::vector<Result<void>> Socket::query(std::span<Message> requests, const AnswerVisitor& visit) {
    std::vector<Result<void>> results(requests.size());
    for (std::size_t base = 0; base < requests.size();) {
        const std::size_t count = window_size(requests.subspan(base));
        Window window{.requests = requests.subspan(base, count),
                      .results = std::span(results).subspan(base, count),
                      .visit = [&](std::size_t index, const nlmsghdr& answer) { visit(base + index, answer); }};
        if (const auto done = exchange(window); !done) {
            for (std::size_t index = 0; index < count; ++index) {
                if (!window.answered[index]) {
                    window.results[index] = fail_within(window.requests[index].label(), done.error());
                }
            }
        }
        base += count;
    }
    return results;
}

std::size_t Socket::window_size(std::span<Message> requests) const {
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (; count < std::min(requests.size(), window_); ++count) {
        bytes += requests[count].raw().nlmsg_len;
        if (count > 0 && bytes > largest_send) {
            break;
        }
    }
    return count;
}

Result<void> Socket::exchange(Window& window) {
    if (const auto sent = send(window.requests); !sent) {
        return sent;
    }
    const std::uint32_t first = window.requests.front().raw().nlmsg_seq;
    while (window.open > 0) {
        const auto size = receive();
        if (!size) {
            return std::unexpected(size.error());
        }
        for_each_message(*size, [&](const nlmsghdr& message) {
            // Answers to a request that was given up are older, and their index is far beyond the window's end.
            const std::size_t index = message.nlmsg_seq - first;
            if (index >= window.requests.size() || window.answered[index]) {
                return;
            }
            if (message.nlmsg_type != NLMSG_ERROR) {
                window.visit(index, message);
                return;
            }
            window.results[index] = verdict(message, window.requests[index].label());
            window.answered[index] = true;
            --window.open;
        });
    }
    return {};
}

Result<void> Socket::transact(std::span<Message> batch) {
    if (const auto sent = send(batch); !sent) {
        return sent;
    }
    const std::uint32_t first = batch.front().raw().nlmsg_seq;
    const std::size_t last = batch.size() - 1;
    // Kernels before 6.10 acknowledge neither begin nor end; a commit that failed is told as begin's error.
    std::vector<bool> answered(batch.size());
    answered.front() = answered.back() = true;
    Result<void> result;
    while (std::ranges::find(answered, false) != answered.end()) {
        const auto size = receive();
        if (!size) {
            return fail_within(batch.front().label(), size.error());
        }
        for_each_message(*size, [&](const nlmsghdr& message) {
            const std::size_t index = message.nlmsg_seq - first;
            if (index > last || message.nlmsg_type != NLMSG_ERROR) {
                return;
            }
            const auto answer = verdict(message, batch[index].label());
            if (!answer && result) {
                result = answer;
            }
            if (!answer && (index == 0 || index == last)) {
                answered.assign(answered.size(), true);
            }
            answered[index] = true;
        });
    }
    return result;
}

Result<void> Socket::send(std::span<Message> requests) {
    std::vector<iovec> pieces;
    pieces.reserve(requests.size());
    for (auto& request : requests) {
        nlmsghdr& message = request.raw();
        message.nlmsg_seq = ++sequence_;
        pieces.push_back({.iov_base = &message, .iov_len = message.nlmsg_len});
    }
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    msghdr header{};
    header.msg_name = &kernel;
    header.msg_namelen = sizeof(kernel);
    header.msg_iov = pieces.data();
    header.msg_iovlen = pieces.size();
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(mnl_socket_get_fd(handle_.get()), &header, 0);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return fail_errno(errno, "send to the kernel");
    }
    return {};
}

Result<std::size_t> Socket::receive() {
    ssize_t size = 0;
    do {
        size = mnl_socket_recvfrom(handle_.get(), buffer_.data(), buffer_.size());
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
        return fail_errno(errno == EAGAIN ? ETIMEDOUT : errno, "wait for the kernel's answer");
    }
    return static_cast<std::size_t>(size);
}

void Socket::for_each_message(std::size_t size, const Visitor& visit) const {
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
    int remaining = static_cast<int>(size);
    for (; mnl_nlmsg_ok(message, remaining); message = mnl_nlmsg_next(message, &remaining)) {
        if (mnl_nlmsg_portid_ok(message, mnl_socket_get_portid(handle_.get()))) {
            visit(*message);
        }
    }
}

Result<void> Socket::dump_raw(Message& request, const std::function<void()>& restart, const Visitor& visit) {
    request.raw().nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    for (int attempt = 0; attempt < dump_attempts; ++attempt) {
        restart();
        const auto end = dump_once(request, visit);
        if (!end) {
            return std::unexpected(end.error());
        }
        if (*end == DumpEnd::complete) {
            return {};
        }
    }
    return fail_errno(EINTR, "{}: the table changed during each of {} attempts", request.label(), dump_attempts);
}

Result<Socket::DumpEnd> Socket::dump_once(Message& request, const Visitor& visit) {
    if (const auto sent = send(std::span(&request, 1)); !sent) {
        return fail_within(request.label(), sent.error());
    }
    auto end = DumpEnd::complete;
    std::optional<Result<void>> result;
    while (!result) {
        const auto size = receive();
        if (!size) {
            return fail_within(request.label(), size.error());
        }
        for_each_message(*size, [&](const nlmsghdr& message) {
            if (message.nlmsg_seq != request.raw().nlmsg_seq) {
                return;
            }
            if ((message.nlmsg_flags & NLM_F_DUMP_INTR) != 0) {
                end = DumpEnd::interrupted;
            }
            if (message.nlmsg_type == NLMSG_ERROR) {
                result = verdict(message, request.label());
            } else if (message.nlmsg_type == NLMSG_DONE) {
                result = dump_result(message, request.label());
            } else if (message.nlmsg_type >= NLMSG_MIN_TYPE) {
                visit(message);
            }
        });
    }
    if (!*result) {
        return std::unexpected(result->error());
    }
    return end;
}

}  // namespace podlane::netlink
