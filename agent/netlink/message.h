// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <libmnl/libmnl.h>

#include "maps/base/address.h"

namespace podlane::netlink {

// One request to the kernel while it is built, and after. Owns its bytes.
class Message {
public:
    // `label` says what the request does, for errors: "add route 10.244.2.0/24 dev podlane0". NLM_F_REQUEST and
    // NLM_F_ACK are always set.
    template <typename Header>
    Message(std::uint16_t type, std::uint16_t flags, const Header& header, std::string label)
        : Message(type, flags, &header, sizeof(header), std::move(label)) {}

    void put_u8(std::uint16_t type, std::uint8_t value) { put(type, &value, sizeof(value)); }
    void put_u32(std::uint16_t type, std::uint32_t value) { put(type, &value, sizeof(value)); }
    void put_port(std::uint16_t type, std::uint16_t host_order);         // sent in network byte order
    void put_network_u32(std::uint16_t type, std::uint32_t host_order);  // sent in network byte order
    void put_bytes(std::uint16_t type, std::span<const std::byte> value);
    void put_address(std::uint16_t type, Ipv4Address value);
    void put_mac(std::uint16_t type, const MacAddress& value);
    void put_string(std::uint16_t type, std::string_view value);  // with its terminating zero
    // A nested attribute that holds what `fill` puts.
    void put_nested(std::uint16_t type, const std::function<void(Message&)>& fill);

    [[nodiscard]] const std::string& label() const { return label_; }
    void relabel(std::string label) { label_ = std::move(label); }

    // Valid until the next put. The socket fills in sequence and sender.
    [[nodiscard]] nlmsghdr& raw();
    [[nodiscard]] const nlmsghdr& raw() const;

private:
    Message(std::uint16_t type, std::uint16_t flags, const void* header, std::size_t size, std::string label);
    void put(std::uint16_t type, const void* data, std::size_t size);

    std::vector<std::byte> buffer_;
    std::string label_;
};

// The attributes of a message or of a nested attribute, by type. A view: valid as long as what it was read from.
// Attributes that are absent, too short, or cut off by the message's end read as nothing.
class Attributes {
public:
    // `header_size`: of the family's header in front of the attributes, sizeof(rtmsg) for one.
    Attributes(const nlmsghdr& message, std::size_t header_size);
    // What is nested in `type`; empty when there is none.
    [[nodiscard]] Attributes nested(std::uint16_t type) const;

    // What each of the attributes nested in `type` holds: a list, whose members have one type.
    [[nodiscard]] std::vector<Attributes> list(std::uint16_t type) const;

    [[nodiscard]] bool has(std::uint16_t type) const { return find(type) != nullptr; }
    [[nodiscard]] std::optional<std::uint8_t> u8(std::uint16_t type) const;
    [[nodiscard]] std::optional<std::uint32_t> u32(std::uint16_t type) const;
    [[nodiscard]] std::optional<std::uint16_t> port(std::uint16_t type) const;         // host byte order
    [[nodiscard]] std::optional<std::uint32_t> network_u32(std::uint16_t type) const;  // host byte order
    [[nodiscard]] std::optional<std::span<const std::byte>> bytes(std::uint16_t type) const;
    [[nodiscard]] std::optional<Ipv4Address> address(std::uint16_t type) const;
    [[nodiscard]] std::optional<MacAddress> mac(std::uint16_t type) const;  // nothing unless it has six bytes
    [[nodiscard]] std::optional<std::string> string(std::uint16_t type) const;

private:
    static constexpr std::size_t types = 128;  // more than any rtnetlink family has
    Attributes() = default;
    void index(const void* payload, std::size_t size);
    [[nodiscard]] const nlattr* find(std::uint16_t type) const { return type < types ? by_type_[type] : nullptr; }
    template <typename T>
    [[nodiscard]] std::optional<T> value(std::uint16_t type) const;

    std::array<const nlattr*, types> by_type_{};
};

// The family's header of a message, or null when the message is too short to hold one.
template <typename Header>
[[nodiscard]] const Header* header_of(const nlmsghdr& message) {
    if (message.nlmsg_len < NLMSG_HDRLEN + sizeof(Header)) {
        return nullptr;
    }
    return static_cast<const Header*>(mnl_nlmsg_get_payload(&message));
}

}  // namespace podlane::netlink
