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
// from_uplink: as from_underlay, of a device that no way to another node uses. l3: of devices without an Ethernet
// header.
enum class Hook {
    from_pod,
    to_pod,
    from_underlay,
    to_underlay,
    from_overlay,
    to_overlay,
    from_uplink,
    from_l3_uplink,
    to_l3_uplink,
    from_shim,
    to_shim,
};

[[nodiscard]] std::string_view to_string(Hook hook);

// The kernel's id of a loaded program; 0 when it cannot be asked.
[[nodiscard]] std::uint32_t program_id(int program_fd);

// An attachment, as found in the kernel.
struct Attachment {
    Hook hook;  // of a clsact filter: the first hook of its direction
    std::uint32_t ifindex;
    AttachMethod method;
    bool alive;  // false: the device is gone, or somebody removed the program

    bool operator==(const Attachment&) const = default;
};

// Attaches programs to the tc hooks of devices in this network namespace, so that they stay when the agent goes.
//
// TCX: a BPF link, pinned as <links>/<hook>-<ifindex>. clsact: a filter of our own priority and handle, beside other
// people's. Either way a program is replaced in one step: no packet passes between the old one and the new one. Where
// an earlier agent used the other method, the new program is attached before the old one goes: for that moment a
// packet that the first one passes on meets both, and none meets neither.
class Attacher {
public:
    Attacher(PinDirectory pins, AttachMethod method) : pins_(std::move(pins)), method_(method) {}

    // Attaches, or replaces what an earlier agent attached there, by either method.
    [[nodiscard]] Result<void> attach(Hook hook, std::uint32_t ifindex, int program_fd) const;
    [[nodiscard]] Result<void> detach(const Attachment& attachment) const;
    // Whether this program is what runs there now.
    [[nodiscard]] bool is_attached(Hook hook, std::uint32_t ifindex, int program_fd) const;

    // Whether a program of ours runs there, of this load or an earlier one.
    [[nodiscard]] bool is_occupied(Hook hook, std::uint32_t ifindex) const;

    [[nodiscard]] AttachMethod method() const { return method_; }
    // Whether the attachment is what attach() makes for the hook.
    [[nodiscard]] bool serves(const Attachment& attachment, Hook hook, std::uint32_t ifindex) const;

    // What is pinned, devices that are gone included.
    [[nodiscard]] std::vector<Attachment> pinned() const;
    // clsact filters of ours, on whatever device. Asks for every device there is: not for every day.
    [[nodiscard]] static std::vector<Attachment> filters();

private:
    [[nodiscard]] std::string link_pin(Hook hook, std::uint32_t ifindex) const;
    [[nodiscard]] Result<void> attach_link(Hook hook, std::uint32_t ifindex, int program_fd) const;
    [[nodiscard]] Result<void> remove_pin(Hook hook, std::uint32_t ifindex) const;

    PinDirectory pins_;
    AttachMethod method_;
};

}  // namespace podlane
