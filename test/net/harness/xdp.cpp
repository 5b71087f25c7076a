// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/xdp.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

#include "test/net/harness/error.h"
#include "test/net/harness/process.h"

namespace podlane::net {
namespace {

int bpf(bpf_cmd command, bpf_attr& attributes) {
    return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof(attributes)));
}

Fd load_pass_program() {
    const std::array<bpf_insn, 2> pass = {{
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    }};
    constexpr std::string_view license = "GPL";
    bpf_attr attributes{};
    attributes.prog_type = BPF_PROG_TYPE_XDP;
    attributes.insns = reinterpret_cast<std::uintptr_t>(pass.data());
    attributes.insn_cnt = pass.size();
    attributes.license = reinterpret_cast<std::uintptr_t>(license.data());
    std::string_view("somebody_elses").copy(static_cast<char*>(attributes.prog_name), BPF_OBJ_NAME_LEN - 1);
    Fd program(bpf(BPF_PROG_LOAD, attributes));
    if (!program.valid()) {
        raise_errno("load an XDP program");
    }
    return program;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const XdpHook& hook) {
    return out << (hook.mode.empty() ? "nothing" : hook.mode) << " " << hook.program;
}

XdpHook xdp_hook(const DeviceRef& device) {
    const auto shown = nlohmann::json::parse(ip(device.ns, fmt::format("-j -d link show {}", device.name))).at(0);
    if (!shown.contains("xdp")) {
        return {};
    }
    const auto& xdp = shown.at("xdp");
    const int mode = xdp.at("mode").get<int>();
    return {.mode = mode == XDP_ATTACHED_DRV   ? "native"
                    : mode == XDP_ATTACHED_SKB ? "generic"
                                               : fmt::format("mode {}", mode),
            .program = xdp.at("prog").at("id").get<std::uint32_t>()};
}

ForeignXdp::ForeignXdp(const DeviceRef& device) : program_(load_pass_program()) {
    link_ = in_namespace(device.ns, [&] {
        bpf_attr attributes{};
        attributes.link_create.prog_fd = static_cast<__u32>(program_.get());
        attributes.link_create.target_ifindex = ::if_nametoindex(device.name.c_str());
        attributes.link_create.attach_type = BPF_XDP;
        attributes.link_create.flags = XDP_FLAGS_DRV_MODE;
        Fd link(bpf(BPF_LINK_CREATE, attributes));
        if (!link.valid()) {
            raise_errno("attach an XDP program to {}", device.name);
        }
        return link;
    });
}

void detach_link(const std::filesystem::path& pin) {
    const std::string path = pin.string();
    bpf_attr get{};
    get.pathname = reinterpret_cast<std::uintptr_t>(path.c_str());
    const Fd link(bpf(BPF_OBJ_GET, get));
    if (!link.valid()) {
        raise_errno("open {}", path);
    }
    bpf_attr detach{};
    detach.link_detach.link_fd = static_cast<__u32>(link.get());
    if (bpf(BPF_LINK_DETACH, detach) != 0) {
        raise_errno("detach {}", path);
    }
}

}  // namespace podlane::net
