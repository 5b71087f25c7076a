// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "agent/netfilter/iptc_table.h"

// A rule of ip_tables as FlannelRule has it.
namespace podlane::netfilter::flannel {

// FlannelRule::content of a rule of ip_tables: what the same rule always looks like, without counters and places in the
// table.
[[nodiscard]] std::string entry_content(const ipt_entry& entry, xtc_handle* table);
// The same aligned as an ipt_entry must be.
[[nodiscard]] std::vector<std::byte> entry_bytes(std::string_view content);
// Empty: it has none.
[[nodiscard]] std::string entry_comment(std::string_view content);
// FlannelRule::line. `rule`: of rule_of().
[[nodiscard]] std::string legacy_line(const std::string& chain, Rule rule, const ipt_entry& entry);

}  // namespace podlane::netfilter::flannel
