// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/netfilter/forward_table.h"
#include "agent/netlink/socket.h"

namespace podlane {

// Chain FORWARD of table `ip filter` of nf_tables, which is where iptables-nft keeps its rules. Rules are made of the
// expressions that iptables-nft makes them of, so that it lists, saves and deletes them as its own.
class NftForwardTable final : public ForwardTable {
public:
    // A socket of netlink's family NETLINK_NETFILTER.
    explicit NftForwardTable(netlink::Socket socket) : socket_(std::move(socket)) {}

    [[nodiscard]] std::string_view name() const override { return "iptables-nft"; }
    [[nodiscard]] Result<ForwardChain> read() override;
    [[nodiscard]] Result<void> apply(const ForwardPlan& plan) override;

private:
    netlink::Socket socket_;
};

// Whether a message of the group NFNLGRP_NFTABLES is about that chain or its rules.
[[nodiscard]] bool concerns_forward_chain(const nlmsghdr& message);

// Codecs, for tests.
[[nodiscard]] netlink::Message add_rule_message(const ForwardRule& rule);
// Nothing unless the rule bears our comment.
[[nodiscard]] std::optional<FoundForwardRule> decode_forward_rule(const nlmsghdr& message);

}  // namespace podlane
