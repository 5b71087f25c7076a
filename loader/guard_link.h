// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loader/bpffs.h"
#include "maps/base/result.h"

namespace podlane {

// Where an XDP program runs.
enum class GuardMode {
    native,   // in the driver, before there is an skb
    generic,  // in the stack, just before tc, over an skb that is made linear for it; on any device
};
[[nodiscard]] std::string_view to_string(GuardMode mode);

// The XDP program of ours that a device runs.
struct AttachedGuard {
    GuardMode mode;
    std::uint32_t program;  // id

    bool operator==(const AttachedGuard&) const = default;
};

// Why the guard is not attached, and who is to blame.
struct AttachFailure {
    Error error;
    bool by_driver = false;  // it will not have the program; false: we failed, or somebody else's program is there
};

// Attaches the guard to devices in this network namespace by BPF links (Linux 5.9), pinned as
// <links>/underlay-guard-<ifindex>, so that it stays when the agent goes. Never replaces or removes anybody else's
// program: the kernel lets a link take an empty hook only.
class GuardLinks {
public:
    explicit GuardLinks(PinDirectory pins) : pins_(std::move(pins)) {}

    // Attaches, or replaces an earlier program of ours; one in the other mode is taken off first.
    [[nodiscard]] std::expected<void, AttachFailure> attach(std::uint32_t ifindex, int program_fd,
                                                            GuardMode mode) const;
    // Takes ours off, at once; nothing there is no error.
    [[nodiscard]] Result<void> detach(std::uint32_t ifindex) const;

    // What of ours runs on the device, by the kernel's word for it.
    [[nodiscard]] std::optional<AttachedGuard> attached(std::uint32_t ifindex) const;
    // The id of a program on the device that is not ours; 0: there is none.
    [[nodiscard]] std::uint32_t foreign_program(std::uint32_t ifindex) const;
    // The devices that our pins name, gone ones included.
    [[nodiscard]] std::vector<std::uint32_t> pinned() const;

private:
    [[nodiscard]] std::string pin(std::uint32_t ifindex) const;

    PinDirectory pins_;
};

// For people: "xdp_pass (id 7)".
[[nodiscard]] std::string describe_program(std::uint32_t id);

}  // namespace podlane
