// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netfilter/nfnetlink.h>

#include <bit>
#include <cstdint>
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

// The message's header; null: it is another message than this NFT_MSG_*, or too short to have one.
[[nodiscard]] inline const nfgenmsg* header_if(const nlmsghdr& message, unsigned type) {
    return message.nlmsg_type == message_type(type) ? netlink::header_of<nfgenmsg>(message) : nullptr;
}

}  // namespace podlane::netfilter::nft
