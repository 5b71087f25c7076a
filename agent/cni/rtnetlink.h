// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "maps/base/fd.h"
#include "maps/base/result.h"

// Just enough rtnetlink for a veth pair, an address and a few routes. The agent uses libmnl; this plugin is a static
// binary, and Debian ships no static libmnl.
namespace podlane::cni {

// One request: netlink header, a family's fixed header, attributes. Everything in it is in host byte order unless the
// kernel's header says otherwise; the caller takes care of that.
class RtMessage {
public:
    template <typename Header>
    RtMessage(std::uint16_t type, std::uint16_t flags, const Header& header) : bytes_(NLMSG_HDRLEN) {
        nlmsghdr head{};
        head.nlmsg_type = type;
        head.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
        std::memcpy(bytes_.data(), &head, sizeof(head));
        append(header);
    }

    // A fixed header inside a nest (VETH_INFO_PEER holds one).
    template <typename Header>
    void append(const Header& header) {
        static_assert(std::is_trivially_copyable_v<Header>);
        append_bytes(std::as_bytes(std::span(&header, 1)));
    }
    void put(std::uint16_t type, std::span<const std::byte> value);
    template <typename T>
    void put_value(std::uint16_t type, const T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        put(type, std::as_bytes(std::span(&value, 1)));
    }
    void put_string(std::uint16_t type, std::string_view text);  // with a terminating zero

    // Attributes put between open() and close() of its result are nested.
    [[nodiscard]] std::size_t open(std::uint16_t type);
    void close(std::size_t nest);

    // The message with its length and `sequence` filled in; valid until the next change.
    [[nodiscard]] std::span<const std::byte> finish(std::uint32_t sequence);

private:
    void append_bytes(std::span<const std::byte> bytes);

    std::vector<std::byte> bytes_;
};

// Calls `visit(type, value)` for each attribute; a length that does not fit ends the walk with an error.
template <typename Visit>
[[nodiscard]] Result<void> for_each_attribute(std::span<const std::byte> bytes, Visit visit) {
    while (bytes.size() >= sizeof(rtattr)) {
        rtattr head{};
        std::memcpy(&head, bytes.data(), sizeof(head));
        if (head.rta_len < sizeof(head) || head.rta_len > bytes.size()) {
            return fail("netlink: an attribute of {} bytes in a message of {}", head.rta_len, bytes.size());
        }
        visit(static_cast<std::uint16_t>(head.rta_type & NLA_TYPE_MASK),
              bytes.subspan(sizeof(head), head.rta_len - sizeof(head)));
        bytes = bytes.subspan(std::min(bytes.size(), static_cast<std::size_t>(NLA_ALIGN(head.rta_len))));
    }
    return {};
}

// An attribute's value as T; T{} where its length differs.
template <typename T>
[[nodiscard]] T attribute_value(std::span<const std::byte> value) {
    static_assert(std::is_trivially_copyable_v<T>);
    T result{};
    if (value.size() == sizeof(T)) {
        std::memcpy(&result, value.data(), sizeof(T));
    }
    return result;
}
[[nodiscard]] std::string_view attribute_string(std::span<const std::byte> value);

// One message of the kernel's answer, without its netlink header.
struct RtReply {
    std::uint16_t type = 0;
    std::vector<std::byte> payload;
};

// A netlink socket of the network namespace that it was opened in.
class RtSocket {
public:
    [[nodiscard]] static Result<RtSocket> open(int protocol = NETLINK_ROUTE);
    // Sends a request and collects the answer. An error carries the kernel's errno and, where it gave one, its text.
    // A list that changed while the kernel wrote it is asked for again.
    [[nodiscard]] Result<std::vector<RtReply>> request(RtMessage message);

private:
    [[nodiscard]] Result<std::vector<RtReply>> request_once(RtMessage& message);
    explicit RtSocket(Fd socket) : socket_(std::move(socket)) {}
    enum class Progress { more, done };
    [[nodiscard]] Result<Progress> take(std::span<const std::byte> datagram, std::vector<RtReply>& replies) const;

    Fd socket_;
    std::uint32_t sequence_ = 0;
};

}  // namespace podlane::cni
