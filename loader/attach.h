// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loader/bpffs.h"
#include "loader/probe.h"
#include "maps/base/result.h"

namespace podlane {

// The places where programs run; one program each.
enum class Hook { from_pod, to_pod, from_underlay, to_underlay, from_overlay, to_overlay };

[[nodiscard]] std::string_view to_string(Hook hook);

// An attachment, as found in the kernel.
struct Attachment {
    Hook hook;
    std::uint32_t ifindex;
    bool alive;  // false: the device is gone, or somebody removed the program

    bool operator==(const Attachment&) const = default;
};

// Attaches programs to the tc hooks of devices in this network namespace, so that they stay when the agent goes.
//
// TCX: a BPF link, pinned as <links>/<hook>-<ifindex>. clsact: a filter of our own priority and handle, beside other
// people's. Either way a program is replaced in one step: no packet passes between the old one and the new one.
class Attacher {
public:
    Attacher(PinDirectory pins, AttachMethod method) : pins_(std::move(pins)), method_(method) {}

    // Attaches, or replaces what an earlier agent attached there.
    [[nodiscard]] Result<void> attach(Hook hook, std::uint32_t ifindex, int program_fd) const;
    [[nodiscard]] Result<void> detach(Hook hook, std::uint32_t ifindex) const;
    // Whether this program is what runs there now.
    [[nodiscard]] bool is_attached(Hook hook, std::uint32_t ifindex, int program_fd) const;

    // What is pinned, devices that are gone included. With clsact the kernel keeps no such list: empty.
    [[nodiscard]] std::vector<Attachment> pinned() const;
    // Hooks of a device on which a clsact filter of ours sits; of a direction, the first hook that uses it.
    [[nodiscard]] std::vector<Hook> filters_on(std::uint32_t ifindex) const;

private:
    [[nodiscard]] std::string link_pin(Hook hook, std::uint32_t ifindex) const;
    [[nodiscard]] Result<void> attach_tcx(Hook hook, std::uint32_t ifindex, int program_fd) const;
    [[nodiscard]] Result<void> attach_clsact(Hook hook, std::uint32_t ifindex, int program_fd) const;
    [[nodiscard]] Result<void> detach_clsact(Hook hook, std::uint32_t ifindex) const;

    PinDirectory pins_;
    AttachMethod method_;
};

}  // namespace podlane
