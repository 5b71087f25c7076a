// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netfilter/nfnetlink.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "agent/netlink/message.h"

// What every message to and from nf_tables begins with.
namespace podlane::netfilter::nft {

// nlmsg_type of an NFT_MSG_*.
[[nodiscard]] constexpr std::uint16_t message_type(unsigned message) {
    return static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8U) | message);
}

// `family`: NFPROTO_*. `resource` in host byte order: the subsystem that a batch is of, otherwise 0.
[[nodiscard]] constexpr nfgenmsg header_for(std::uint8_t family, std::uint16_t resource = 0) {
    nfgenmsg header{};
    header.nfgen_family = family;
    header.version = NFNETLINK_V0;
    header.res_id = std::endian::native == std::endian::little ? __builtin_bswap16(resource) : resource;
    return header;
}

// Without attributes. `flags`: NLM_F_*, besides those of every Message.
[[nodiscard]] inline netlink::Message request(unsigned message, std::uint8_t family, std::string label,
                                              std::uint16_t flags = 0) {
    return {message_type(message), flags, header_for(family), std::move(label)};
}

// Begins or ends a transaction. `type`: NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END.
[[nodiscard]] netlink::Message bracket(unsigned type);

// A handle stands in network byte order. `type`: NFTA_RULE_HANDLE, NFTA_RULE_POSITION.
void put_handle(netlink::Message& message, std::uint16_t type, std::uint64_t handle);
[[nodiscard]] std::optional<std::uint64_t> handle_of(const netlink::Attributes& rule);

// libnftnl's layout of a rule's user data: type, length, text with its zero. Type 0 is the comment.
inline constexpr auto comment_type = std::byte{0};
// The comment of a rule of nft; iptables-nft has a module for it.
[[nodiscard]] std::optional<std::string> comment_in_user_data(const netlink::Attributes& rule);

// The message's header; null: it is another message than this NFT_MSG_*, or too short to have one.
[[nodiscard]] inline const nfgenmsg* header_if(const nlmsghdr& message, unsigned type) {
    return message.nlmsg_type == message_type(type) ? netlink::header_of<nfgenmsg>(message) : nullptr;
}

}  // namespace podlane::netfilter::nft
