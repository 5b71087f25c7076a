// SPDX-License-Identifier: Apache-2.0
#include "loader/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <memory>

#include "loader/clsact.h"
#include "maps/base/fd.h"

namespace podlane {
namespace {

struct HookTraits {
    Hook hook;
    std::string_view name;
    bpf_attach_type tcx;
    clsact::Direction direction;
};

constexpr std::array<HookTraits, 11> hooks = {{
    {Hook::from_pod, "from-pod", BPF_TCX_INGRESS, clsact::Direction::ingress},
    {Hook::to_pod, "to-pod", BPF_TCX_EGRESS, clsact::Direction::egress},
    {Hook::from_underlay, "from-underlay", BPF_TCX_INGRESS, clsact::Direction::ingress},
    {Hook::to_underlay, "to-underlay", BPF_TCX_EGRESS, clsact::Direction::egress},
    {Hook::from_overlay, "from-overlay", BPF_TCX_INGRESS, clsact::Direction::ingress},
    {Hook::to_overlay, "to-overlay", BPF_TCX_EGRESS, clsact::Direction::egress},
    {Hook::from_uplink, "from-uplink", BPF_TCX_INGRESS, clsact::Direction::ingress},
    {Hook::from_l3_uplink, "from-l3-uplink", BPF_TCX_INGRESS, clsact::Direction::ingress},
    {Hook::to_l3_uplink, "to-l3-uplink", BPF_TCX_EGRESS, clsact::Direction::egress},
    {Hook::from_shim, "from-shim", BPF_TCX_INGRESS, clsact::Direction::ingress},
    {Hook::to_shim, "to-shim", BPF_TCX_EGRESS, clsact::Direction::egress},
}};

const HookTraits& traits_of(Hook hook) {
    return hooks[static_cast<std::size_t>(hook)];
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
            return Attachment{.hook = traits.hook, .ifindex = ifindex, .method = AttachMethod::tcx, .alive = false};
        }
    }
    return std::nullopt;
}

}  // namespace

std::uint32_t program_id(int program_fd) {
    bpf_prog_info info{};
    __u32 length = sizeof(info);
    return bpf_obj_get_info_by_fd(program_fd, &info, &length) == 0 ? info.id : 0;
}

std::string_view to_string(Hook hook) {
    return traits_of(hook).name;
}

std::string Attacher::link_pin(Hook hook, std::uint32_t ifindex) const {
    return pins_.link(fmt::format("{}-{}", to_string(hook), ifindex));
}

Result<void> Attacher::attach(Hook hook, std::uint32_t ifindex, int program_fd) const {
    const auto direction = traits_of(hook).direction;
    if (program_fd < 0) {
        return fail("attach to device {}: program {} is not loaded", ifindex, to_string(hook));
    }
    if (method_ == AttachMethod::tcx) {
        auto attached = attach_link(hook, ifindex, program_fd);
        return attached ? clsact::detach(ifindex, direction) : attached;
    }
    auto attached = clsact::attach(ifindex, direction, program_fd);
    return attached ? remove_pin(hook, ifindex) : attached;
}

Result<void> Attacher::attach_link(Hook hook, std::uint32_t ifindex, int program_fd) const {
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

Result<void> Attacher::detach(const Attachment& attachment) const {
    return attachment.method == AttachMethod::tcx
               ? remove_pin(attachment.hook, attachment.ifindex)
               : clsact::detach(attachment.ifindex, traits_of(attachment.hook).direction);
}

// A link lives by its pin alone, but ends some time after it: detached first, nothing runs when this returns.
Result<void> Attacher::remove_pin(Hook hook, std::uint32_t ifindex) const {
    const auto pin = link_pin(hook, ifindex);
    if (const Fd link(bpf_obj_get(pin.c_str())); link.valid()) {
        bpf_link_detach(link.get());  // fails for a device that is gone
    }
    if (unlink(pin.c_str()) != 0 && errno != ENOENT) {
        return fail_errno(errno, "remove pin {}", pin);
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
    return wanted != 0 && clsact::attached_program(ifindex, traits_of(hook).direction) == wanted;
}

bool Attacher::is_occupied(Hook hook, std::uint32_t ifindex) const {
    const Fd link(bpf_obj_get(link_pin(hook, ifindex).c_str()));
    return target_of(link).ifindex == ifindex || clsact::attached_program(ifindex, traits_of(hook).direction) != 0;
}

bool Attacher::serves(const Attachment& attachment, Hook hook, std::uint32_t ifindex) const {
    if (attachment.method != method_ || attachment.ifindex != ifindex) {
        return false;
    }
    return method_ == AttachMethod::tcx ? attachment.hook == hook
                                        : traits_of(attachment.hook).direction == traits_of(hook).direction;
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

std::vector<Attachment> Attacher::filters() {
    struct FreeNames {
        void operator()(struct if_nameindex* names) const { if_freenameindex(names); }
    };
    std::vector<Attachment> found;
    const std::unique_ptr<struct if_nameindex, FreeNames> devices(if_nameindex());
    for (const auto* device = devices.get(); device != nullptr && device->if_index != 0; ++device) {
        for (const auto hook : {Hook::from_pod, Hook::to_pod}) {
            if (clsact::attached_program(device->if_index, traits_of(hook).direction) != 0) {
                found.push_back(
                    {.hook = hook, .ifindex = device->if_index, .method = AttachMethod::clsact, .alive = true});
            }
        }
    }
    return found;
}

}  // namespace podlane
