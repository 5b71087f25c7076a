// SPDX-License-Identifier: Apache-2.0
#include "loader/guard_link.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "loader/libbpf_messages.h"
#include "maps/base/fd.h"

namespace podlane {
namespace {

constexpr std::string_view pin_prefix = "underlay-guard-";

// Ids of what runs on a device, by place; 0: nothing.
struct DevicePrograms {
    std::uint32_t native = 0;
    std::uint32_t generic = 0;
    std::uint32_t hardware = 0;
};

DevicePrograms programs_of(std::uint32_t ifindex) {
    const LibbpfMessages quiet;
    LIBBPF_OPTS(bpf_xdp_query_opts, options);
    if (bpf_xdp_query(static_cast<int>(ifindex), 0, &options) != 0) {
        return {};
    }
    return {.native = options.drv_prog_id, .generic = options.skb_prog_id, .hardware = options.hw_prog_id};
}

// The program that the link runs on the device; 0: it was taken off, or is another device's.
std::uint32_t program_of(const Fd& link, std::uint32_t ifindex) {
    bpf_link_info info{};
    __u32 length = sizeof(info);
    if (!link.valid() || bpf_obj_get_info_by_fd(link.get(), &info, &length) != 0 || info.type != BPF_LINK_TYPE_XDP ||
        info.xdp.ifindex != ifindex) {
        return 0;
    }
    return info.prog_id;
}

// Of an error of bpf_link_create(): EBUSY and EEXIST are another program's place, the others the kernel's want of
// something (memory, a descriptor, a right, the device itself).
bool is_drivers(int code) {
    constexpr std::array not_the_drivers = {EBUSY, EEXIST, ENOMEM, EMFILE, ENFILE, EPERM, ENODEV};
    return std::ranges::find(not_the_drivers, code) == not_the_drivers.end();
}

std::optional<std::uint32_t> device_of(std::string_view pin_name) {
    if (!pin_name.starts_with(pin_prefix)) {
        return std::nullopt;
    }
    const auto number = pin_name.substr(pin_prefix.size());
    std::uint32_t ifindex = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), ifindex);
    return error == std::errc{} && end == number.data() + number.size() ? std::optional(ifindex) : std::nullopt;
}

}  // namespace

std::string_view to_string(GuardMode mode) {
    return mode == GuardMode::native ? "native" : "generic";
}

std::string describe_program(std::uint32_t id) {
    const Fd program(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    __u32 length = sizeof(info);
    const bool known = program.valid() && bpf_obj_get_info_by_fd(program.get(), &info, &length) == 0;
    return fmt::format("{} (id {})", known && info.name[0] != 0 ? info.name : "a program", id);
}

std::string GuardLinks::pin(std::uint32_t ifindex) const {
    return pins_.link(fmt::format("{}{}", pin_prefix, ifindex));
}

std::optional<AttachedGuard> GuardLinks::attached(std::uint32_t ifindex) const {
    const Fd link(bpf_obj_get(pin(ifindex).c_str()));
    const auto program = program_of(link, ifindex);
    if (program == 0) {
        return std::nullopt;
    }
    const auto running = programs_of(ifindex);
    if (running.native == program) {
        return AttachedGuard{GuardMode::native, program};
    }
    return running.generic == program ? std::optional(AttachedGuard{GuardMode::generic, program}) : std::nullopt;
}

std::uint32_t GuardLinks::foreign_program(std::uint32_t ifindex) const {
    const Fd link(bpf_obj_get(pin(ifindex).c_str()));
    const auto ours = program_of(link, ifindex);
    const auto running = programs_of(ifindex);
    for (const auto program : {running.native, running.generic, running.hardware}) {
        if (program != 0 && program != ours) {
            return program;
        }
    }
    return 0;
}

std::expected<void, AttachFailure> GuardLinks::attach(std::uint32_t ifindex, int program_fd, GuardMode mode) const {
    const auto ours = [](auto failure) { return std::unexpected(AttachFailure{.error = failure.error()}); };
    const auto current = attached(ifindex);
    if (current && current->mode == mode) {
        const Fd link(bpf_obj_get(pin(ifindex).c_str()));
        if (bpf_link_update(link.get(), program_fd, nullptr) != 0) {
            return ours(fail_errno(errno, "replace the XDP program of device {}", ifindex));
        }
        return {};
    }
    if (auto detached = detach(ifindex); !detached) {
        return ours(detached);
    }
    // A link that then cannot be pinned would come and go at every try, on many drivers with a reset of their rings.
    if (std::error_code error; !std::filesystem::is_directory(pins_.links(), error)) {
        return ours(fail("there is no directory {} for the link's pin", pins_.links().string()));
    }
    LIBBPF_OPTS(bpf_link_create_opts, options);
    options.flags = mode == GuardMode::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    const Fd link(bpf_link_create(program_fd, static_cast<int>(ifindex), BPF_XDP, &options));
    if (!link.valid()) {
        const int code = errno;
        return std::unexpected(
            AttachFailure{.error = fail_errno(code, "attach an XDP program to device {}", ifindex).error(),
                          .by_driver = is_drivers(code)});
    }
    if (bpf_obj_pin(link.get(), pin(ifindex).c_str()) != 0) {
        return ours(fail_errno(errno, "pin link {}", pin(ifindex)));
    }
    return {};
}

// Detached before the pin goes: a link that only a pin held ends some time after it, and the hook must be free now.
Result<void> GuardLinks::detach(std::uint32_t ifindex) const {
    const auto path = pin(ifindex);
    if (const Fd link(bpf_obj_get(path.c_str())); link.valid()) {
        bpf_link_detach(link.get());
    }
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        return fail_errno(errno, "remove pin {}", path);
    }
    return {};
}

std::vector<std::uint32_t> GuardLinks::pinned() const {
    std::vector<std::uint32_t> devices;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(pins_.links(), error)) {
        if (const auto ifindex = device_of(entry.path().filename().string())) {
            devices.push_back(*ifindex);
        }
    }
    return devices;
}

}  // namespace podlane
