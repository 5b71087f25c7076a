// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/message.h"

#include <cstring>

namespace podlane::netlink {
namespace {

constexpr std::size_t initial_size = 128;  // holds all but the requests that create devices

std::uint16_t swap_if_little_endian(std::uint16_t value) {
    if constexpr (std::endian::native == std::endian::little) {
        return __builtin_bswap16(value);
    }
    return value;
}

constexpr std::size_t align(std::size_t size) {
    return (size + NLMSG_ALIGNTO - 1) & ~std::size_t{NLMSG_ALIGNTO - 1};
}

}  // namespace

Message::Message(std::uint16_t type, std::uint16_t flags, const void* header, std::size_t size, std::string label)
    : buffer_(std::max(initial_size, NLMSG_HDRLEN + align(size))), label_(std::move(label)) {
    nlmsghdr* message = mnl_nlmsg_put_header(buffer_.data());
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    std::memcpy(mnl_nlmsg_put_extra_header(message, size), header, size);
}

nlmsghdr& Message::raw() {
    return *reinterpret_cast<nlmsghdr*>(buffer_.data());
}

const nlmsghdr& Message::raw() const {
    return *reinterpret_cast<const nlmsghdr*>(buffer_.data());
}

void Message::put(std::uint16_t type, const void* data, std::size_t size) {
    const std::size_t needed = raw().nlmsg_len + MNL_ATTR_HDRLEN + align(size);
    if (needed > buffer_.size()) {
        buffer_.resize(std::max(needed, 2 * buffer_.size()));
    }
    mnl_attr_put(&raw(), type, size, data);
}

void Message::put_port(std::uint16_t type, std::uint16_t host_order) {
    const std::uint16_t wire = swap_if_little_endian(host_order);
    put(type, &wire, sizeof(wire));
}

void Message::put_network_u32(std::uint16_t type, std::uint32_t host_order) {
    put_address(type, Ipv4Address::from_host(host_order));
}

void Message::put_bytes(std::uint16_t type, std::span<const std::byte> value) {
    put(type, value.data(), value.size());
}

void Message::put_address(std::uint16_t type, Ipv4Address value) {
    const std::uint32_t wire = value.wire();
    put(type, &wire, sizeof(wire));
}

void Message::put_mac(std::uint16_t type, const MacAddress& value) {
    put(type, value.bytes().data(), value.bytes().size());
}

void Message::put_string(std::uint16_t type, std::string_view value) {
    const std::string terminated(value);
    put(type, terminated.c_str(), terminated.size() + 1);
}

void Message::put_nested(std::uint16_t type, const std::function<void(Message&)>& fill) {
    const std::size_t offset = raw().nlmsg_len;
    put(static_cast<std::uint16_t>(type | NLA_F_NESTED), nullptr, 0);
    fill(*this);
    // By offset: the buffer may have moved meanwhile.
    const std::size_t size = raw().nlmsg_len - offset;
    reinterpret_cast<nlattr*>(buffer_.data() + offset)->nla_len = static_cast<std::uint16_t>(size);
}

Attributes::Attributes(const nlmsghdr& message, std::size_t header_size) {
    const std::size_t start = NLMSG_HDRLEN + align(header_size);
    if (message.nlmsg_len > start) {
        index(mnl_nlmsg_get_payload_offset(&message, header_size), message.nlmsg_len - start);
    }
}

Attributes Attributes::nested(std::uint16_t type) const {
    Attributes inner;
    if (const nlattr* outer = find(type)) {
        inner.index(mnl_attr_get_payload(outer), mnl_attr_get_payload_len(outer));
    }
    return inner;
}

std::vector<Attributes> Attributes::list(std::uint16_t type) const {
    std::vector<Attributes> members;
    const nlattr* outer = find(type);
    if (outer == nullptr) {
        return members;
    }
    const auto* member = static_cast<const nlattr*>(mnl_attr_get_payload(outer));
    int remaining = static_cast<int>(mnl_attr_get_payload_len(outer));
    while (mnl_attr_ok(member, remaining)) {
        Attributes inner;
        inner.index(mnl_attr_get_payload(member), mnl_attr_get_payload_len(member));
        members.push_back(inner);
        remaining -= static_cast<int>(align(member->nla_len));
        member = mnl_attr_next(member);
    }
    return members;
}

void Attributes::index(const void* payload, std::size_t size) {
    const auto* const end = static_cast<const std::byte*>(payload) + size;
    const auto* attribute = static_cast<const nlattr*>(payload);
    const auto remaining = [&] { return static_cast<int>(end - reinterpret_cast<const std::byte*>(attribute)); };
    for (; mnl_attr_ok(attribute, remaining()); attribute = mnl_attr_next(attribute)) {
        if (const auto type = mnl_attr_get_type(attribute); type < types) {
            by_type_[type] = attribute;
        }
    }
}

template <typename T>
std::optional<T> Attributes::value(std::uint16_t type) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < sizeof(T)) {
        return std::nullopt;
    }
    T result;
    std::memcpy(&result, mnl_attr_get_payload(attribute), sizeof(T));
    return result;
}

std::optional<std::uint8_t> Attributes::u8(std::uint16_t type) const {
    return value<std::uint8_t>(type);
}

std::optional<std::uint32_t> Attributes::u32(std::uint16_t type) const {
    return value<std::uint32_t>(type);
}

std::optional<std::uint16_t> Attributes::port(std::uint16_t type) const {
    return value<std::uint16_t>(type).transform(swap_if_little_endian);
}

std::optional<std::uint32_t> Attributes::network_u32(std::uint16_t type) const {
    return address(type).transform(&Ipv4Address::host);
}

std::optional<std::span<const std::byte>> Attributes::bytes(std::uint16_t type) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr) {
        return std::nullopt;
    }
    return std::span(static_cast<const std::byte*>(mnl_attr_get_payload(attribute)),
                     mnl_attr_get_payload_len(attribute));
}

std::optional<Ipv4Address> Attributes::address(std::uint16_t type) const {
    return value<std::uint32_t>(type).transform(&Ipv4Address::from_wire);
}

std::optional<MacAddress> Attributes::mac(std::uint16_t type) const {
    using Bytes = std::array<std::uint8_t, 6>;
    const nlattr* attribute = find(type);
    if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != sizeof(Bytes)) {
        return std::nullopt;
    }
    return value<Bytes>(type).transform([](const Bytes& bytes) { return MacAddress(bytes); });
}

std::optional<std::string> Attributes::string(std::uint16_t type) const {
    const nlattr* attribute = find(type);
    if (attribute == nullptr) {
        return std::nullopt;
    }
    const char* text = static_cast<const char*>(mnl_attr_get_payload(attribute));
    return std::string(text, strnlen(text, mnl_attr_get_payload_len(attribute)));
}

}  // namespace podlane::netlink
