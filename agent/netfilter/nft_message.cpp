// SPDX-License-Identifier: Apache-2.0
#include "agent/netfilter/nft_message.h"

#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace podlane::netfilter::nft {
namespace {

constexpr std::uint64_t swap_if_little_endian(std::uint64_t value) {
    return std::endian::native == std::endian::little ? __builtin_bswap64(value) : value;
}

}  // namespace

netlink::Message bracket(unsigned type) {
    netlink::Message message(static_cast<std::uint16_t>(type), 0, header_for(AF_UNSPEC, NFNL_SUBSYS_NFTABLES),
                             "change the rules of nf_tables");
    message.raw().nlmsg_flags = NLM_F_REQUEST;
    return message;
}

void put_handle(netlink::Message& message, std::uint16_t type, std::uint64_t handle) {
    const auto wire = swap_if_little_endian(handle);
    message.put_bytes(type, std::as_bytes(std::span(&wire, 1)));
}

std::optional<std::uint64_t> handle_of(const netlink::Attributes& rule) {
    const auto bytes = rule.bytes(NFTA_RULE_HANDLE);
    std::uint64_t wire = 0;
    if (!bytes || bytes->size() != sizeof(wire)) {
        return std::nullopt;
    }
    std::memcpy(&wire, bytes->data(), sizeof(wire));
    return swap_if_little_endian(wire);
}

std::optional<std::string> comment_in_user_data(const netlink::Attributes& rule) {
    const auto data = rule.bytes(NFTA_RULE_USERDATA);
    if (!data) {
        return std::nullopt;
    }
    for (auto rest = *data; rest.size() >= 2;) {
        const auto size = std::min(std::to_integer<std::size_t>(rest[1]), rest.size() - 2);
        if (rest[0] == comment_type) {
            const auto* text = reinterpret_cast<const char*>(rest.data() + 2);
            return std::string(text, strnlen(text, size));
        }
        rest = rest.subspan(2 + size);
    }
    return std::nullopt;
}

}  // namespace podlane::netfilter::nft
