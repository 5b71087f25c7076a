// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/netfilter/forward_table.h"

namespace podlane {

// Chain FORWARD of the filter table of ip_tables, which iptables-legacy works on. The kernel replaces that table as a
// whole: changes are made under iptables' own lock, /run/xtables.lock, and fail with EAGAIN while another holds it.
class LegacyForwardTable final : public ForwardTable {
public:
    [[nodiscard]] std::string_view name() const override { return "iptables-legacy"; }
    [[nodiscard]] Result<ForwardChain> read() override;
    [[nodiscard]] Result<void> apply(const ForwardPlan& plan) override;
};

}  // namespace podlane
