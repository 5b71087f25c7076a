// SPDX-License-Identifier: Apache-2.0
#include "loader/probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <cerrno>

#include "maps/base/fd.h"

namespace podlane {
namespace {

// The loopback device exists in every network namespace, with this index.
constexpr int loopback_ifindex = 1;

Result<void> probe_bpf() {
    Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "podlane_probe", sizeof(__u32), sizeof(__u32), 1, nullptr));
    if (map.valid()) {
        return {};
    }
    if (errno == EPERM) {
        return fail("not permitted to use BPF: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
    }
    return fail_errno(errno, "this kernel cannot create a BPF map (CONFIG_BPF_SYSCALL)");
}

bool has_tcx() {
    LIBBPF_OPTS(bpf_prog_query_opts, options);
    return bpf_prog_query_opts(loopback_ifindex, BPF_TCX_INGRESS, &options) == 0;
}

}  // namespace

Result<KernelFeatures> probe_kernel() {
    if (auto usable = probe_bpf(); !usable) {
        return std::unexpected(usable.error());
    }
    if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, nullptr) != 1) {
        return fail("this kernel cannot load tc programs (BPF_PROG_TYPE_SCHED_CLS; Linux 5.10 has them)");
    }
    if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_redirect_peer, nullptr) != 1) {
        return fail("this kernel lacks the helper bpf_redirect_peer, which Linux 5.10 has");
    }
    return KernelFeatures{.attach = has_tcx() ? AttachMethod::tcx : AttachMethod::clsact};
}

}  // namespace podlane
