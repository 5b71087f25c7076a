// SPDX-License-Identifier: Apache-2.0
#include "loader/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "maps/base/fd.h"

namespace podlane {
namespace {

struct HookTraits {
    Hook hook;
    std::string_view name;
    bpf_attach_type tcx;
    bpf_tc_attach_point clsact;
};

constexpr std::array<HookTraits, 6> hooks = {{
    {Hook::from_pod, "from-pod", BPF_TCX_INGRESS, BPF_TC_INGRESS},
    {Hook::to_pod, "to-pod", BPF_TCX_EGRESS, BPF_TC_EGRESS},
    {Hook::from_underlay, "from-underlay", BPF_TCX_INGRESS, BPF_TC_INGRESS},
    {Hook::to_underlay, "to-underlay", BPF_TCX_EGRESS, BPF_TC_EGRESS},
    {Hook::from_overlay, "from-overlay", BPF_TCX_INGRESS, BPF_TC_INGRESS},
    {Hook::to_overlay, "to-overlay", BPF_TCX_EGRESS, BPF_TC_EGRESS},
}};

const HookTraits& traits_of(Hook hook) {
    return hooks[static_cast<std::size_t>(hook)];
}

// Priority and handle by which a clsact filter is known to be ours ("pl" in ASCII).
constexpr std::uint32_t filter_priority = 0x706c;
constexpr std::uint32_t filter_handle = 0x706c;

std::uint32_t program_id(int program_fd) {
    bpf_prog_info info{};
    __u32 length = sizeof(info);
    return bpf_obj_get_info_by_fd(program_fd, &info, &length) == 0 ? info.id : 0;
}

struct LinkTarget {
    std::uint32_t ifindex = 0;  // 0: the device is gone
    std::uint32_t program = 0;
};

LinkTarget target_of(const Fd& link) {
    bpf_link_info info{};
    __u32 length = sizeof(info);
    if (!link.valid() || bpf_obj_get_info_by_fd(link.get(), &info, &length) != 0 || info.type != BPF_LINK_TYPE_TCX) {
        return {};
    }
    return {.ifindex = info.tcx.ifindex, .program = info.prog_id};
}

// "<hook>-<ifindex>" back into what it names.
std::optional<Attachment> parse_pin_name(std::string_view name) {
    for (const auto& traits : hooks) {
        if (!name.starts_with(traits.name) || name.size() <= traits.name.size() + 1) {
            continue;
        }
        const auto number = name.substr(traits.name.size() + 1);
        std::uint32_t ifindex = 0;
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), ifindex);
        if (error == std::errc{} && end == number.data() + number.size()) {
            return Attachment{.hook = traits.hook, .ifindex = ifindex, .alive = false};
        }
    }
    return std::nullopt;
}

bpf_tc_hook clsact_hook(Hook hook, std::uint32_t ifindex) {
    bpf_tc_hook tc_hook{};
    tc_hook.sz = sizeof(tc_hook);
    tc_hook.ifindex = static_cast<int>(ifindex);
    tc_hook.attach_point = traits_of(hook).clsact;
    return tc_hook;
}

bpf_tc_opts clsact_filter() {
    bpf_tc_opts filter{};
    filter.sz = sizeof(filter);
    filter.handle = filter_handle;
    filter.priority = filter_priority;
    return filter;
}

}  // namespace

std::string_view to_string(Hook hook) {
    return traits_of(hook).name;
}

std::string Attacher::link_pin(Hook hook, std::uint32_t ifindex) const {
    return pins_.link(fmt::format("{}-{}", to_string(hook), ifindex));
}

Result<void> Attacher::attach(Hook hook, std::uint32_t ifindex, int program_fd) const {
    return method_ == AttachMethod::tcx ? attach_tcx(hook, ifindex, program_fd)
                                        : attach_clsact(hook, ifindex, program_fd);
}

