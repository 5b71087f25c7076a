// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/netlink/link.h"
#include "agent/netlink/socket.h"
#include "agent/observe/health.h"
#include "agent/reconcile/datapath_reconciler.h"
#include "agent/reconcile/guard_choice.h"
#include "loader/guard_link.h"
#include "loader/guard_program.h"
#include "loader/probe.h"

namespace podlane {

struct GuardSettings {
    XdpMode mode = XdpMode::automatic;  // underlay.xdp
    XdpBuffers buffers = XdpBuffers::one;
    CostOfNative cost = cost_of_native;
};

// Keeps the guard on the underlay devices, as far as underlay.xdp and the devices allow. Without it nothing is let in:
// the programs at tc make the same checks.
//
// `native` and `generic` insist: what keeps the guard off degrades the node and is tried again at every pass. `auto`
// takes the driver where that costs nothing, else leaves the device to tc, which is as good as it gets there; a driver
// that refused or lost an offload is not asked again, since on many of them a trial costs packets. What went wrong
// elsewhere (a missing pin, no memory) is no refusal and tried again.
class GuardReconciler {
public:
    // The socket must outlive the reconciler.
    GuardReconciler(netlink::Socket& socket, const PinDirectory& pins, const GuardSettings& settings)
        : socket_(socket), pins_(pins), links_(pins), settings_(settings) {}

    // The datapath was loaded anew, with another configuration or over other maps: so is the guard, with the next
    // reconcile(). What is attached runs on until then.
    void reload();
    // Makes the devices of the from_underlay hooks as they should be, and takes the guard off all others. What keeps it
    // off is report()'s.
    [[nodiscard]] HookReport reconcile(const datapath_config& config, const std::vector<WantedHook>& hooks);
    // The subsystem "guard": the mode of every device, and why.
    void report(HealthBoard& health) const;
    // Wanted against actual, for `agentctl link list`.
    [[nodiscard]] std::vector<LinkItem> inspect() const;

private:
    // What the last pass made of a device.
    struct Verdict {
        std::string device;
        std::optional<GuardMode> mode;  // nothing: tc alone
        std::string reason;             // why tc alone
    };

    [[nodiscard]] Verdict insist(const netlink::Link& device, GuardMode mode, std::vector<std::string>& changes);
    [[nodiscard]] Verdict choose(const netlink::Link& device, std::vector<std::string>& changes);
    // Why there is no native guard at no cost; nothing: it is attached.
    [[nodiscard]] std::optional<std::string> try_native(const netlink::Link& device);
    [[nodiscard]] std::expected<void, AttachFailure> attach(const netlink::Link& device, GuardMode mode);
    [[nodiscard]] bool runs(const netlink::Link& device, GuardMode mode) const;
    [[nodiscard]] Verdict decide(const netlink::Link& device, std::vector<std::string>& changes);
    void detach_from_others(const std::vector<netlink::Link>& devices, std::vector<std::string>& changes);

    netlink::Socket& socket_;
    PinDirectory pins_;
    GuardLinks links_;
    GuardSettings settings_;
    datapath_config config_{};
    std::optional<GuardProgram> program_;           // loaded when a device first needs it
    std::map<std::uint32_t, std::string> refused_;  // by ifindex: why auto does not try again
    std::map<std::uint32_t, Verdict> verdicts_;     // by ifindex
};

}  // namespace podlane
