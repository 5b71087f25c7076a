// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "agent/netfilter/forward_rule.h"
#include "maps/base/result.h"

namespace podlane {

// One of the kernel's two filter tables of IPv4, in the calling thread's network namespace. A host may use either, or
// both.
class ForwardTable {
public:
    ForwardTable() = default;
    ForwardTable(const ForwardTable&) = delete;
    ForwardTable& operator=(const ForwardTable&) = delete;
    virtual ~ForwardTable() = default;

    [[nodiscard]] virtual std::string_view name() const = 0;
    // Makes nothing: neither table nor chain.
    [[nodiscard]] virtual Result<ForwardChain> read() = 0;
    // All of `plan`, which was made from what read() returned last, or nothing of it. What others changed meanwhile
    // makes it fail, or is left alone.
    [[nodiscard]] virtual Result<void> apply(const ForwardPlan& plan) = 0;
};

}  // namespace podlane
