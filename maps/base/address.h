// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "maps/base/result.h"

namespace podlane {

// An IPv4 address. Held in host byte order, so that it sorts as people read it; wire() is what goes into a map
// or a netlink message.
class Ipv4Address {
public:
    constexpr Ipv4Address() = default;
    [[nodiscard]] static constexpr Ipv4Address from_host(std::uint32_t host_order) { return Ipv4Address(host_order); }
    [[nodiscard]] static Ipv4Address from_wire(std::uint32_t network_order);
    // Dotted quad only, no leading zeros, no white space: "10.244.1.5".
    [[nodiscard]] static Result<Ipv4Address> parse(std::string_view text);

    [[nodiscard]] constexpr std::uint32_t host() const { return host_order_; }
    [[nodiscard]] std::uint32_t wire() const;
    [[nodiscard]] constexpr bool is_unspecified() const { return host_order_ == 0; }
    [[nodiscard]] constexpr bool is_multicast() const { return (host_order_ >> 28) == 0xe; }
    [[nodiscard]] constexpr bool is_loopback() const { return (host_order_ >> 24) == 127; }
    // An address that one interface of one host can have: neither 0/8, loopback, multicast nor 240/4 (RFC 6890).
    [[nodiscard]] constexpr bool is_unicast() const {
        return (host_order_ >> 24) != 0 && !is_loopback() && host_order_ < 0xe0000000U;
    }
    [[nodiscard]] std::string to_string() const;

    constexpr auto operator<=>(const Ipv4Address&) const = default;

private:
    constexpr explicit Ipv4Address(std::uint32_t host_order) : host_order_(host_order) {}
    std::uint32_t host_order_ = 0;
};

// An IPv4 prefix with its host bits zero: 10.244.1.0/24.
class Ipv4Prefix {
public:
    constexpr Ipv4Prefix() = default;
    // Clears the host bits of `address`. `length` is 0 to 32.
    [[nodiscard]] static Ipv4Prefix masked(Ipv4Address address, unsigned length);
    // "10.244.1.0/24"; host bits that are set are an error that names them.
    [[nodiscard]] static Result<Ipv4Prefix> parse(std::string_view text);

    [[nodiscard]] constexpr Ipv4Address address() const { return address_; }
    [[nodiscard]] constexpr unsigned length() const { return length_; }
    [[nodiscard]] constexpr std::uint32_t mask_host() const {
        return length_ == 0 ? 0 : ~std::uint32_t{0} << (32U - length_);
    }
    [[nodiscard]] constexpr bool contains(Ipv4Address address) const {
        return (address.host() & mask_host()) == address_.host();
    }
    [[nodiscard]] constexpr bool contains(const Ipv4Prefix& other) const {
        return other.length_ >= length_ && contains(other.address_);
    }
    [[nodiscard]] constexpr bool overlaps(const Ipv4Prefix& other) const {
        return contains(other) || other.contains(*this);
    }
    [[nodiscard]] std::string to_string() const;

    constexpr auto operator<=>(const Ipv4Prefix&) const = default;

private:
    Ipv4Address address_;
    unsigned length_ = 0;
};

// An Ethernet address, bytes in transmission order.
class MacAddress {
public:
    constexpr MacAddress() = default;
    constexpr explicit MacAddress(std::array<std::uint8_t, 6> bytes) : bytes_(bytes) {}
    // "0e:61:06:ff:7a:73", either case.
    [[nodiscard]] static Result<MacAddress> parse(std::string_view text);

    [[nodiscard]] constexpr const std::array<std::uint8_t, 6>& bytes() const { return bytes_; }
    [[nodiscard]] constexpr bool is_zero() const { return bytes_ == std::array<std::uint8_t, 6>{}; }
    [[nodiscard]] constexpr bool is_unicast() const { return (bytes_[0] & 1U) == 0 && !is_zero(); }
    [[nodiscard]] std::string to_string() const;

    constexpr auto operator<=>(const MacAddress&) const = default;

private:
    std::array<std::uint8_t, 6> bytes_{};
};

}  // namespace podlane

template <>
struct std::hash<podlane::Ipv4Address> {
    std::size_t operator()(const podlane::Ipv4Address& address) const noexcept {
        return std::hash<std::uint32_t>{}(address.host());
    }
};

template <>
struct std::hash<podlane::Ipv4Prefix> {
    std::size_t operator()(const podlane::Ipv4Prefix& prefix) const noexcept {
        return std::hash<std::uint64_t>{}((std::uint64_t{prefix.address().host()} << 8U) | prefix.length());
    }
};

template <typename T>
    requires requires(const T& value) {
        { value.to_string() } -> std::same_as<std::string>;
    }
struct fmt::formatter<T> : fmt::formatter<std::string> {
    auto format(const T& value, fmt::format_context& context) const {
        return fmt::formatter<std::string>::format(value.to_string(), context);
    }
};
