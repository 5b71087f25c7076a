// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/netlink/interface_address.h"
#include "maps/base/result.h"

namespace podlane {

// The addresses of the node's devices, as the kernel listed them last. That it cannot for a moment (the table changes
// during each dump, a time-out) says nothing about them, and to go by none would cut every pod off from the outside.
class NodeAddresses {
public:
    using All = std::vector<netlink::InterfaceAddress>;

    // What the kernel says now. On an error what it said before stays.
    void take(Result<All> listed) {
        problem_ = listed ? "" : listed.error().message;
        if (listed) {
            all_ = std::move(*listed);
            known_ = true;
        }
    }

    // False: it has not listed them yet.
    [[nodiscard]] bool known() const { return known_; }
    [[nodiscard]] const All& all() const { return all_; }
    // Of the last time; empty: there was none.
    [[nodiscard]] const std::string& problem() const { return problem_; }

private:
    All all_;
    std::string problem_;
    bool known_ = false;
};

}  // namespace podlane
