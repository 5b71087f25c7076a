// SPDX-License-Identifier: Apache-2.0
#include "loader/probe_memory.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/resource.h>

#include <cerrno>

#include "maps/base/fd.h"

namespace podlane {
namespace {

// The errno of making the smallest map; 0: it was made. Without a name: for one libbpf would try whether the kernel
// takes names, find out that nothing may be loaded within the limit, and go without names ever after.
int try_map() {
    const Fd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, nullptr, sizeof(__u32), sizeof(__u32), 1, nullptr));
    return map.valid() ? 0 : errno;
}

int try_map_within(const rlimit& limit) {
    rlimit original{};
    if (getrlimit(RLIMIT_MEMLOCK, &original) != 0 || setrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        return errno;
    }
    const int refused = try_map();
    setrlimit(RLIMIT_MEMLOCK, &original);  // the hard limit has not moved, so nothing refuses this
    return refused;
}

Result<void> raise_limit() {
    const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    if (setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0) {
        return {};
    }
    const int refused = errno;
    if (try_map() == EPERM) {
        return std::unexpected(no_privileges());
    }
    return fail_errno(refused,
                      "raise RLIMIT_MEMLOCK, to which this kernel charges BPF maps (Linux 5.11 charges the control "
                      "group); give CAP_SYS_RESOURCE or an infinite limit");
}

}  // namespace

Error no_privileges() {
    return {.code = EPERM,
            .message =
                "not permitted to use BPF: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and "
                "before Linux 5.11 CAP_SYS_RESOURCE"};
}

Result<MemoryAccounting> probe_memory(const FeatureSet& without) {
    // libbpf would raise the limit behind our back, and keep silent when that is refused.
    libbpf_set_memlock_rlim(0);
    rlimit limit{};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        return fail_errno(errno, "read RLIMIT_MEMLOCK");
    }
    // No privilege helps a map past this limit, where the kernel looks at it at all.
    limit.rlim_cur = 0;
    const int refused = try_map_within(limit);
    if (refused != 0 && refused != EPERM) {
        return fail_errno(refused, "this kernel cannot create a BPF map (CONFIG_BPF_SYSCALL)");
    }
    if (refused == 0 && !without.contains(Feature::cgroup_memory)) {
        return MemoryAccounting::cgroup;
    }
    if (auto raised = raise_limit(); !raised) {
        return std::unexpected(raised.error());
    }
    if (try_map() == EPERM) {
        return std::unexpected(no_privileges());
    }
    return MemoryAccounting::rlimit;
}

}  // namespace podlane