Result<void> Attacher::attach_tcx(Hook hook, std::uint32_t ifindex, int program_fd) const {
    const auto pin = link_pin(hook, ifindex);
    const Fd existing(bpf_obj_get(pin.c_str()));
    if (target_of(existing).ifindex == ifindex) {
        if (bpf_link_update(existing.get(), program_fd, nullptr) != 0) {
            return fail_errno(errno, "replace program {} on device {}", to_string(hook), ifindex);
        }
        return {};
    }
    if (existing.valid()) {
        unlink(pin.c_str());  // of an earlier device that had this index
    }
    const Fd link(bpf_link_create(program_fd, static_cast<int>(ifindex), traits_of(hook).tcx, nullptr));
    if (!link.valid()) {
        return fail_errno(errno, "attach program {} to device {}", to_string(hook), ifindex);
    }
    if (bpf_obj_pin(link.get(), pin.c_str()) != 0) {
        return fail_errno(errno, "pin link {}", pin);
    }
    return {};
}

Result<void> Attacher::attach_clsact(Hook hook, std::uint32_t ifindex, int program_fd) const {
    auto tc_hook = clsact_hook(hook, ifindex);
    auto qdisc = tc_hook;
    qdisc.attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS);
    if (const int error = bpf_tc_hook_create(&qdisc); error != 0 && error != -EEXIST) {
        return fail_errno(-error, "add a clsact qdisc to device {}", ifindex);
    }
    auto filter = clsact_filter();
    filter.prog_fd = program_fd;
    filter.flags = BPF_TC_F_REPLACE;
    if (const int error = bpf_tc_attach(&tc_hook, &filter); error != 0) {
        return fail_errno(-error, "attach program {} to device {}", to_string(hook), ifindex);
    }
    return {};
}

Result<void> Attacher::detach(Hook hook, std::uint32_t ifindex) const {
    if (method_ == AttachMethod::clsact) {
        return detach_clsact(hook, ifindex);
    }
    const auto pin = link_pin(hook, ifindex);
    if (unlink(pin.c_str()) != 0 && errno != ENOENT) {
        return fail_errno(errno, "remove pin {}", pin);
    }
    return {};
}

Result<void> Attacher::detach_clsact(Hook hook, std::uint32_t ifindex) const {
    // The qdisc stays: other people's filters may hang on it, and an empty one costs nothing.
    const auto tc_hook = clsact_hook(hook, ifindex);
    const auto filter = clsact_filter();
    const int error = bpf_tc_detach(&tc_hook, &filter);
    if (error != 0 && error != -ENOENT && error != -EINVAL && error != -ENODEV) {
        return fail_errno(-error, "detach program {} from device {}", to_string(hook), ifindex);
    }
    return {};
}

bool Attacher::is_attached(Hook hook, std::uint32_t ifindex, int program_fd) const {
    const auto wanted = program_id(program_fd);
    if (method_ == AttachMethod::tcx) {
        const Fd link(bpf_obj_get(link_pin(hook, ifindex).c_str()));
        const auto target = target_of(link);
        return target.ifindex == ifindex && target.program == wanted;
    }
    const auto tc_hook = clsact_hook(hook, ifindex);
    auto filter = clsact_filter();
    return bpf_tc_query(&tc_hook, &filter) == 0 && filter.prog_id == wanted;
}

std::vector<Attachment> Attacher::pinned() const {
    std::vector<Attachment> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(pins_.links(), error)) {
        auto attachment = parse_pin_name(entry.path().filename().string());
        if (attachment) {
            const Fd link(bpf_obj_get(entry.path().c_str()));
            attachment->alive = target_of(link).ifindex == attachment->ifindex;
            found.push_back(*attachment);
        }
    }
    return found;
}

std::vector<Hook> Attacher::filters_on(std::uint32_t ifindex) const {
    std::vector<Hook> found;
    for (const auto hook : {Hook::from_pod, Hook::to_pod}) {
        const auto tc_hook = clsact_hook(hook, ifindex);
        auto filter = clsact_filter();
        if (bpf_tc_query(&tc_hook, &filter) == 0) {
            found.push_back(hook);
        }
    }
    return found;
}

}  // namespace podlane
