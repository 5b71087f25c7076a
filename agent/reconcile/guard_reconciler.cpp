// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/guard_reconciler.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fmt/ranges.h>

#include "agent/node/device_features.h"

namespace podlane {
namespace {

constexpr std::string_view hook_name = "underlay-guard";

std::string_view wanted_text(XdpMode mode) {
    switch (mode) {
        case XdpMode::automatic:
            return "auto";
        case XdpMode::native:
            return "native";
        case XdpMode::generic:
            return "generic";
        case XdpMode::off:
            return "off";
    }
    return "off";
}

std::vector<netlink::Link> underlays(netlink::Socket& socket, const std::vector<WantedHook>& hooks) {
    std::vector<netlink::Link> devices;
    for (const auto& hook : hooks) {
        if (hook.hook != Hook::from_underlay) {
            continue;
        }
        if (auto link = netlink::find_link(socket, hook.ifindex); link && *link) {
            devices.push_back(std::move(**link));
        }
    }
    return devices;
}

std::string describe(const AttachFailure& failure) {
    if (!failure.by_driver) {
        return failure.error.message;
    }
    return failure.error.code == EOPNOTSUPP ? "the driver has no native XDP"
                                            : fmt::format("the driver refuses it: {}", failure.error.message);
}

std::string occupied_by(std::uint32_t program) {
    return fmt::format("another XDP program runs there: {}", describe_program(program));
}

}  // namespace

bool GuardReconciler::runs(const netlink::Link& device, GuardMode mode) const {
    return program_ && links_.attached(device.ifindex) == AttachedGuard{mode, program_id(program_->fd())};
}

std::expected<void, AttachFailure> GuardReconciler::attach(const netlink::Link& device, GuardMode mode) {
    if (!program_) {
        auto loaded = GuardProgram::load(pins_, config_, settings_.buffers);
        if (!loaded) {
            return std::unexpected(AttachFailure{.error = loaded.error()});
        }
        program_ = std::move(*loaded);
    }
    return links_.attach(device.ifindex, program_->fd(), mode);
}

GuardReconciler::Verdict GuardReconciler::insist(const netlink::Link& device, GuardMode mode,
                                                 std::vector<std::string>& changes) {
    if (runs(device, mode)) {
        return {.device = device.name, .mode = mode, .reason = {}};
    }
    if (const auto foreign = links_.foreign_program(device.ifindex); foreign != 0) {
        return {.device = device.name, .mode = std::nullopt, .reason = occupied_by(foreign)};
    }
    if (const auto attached = attach(device, mode); !attached) {
        return {.device = device.name,
                .mode = std::nullopt,
                .reason = mode == GuardMode::native ? describe(attached.error()) : attached.error().error.message};
    }
    changes.push_back(fmt::format("attach {} {} ({})", device.name, hook_name, to_string(mode)));
    return {.device = device.name, .mode = mode, .reason = {}};
}

std::optional<std::string> GuardReconciler::try_native(const netlink::Link& device) {
    const auto before = read_features(device.name);
    if (!before) {
        return before.error().message;
    }
    if (auto cost = settings_.cost({.kind = device.kind, .buffers = settings_.buffers, .features = *before})) {
        return cost;
    }
    if (const auto attached = attach(device, GuardMode::native); !attached) {
        auto reason = describe(attached.error());
        if (attached.error().by_driver) {
            refused_[device.ifindex] = reason;
        }
        return reason;
    }
    const auto after = read_features(device.name);
    if (!after) {
        return after.error().message;
    }
    const auto lost = lost_features(*before, *after);
    if (lost.empty()) {
        return std::nullopt;
    }
    return refused_[device.ifindex] = fmt::format("XDP in its driver turns offloads off: {}", fmt::join(lost, ", "));
}

GuardReconciler::Verdict GuardReconciler::choose(const netlink::Link& device, std::vector<std::string>& changes) {
    Verdict native{.device = device.name, .mode = GuardMode::native, .reason = {}};
    if (runs(device, GuardMode::native)) {
        return native;
    }
    Verdict tc_alone{.device = device.name, .mode = std::nullopt, .reason = {}};
    const auto refused = refused_.find(device.ifindex);
    if (const auto foreign = links_.foreign_program(device.ifindex); foreign != 0) {
        tc_alone.reason = occupied_by(foreign);
    } else if (refused != refused_.end()) {
        tc_alone.reason = refused->second;
    } else if (auto reason = try_native(device)) {
        tc_alone.reason = std::move(*reason);
    } else {
        changes.push_back(fmt::format("attach {} {} (native)", device.name, hook_name));
        return native;
    }
    const auto attached = links_.attached(device.ifindex);
    if (auto detached = links_.detach(device.ifindex); !detached) {
        tc_alone.reason = detached.error().message;
    } else if (attached) {
        changes.push_back(fmt::format("detach {} {} ({})", device.name, hook_name, to_string(attached->mode)));
    }
    return tc_alone;
}

void GuardReconciler::detach_from_others(const std::vector<netlink::Link>& devices, std::vector<std::string>& changes) {
    for (const auto ifindex : links_.pinned()) {
        const bool wanted = settings_.mode != XdpMode::off &&
                            std::ranges::find(devices, ifindex, &netlink::Link::ifindex) != devices.end();
        if (wanted) {
            continue;
        }
        const auto attached = links_.attached(ifindex);
        if (links_.detach(ifindex) && attached) {
            changes.push_back(
                fmt::format("detach {} ({}) from device {}", hook_name, to_string(attached->mode), ifindex));
        }
    }
}

GuardReconciler::Verdict GuardReconciler::decide(const netlink::Link& device, std::vector<std::string>& changes) {
    if (settings_.mode == XdpMode::automatic) {
        return choose(device, changes);
    }
    return insist(device, settings_.mode == XdpMode::native ? GuardMode::native : GuardMode::generic, changes);
}

// A program that replaces another one of ours is no repair.
void GuardReconciler::reload() {
    program_.reset();
    verdicts_.clear();
}

HookReport GuardReconciler::reconcile(const datapath_config& config, const std::vector<WantedHook>& hooks) {
    HookReport report;
    config_ = config;
    const auto settled = std::exchange(verdicts_, {});
    const auto devices = underlays(socket_, hooks);
    detach_from_others(devices, report.changes);
    if (settings_.mode == XdpMode::off) {
        return report;
    }
    // A device that is no underlay for a while has its driver still.
    std::erase_if(refused_, [&](const auto& one) {
        const auto link = netlink::find_link(socket_, one.first);
        return link && !*link;
    });
    for (const auto& device : devices) {
        const auto changes = report.changes.size();
        const auto& verdict = verdicts_[device.ifindex] = decide(device, report.changes);
        const auto before = settled.find(device.ifindex);
        if (report.changes.size() > changes && verdict.mode && before != settled.end() &&
            before->second.mode == verdict.mode) {
            report.repairs.push_back(report.changes.back());
        }
    }
    return report;
}

void GuardReconciler::report(HealthBoard& health) const {
    if (settings_.mode == XdpMode::off) {
        health.ok("guard", "off: the programs at tc check alone");
        return;
    }
    std::vector<std::string> lines;
    lines.reserve(verdicts_.size());
    for (const auto& [ifindex, verdict] : verdicts_) {
        lines.push_back(verdict.mode ? fmt::format("{}: {}", verdict.device, to_string(*verdict.mode))
                                     : fmt::format("{}: tc alone: {}", verdict.device, verdict.reason));
    }
    const auto text = fmt::format("{}", fmt::join(lines, "; "));
    const bool missing = std::ranges::any_of(verdicts_, [](const auto& one) { return !one.second.mode.has_value(); });
    if (missing && settings_.mode != XdpMode::automatic) {
        health.degraded("guard", text, "mend what keeps the guard off, or set underlay.xdp to auto");
    } else {
        health.ok("guard", text);
    }
}

std::vector<LinkItem> GuardReconciler::inspect() const {
    std::vector<LinkItem> items;
    for (const auto& [ifindex, verdict] : verdicts_) {
        const auto attached = links_.attached(ifindex);
        const bool left_to_tc = !verdict.mode && settings_.mode == XdpMode::automatic;
        LinkItem item{.kind = "hook",
                      .name = fmt::format("{} {}", verdict.device, hook_name),
                      .wanted = std::string(wanted_text(settings_.mode)),
                      .actual = attached ? std::string(to_string(attached->mode)) : std::string(),
                      .state = LinkState::missing};
        if (attached ? attached->mode == verdict.mode : left_to_tc) {
            item.state = LinkState::ok;
        }
        if (!attached && left_to_tc) {
            item.actual = fmt::format("tc alone: {}", verdict.reason);
        }
        items.push_back(std::move(item));
    }
    return items;
}

}  // namespace podlane
