// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "agent/cni/result.h"
#include "maps/base/result.h"

namespace podlane::cni {

// The kernel's side of an attachment: the veth pair and what is configured on it.
class Links {
public:
    Links() = default;
    Links(const Links&) = delete;
    Links& operator=(const Links&) = delete;
    virtual ~Links() = default;

    // Whether the sandbox has an interface of that name. Errors carry errno as Sandbox::open() does.
    [[nodiscard]] virtual Result<bool> exists(const std::string& netns, const std::string& if_name) = 0;
    // Creates and configures the whole attachment; replaces a host side that an earlier failed ADD left behind. After
    // an error nothing of it exists.
    [[nodiscard]] virtual Result<void> create(const Attachment& attachment) = 0;
    // Removes the pair by its host side, and by its container side where that is all that is left. Success also when
    // nothing is there, sandbox included. Only veth devices are removed, and inside only the one with our MAC.
    [[nodiscard]] virtual Result<void> remove(const Endpoint& endpoint) = 0;
    // One line for each difference between the kernel and `expected`. An mtu that is not fixed need only be the same on
    // both sides.
    [[nodiscard]] virtual Result<std::vector<std::string>> differences(const Attachment& expected) = 0;
};

class KernelLinks final : public Links {
public:
    [[nodiscard]] Result<bool> exists(const std::string& netns, const std::string& if_name) override;
    [[nodiscard]] Result<void> create(const Attachment& attachment) override;
    [[nodiscard]] Result<void> remove(const Endpoint& endpoint) override;
    [[nodiscard]] Result<std::vector<std::string>> differences(const Attachment& expected) override;
};

}  // namespace podlane::cni
