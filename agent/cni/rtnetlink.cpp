// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/rtnetlink.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>

namespace podlane::cni {
namespace {

constexpr timeval reply_timeout{5, 0};
constexpr std::size_t receive_buffer = std::size_t{64} * 1024;  // the kernel fills at most 32 KiB a datagram

// "Operation not permitted", and after it what the kernel has to say about that (NETLINK_EXT_ACK).
Result<void> acknowledgement(const nlmsghdr& head, std::span<const std::byte> payload) {
    if (payload.size() < sizeof(nlmsgerr)) {
        return fail("netlink: an acknowledgement of {} bytes", payload.size());
    }
    nlmsgerr error{};
    std::memcpy(&error, payload.data(), sizeof(error));
    if (error.error == 0) {
        return {};
    }
    const bool capped = (head.nlmsg_flags & NLM_F_CAPPED) != 0;
    const std::size_t echoed = capped ? 0 : NLMSG_ALIGN(error.msg.nlmsg_len) - NLMSG_HDRLEN;
    const std::size_t text_at = std::min(payload.size(), sizeof(error) + echoed);
    std::string_view text;
    if ((head.nlmsg_flags & NLM_F_ACK_TLVS) != 0) {
        const auto walked = for_each_attribute(payload.subspan(text_at), [&](std::uint16_t type, auto value) {
            if (type == NLMSGERR_ATTR_MSG) {
                text = attribute_string(value);
            }
        });
        if (!walked) {
            return walked;
        }
    }
    return text.empty() ? fail_errno(-error.error, "netlink") : fail_errno(-error.error, "netlink: {}", text);
}

}  // namespace

void RtMessage::append_bytes(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

void RtMessage::put(std::uint16_t type, std::span<const std::byte> value) {
    const rtattr head{static_cast<unsigned short>(sizeof(rtattr) + value.size()), type};
    append(head);
    append_bytes(value);
}

void RtMessage::put_string(std::uint16_t type, std::string_view text) {
    std::vector<char> terminated(text.begin(), text.end());
    terminated.push_back('\0');
    put(type, std::as_bytes(std::span(terminated)));
}

std::size_t RtMessage::open(std::uint16_t type) {
    const std::size_t nest = bytes_.size();
    put(static_cast<std::uint16_t>(type | NLA_F_NESTED), {});
    return nest;
}

void RtMessage::close(std::size_t nest) {
    const auto length = static_cast<unsigned short>(bytes_.size() - nest);
    std::memcpy(bytes_.data() + nest + offsetof(rtattr, rta_len), &length, sizeof(length));
}

std::span<const std::byte> RtMessage::finish(std::uint32_t sequence) {
    const auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof(length));
    std::memcpy(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof(sequence));
    return bytes_;
}

std::string_view attribute_string(std::span<const std::byte> value) {
    const std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
    return text.substr(0, text.find('\0'));
}

Result<RtSocket> RtSocket::open(int protocol) {
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
    if (!socket.valid()) {
        return fail_errno(errno, "netlink: socket");
    }
    const int on = 1;
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &reply_timeout, sizeof(reply_timeout)) < 0 ||
        ::setsockopt(socket.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) < 0) {
        return fail_errno(errno, "netlink: socket options");
    }
    return RtSocket(std::move(socket));
}

Result<std::vector<RtReply>> RtSocket::request(RtMessage message) {
    constexpr int max_attempts = 5;
    auto replies = request_once(message);
    for (int attempt = 1; attempt < max_attempts && !replies && replies.error().code == EINTR; ++attempt) {
        replies = request_once(message);
    }
    return replies;
}

Result<std::vector<RtReply>> RtSocket::request_once(RtMessage& message) {
    const auto bytes = message.finish(++sequence_);
    if (::send(socket_.get(), bytes.data(), bytes.size(), 0) < 0) {
        return fail_errno(errno, "netlink: send");
    }
    std::vector<RtReply> replies;
    std::vector<std::byte> datagram(receive_buffer);
    for (;;) {
        const ssize_t count = ::recv(socket_.get(), datagram.data(), datagram.size(), MSG_TRUNC);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return fail_errno(errno == EAGAIN ? ETIMEDOUT : errno, "netlink: receive");
        }
        if (static_cast<std::size_t>(count) > datagram.size()) {
            return fail("netlink: an answer of {} bytes is cut", count);
        }
        const auto progress = take(std::span(datagram).first(static_cast<std::size_t>(count)), replies);
        if (!progress) {
            return std::unexpected(progress.error());
        }
        if (*progress == Progress::done) {
            return replies;
        }
    }
}

Result<RtSocket::Progress> RtSocket::take(std::span<const std::byte> datagram, std::vector<RtReply>& replies) const {
    while (datagram.size() >= NLMSG_HDRLEN) {
        nlmsghdr head{};
        std::memcpy(&head, datagram.data(), sizeof(head));
        if (head.nlmsg_len < NLMSG_HDRLEN || head.nlmsg_len > datagram.size()) {
            return fail("netlink: a message of {} bytes in a datagram of {}", head.nlmsg_len, datagram.size());
        }
        const auto payload = datagram.subspan(NLMSG_HDRLEN, head.nlmsg_len - NLMSG_HDRLEN);
        datagram = datagram.subspan(std::min(datagram.size(), std::size_t{NLMSG_ALIGN(head.nlmsg_len)}));
        if (head.nlmsg_seq != sequence_) {
            continue;  // the late answer to an earlier request
        }
        if ((head.nlmsg_flags & NLM_F_DUMP_INTR) != 0) {
            return fail_errno(EINTR, "netlink: the list changed while it was read");
        }
        if (head.nlmsg_type == NLMSG_ERROR) {
            const auto acknowledged = acknowledgement(head, payload);
            return acknowledged ? Result<Progress>(Progress::done) : std::unexpected(acknowledged.error());
        }
        if (head.nlmsg_type == NLMSG_DONE) {
            return Progress::done;
        }
        replies.push_back({head.nlmsg_type, std::vector(payload.begin(), payload.end())});
    }
    return Progress::more;
}

}  // namespace podlane::cni
