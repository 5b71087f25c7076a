// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/reconcile/link_reconciler.h"
#include "loader/attach.h"
#include "loader/datapath.h"
#include "loader/probe.h"
#include "maps/base/result.h"

namespace podlane {

// A hook that must run our program.
struct WantedHook {
    Hook hook;
    std::uint32_t ifindex = 0;
    std::string device;  // its name, for people

    bool operator==(const WantedHook&) const = default;
};

struct HookReport {
    std::vector<std::string> changes;
    std::vector<std::string> repairs;  // those of the changes that only undo what somebody else did
    std::vector<Error> errors;
};

// Keeps the programs loaded with the current configuration, and attached where they are wanted.
class DatapathReconciler {
public:
    DatapathReconciler(const PinDirectory& pins, const KernelFeatures& features)
        : pins_(pins), attacher_(pins, features.attach) {}

    // Loads the programs anew when `config` differs from what they were loaded with; what is attached goes on running
    // until reconcile() replaces it. Returns whether they were. On an error the programs stay as they are.
    [[nodiscard]] Result<bool> load(const datapath_config& config);
    [[nodiscard]] bool is_loaded() const { return datapath_.has_value(); }
    // Of the programs that are loaded: there must be some.
    [[nodiscard]] int nat_sweep_fd() const { return datapath_->nat_sweep_fd(); }

    // Attaches what is not attached, looking at the kernel and not at memory: it also mends what somebody removed.
    [[nodiscard]] HookReport reconcile(const std::vector<WantedHook>& wanted, Sweep sweep);
    // Detaches what is attached by pins to a device of that number: another device is about to have it, and a link that
    // left with the old one for another namespace would count as attached.
    [[nodiscard]] Result<void> release(std::uint32_t ifindex) const;
    // Whether a program of ours runs there, of these or of an earlier agent's.
    [[nodiscard]] bool is_occupied(Hook hook, std::uint32_t ifindex) const {
        return attacher_.is_occupied(hook, ifindex);
    }
    // Pins that somebody removed are put back, with the bpffs below them where that is gone. Links are reconcile()'s:
    // they end with their pins. Returns what was pinned again, as text.
    [[nodiscard]] Result<std::vector<std::string>> restore_pins();
    // Wanted against actual, for `agentctl link list`.
    [[nodiscard]] std::vector<LinkItem> inspect(const std::vector<WantedHook>& wanted) const;

private:
    [[nodiscard]] std::vector<Attachment> attachments();
    [[nodiscard]] bool is_wanted(const std::vector<WantedHook>& wanted, const Attachment& attachment) const;
    void detach_stale(const std::vector<WantedHook>& wanted, HookReport& report);

    PinDirectory pins_;
    Attacher attacher_;
    std::optional<Datapath> datapath_;
    datapath_config loaded_config_{};
    std::vector<WantedHook> previous_;  // clsact keeps no list of its own
    std::vector<WantedHook> settled_;   // run the programs that are loaded now, or did
    bool swept_ = false;                // the filters of an earlier agent have been looked for
};

}  // namespace podlane
