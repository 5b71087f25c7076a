// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/datapath_reconciler.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "agent/log.h"
#include "loader/load_object.h"

namespace podlane {
namespace {

std::string name_of(const WantedHook& hook) {
    return fmt::format("{} {}", hook.device, to_string(hook.hook));
}

}  // namespace

Result<bool> DatapathReconciler::load(const datapath_config& config) {
    if (datapath_ && std::memcmp(&config, &loaded_config_, sizeof(config)) == 0) {
        return false;
    }
    const auto outdated = remove_outdated_pins(pins_);
    if (!outdated) {
        return std::unexpected(outdated.error());
    }
    for (const auto& name : *outdated) {
        log::info("map {}: made anew, the pinned one is missing or of another shape", name);
    }
    auto loaded = Datapath::load(pins_, config);
    if (!loaded) {
        return std::unexpected(loaded.error());
    }
    datapath_ = std::move(*loaded);
    loaded_config_ = config;
    settled_.clear();
    return true;
}

Result<void> DatapathReconciler::release(std::uint32_t ifindex) const {
    Result<void> all;
    for (const auto& found : attacher_.pinned()) {
        if (found.ifindex == ifindex) {
            if (auto detached = attacher_.detach(found); !detached && all) {
                all = std::move(detached);
            }
        }
    }
    return all;
}

HookReport DatapathReconciler::reconcile(const std::vector<WantedHook>& wanted, Sweep sweep) {
    HookReport report;
    const bool has_l3 = std::ranges::any_of(wanted, [](const WantedHook& one) {
        return one.hook == Hook::from_l3_uplink || one.hook == Hook::to_l3_uplink;
    });
    if (auto loaded = has_l3 ? datapath_->load_l3(pins_, loaded_config_) : Result<void>(); !loaded) {
        report.errors.push_back(loaded.error());
    }
    for (const auto& hook : wanted) {
        const int program = datapath_->program_fd(hook.hook);
        if (program < 0) {
            continue;  // load_l3 has told why
        }
        if (attacher_.is_attached(hook.hook, hook.ifindex, program)) {
            continue;
        }
        if (auto attached = attacher_.attach(hook.hook, hook.ifindex, program); !attached) {
            // A device that went since the devices were listed (a container's, on its way inside) tells of it itself.
            if (attached.error().code != ENODEV) {
                report.errors.push_back(
                    Error{attached.error().code, fmt::format("device {}: {}", hook.device, attached.error().message)});
            }
        } else {
            report.changes.push_back(fmt::format("attach {}", name_of(hook)));
            if (std::ranges::find(settled_, hook) != settled_.end()) {
                report.repairs.push_back(report.changes.back());
            }
        }
    }
    if (sweep == Sweep::remove) {
        detach_stale(wanted, report);
    }
    previous_ = wanted;
    settled_ = wanted;
    return report;
}

Result<std::vector<std::string>> DatapathReconciler::restore_pins() {
    if (auto created = pins_.create(); !created) {
        return std::unexpected(created.error());
    }
    auto restored = datapath_->restore_pins(pins_);
    if (restored) {
        for (auto& name : *restored) {
            name = fmt::format("pin map {}", name);
        }
    }
    return restored;
}

bool DatapathReconciler::is_wanted(const std::vector<WantedHook>& wanted, const Attachment& attachment) const {
    return std::ranges::any_of(
        wanted, [&](const WantedHook& one) { return attacher_.serves(attachment, one.hook, one.ifindex); });
}

// What may be attached: by pins always, by filters what an earlier agent left, the first time, and then our own.
std::vector<Attachment> DatapathReconciler::attachments() {
    auto found = attacher_.pinned();
    if (!swept_) {
        std::ranges::copy(Attacher::filters(), std::back_inserter(found));
        swept_ = true;
    } else if (attacher_.method() == AttachMethod::clsact) {
        for (const auto& hook : previous_) {
            found.push_back(
                {.hook = hook.hook, .ifindex = hook.ifindex, .method = AttachMethod::clsact, .alive = true});
        }
    }
    return found;
}

void DatapathReconciler::detach_stale(const std::vector<WantedHook>& wanted, HookReport& report) {
    for (const auto& found : attachments()) {
        if (is_wanted(wanted, found)) {
            continue;
        }
        if (auto detached = attacher_.detach(found); !detached) {
            report.errors.push_back(detached.error());
        } else if (found.alive) {
            report.changes.push_back(fmt::format("detach {} ({}) from device {}", to_string(found.hook),
                                                 to_string(found.method), found.ifindex));
        }
    }
}

std::vector<LinkItem> DatapathReconciler::inspect(const std::vector<WantedHook>& wanted) const {
    std::vector<LinkItem> items;
    for (const auto& hook : wanted) {
        const bool attached =
            datapath_ && attacher_.is_attached(hook.hook, hook.ifindex, datapath_->program_fd(hook.hook));
        items.push_back({.kind = "hook",
                         .name = name_of(hook),
                         .wanted = std::string(to_string(hook.hook)),
                         .actual = attached ? std::string(to_string(hook.hook)) : std::string(),
                         .state = attached ? LinkState::ok : LinkState::missing});
    }
    return items;
}

}  // namespace podlane
