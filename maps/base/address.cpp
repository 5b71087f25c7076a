// SPDX-License-Identifier: Apache-2.0
#include "maps/base/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <optional>

namespace podlane {
namespace {

std::optional<unsigned> parse_decimal(std::string_view text, unsigned maximum) {
    const bool leading_zero = text.size() > 1 && text.front() == '0';
    if (text.empty() || text.size() > 3 || leading_zero) {
        return std::nullopt;
    }
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value > maximum) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

Ipv4Address Ipv4Address::from_wire(std::uint32_t network_order) {
    return Ipv4Address(ntohl(network_order));
}

std::uint32_t Ipv4Address::wire() const {
    return htonl(host_order_);
}

Result<Ipv4Address> Ipv4Address::parse(std::string_view text) {
    std::uint32_t host_order = 0;
    std::string_view rest = text;
    for (int octet = 0; octet < 4; ++octet) {
        const auto dot = octet < 3 ? rest.find('.') : rest.size();
        if (dot == std::string_view::npos) {
            return fail("\"{}\" is not an IPv4 address", text);
        }
        const auto value = parse_decimal(rest.substr(0, dot), 255);
        if (!value) {
            return fail("\"{}\" is not an IPv4 address", text);
        }
        host_order = (host_order << 8U) | *value;
        rest.remove_prefix(octet < 3 ? dot + 1 : dot);
    }
    return Ipv4Address(host_order);
}

std::string Ipv4Address::to_string() const {
    return fmt::format("{}.{}.{}.{}", host_order_ >> 24U, (host_order_ >> 16U) & 0xffU, (host_order_ >> 8U) & 0xffU,
                       host_order_ & 0xffU);
}

Ipv4Prefix Ipv4Prefix::masked(Ipv4Address address, unsigned length) {
    Ipv4Prefix prefix;
    prefix.length_ = length;
    prefix.address_ = Ipv4Address::from_host(address.host() & prefix.mask_host());
    return prefix;
}

Result<Ipv4Prefix> Ipv4Prefix::parse(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) {
        return fail("\"{}\" is not an IPv4 prefix (ADDRESS/LENGTH)", text);
    }
    const auto address = Ipv4Address::parse(text.substr(0, slash));
    const auto length = parse_decimal(text.substr(slash + 1), 32);
    if (!address || !length) {
        return fail("\"{}\" is not an IPv4 prefix (ADDRESS/LENGTH)", text);
    }
    const auto prefix = masked(*address, *length);
    if (prefix.address() != *address) {
        return fail("\"{}\" has host bits set; the prefix is {}", text, prefix);
    }
    return prefix;
}

std::string Ipv4Prefix::to_string() const {
    return fmt::format("{}/{}", address_, length_);
}

Result<MacAddress> MacAddress::parse(std::string_view text) {
    constexpr std::size_t text_length = 17;
    std::array<std::uint8_t, 6> bytes{};
    if (text.size() != text_length) {
        return fail("\"{}\" is not a MAC address", text);
    }
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const char* first = text.data() + i * 3;
        const auto [end, error] = std::from_chars(first, first + 2, bytes[i], 16);
        if (error != std::errc{} || end != first + 2 || (i < 5 && *end != ':')) {
            return fail("\"{}\" is not a MAC address", text);
        }
    }
    return MacAddress(bytes);
}

std::string MacAddress::to_string() const {
    return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes_[0], bytes_[1], bytes_[2], bytes_[3],
                       bytes_[4], bytes_[5]);
}

}  // namespace podlane
