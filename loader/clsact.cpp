// SPDX-License-Identifier: Apache-2.0
#include "loader/clsact.h"

#include <bpf/libbpf.h>

#include <cerrno>

#include "loader/libbpf_messages.h"

namespace podlane::clsact {
namespace {

// Priority and handle by which a filter is known to be ours ("pl" in ASCII).
constexpr std::uint32_t filter_priority = 0x706c;
constexpr std::uint32_t filter_handle = 0x706c;

bpf_tc_hook hook_of(std::uint32_t ifindex, bpf_tc_attach_point point) {
    bpf_tc_hook hook{};
    hook.sz = sizeof(hook);
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = point;
    return hook;
}

bpf_tc_hook hook_of(std::uint32_t ifindex, Direction direction) {
    return hook_of(ifindex, direction == Direction::ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS);
}

bpf_tc_opts our_filter() {
    bpf_tc_opts filter{};
    filter.sz = sizeof(filter);
    filter.handle = filter_handle;
    filter.priority = filter_priority;
    return filter;
}

}  // namespace

Result<void> attach(std::uint32_t ifindex, Direction direction, int program_fd) {
    const LibbpfMessages quiet;  // that the qdisc is there already is no news
    auto qdisc = hook_of(ifindex, static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
    if (const int error = bpf_tc_hook_create(&qdisc); error != 0 && error != -EEXIST) {
        return fail_errno(-error, "add a clsact qdisc to device {}", ifindex);
    }
    const auto hook = hook_of(ifindex, direction);
    auto filter = our_filter();
    filter.prog_fd = program_fd;
    filter.flags = BPF_TC_F_REPLACE;
    if (const int error = bpf_tc_attach(&hook, &filter); error != 0) {
        return fail_errno(-error, "attach a program to device {}", ifindex);
    }
    return {};
}

Result<void> detach(std::uint32_t ifindex, Direction direction) {
    const LibbpfMessages quiet;
    const auto hook = hook_of(ifindex, direction);
    const auto filter = our_filter();
    const int error = bpf_tc_detach(&hook, &filter);
    if (error != 0 && error != -ENOENT && error != -EINVAL && error != -ENODEV) {
        return fail_errno(-error, "detach a program from device {}", ifindex);
    }
    return {};
}

std::uint32_t attached_program(std::uint32_t ifindex, Direction direction) {
    const LibbpfMessages quiet;
    const auto hook = hook_of(ifindex, direction);
    auto filter = our_filter();
    return bpf_tc_query(&hook, &filter) == 0 ? filter.prog_id : 0;
}

}  // namespace podlane::clsact
