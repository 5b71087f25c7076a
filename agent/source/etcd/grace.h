// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/state/objects.h"

namespace podlane::etcd {

// Who counts although etcd lacks it. After etcd has lost its data, or was out of reach for longer than leases last, all
// nodes' keys are gone at once, and each node puts back its own when it has noticed. So what etcd lacks then is not
// taken away before all have had the time to. Pure: it is told the time.
class Grace {
public:
    using Clock = std::chrono::steady_clock;
    using Nodes = std::map<std::string, NodeObject>;

    // What counted before this agent started.
    void remember(Nodes nodes);
    // etcd has lost something, or cannot be used: from now on nobody goes for a while.
    void alarm(Clock::time_point now);
    // What counts: what etcd has, this node with it, and who stays. That more than half are missing is an alarm too. A
    // node whose subnet or address another one has by now does not stay.
    [[nodiscard]] const Nodes& take(Nodes live, Clock::time_point now);

    // Who stays.
    [[nodiscard]] const std::set<std::string>& missing() const { return missing_; }
    // When to take anew; nothing: nobody stays.
    [[nodiscard]] std::optional<Clock::time_point> ends() const;

private:
    Nodes nodes_;
    std::size_t counted_ = 0;  // of these etcd had so many
    std::set<std::string> missing_;
    Clock::time_point until_{};
};

}  // namespace podlane::etcd
