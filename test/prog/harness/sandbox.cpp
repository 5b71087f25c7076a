// SPDX-License-Identifier: Apache-2.0
#include "test/prog/harness/sandbox.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace podlane::prog {
namespace {

constexpr const char* scratch_path = "/run/podlane-prog-test";

}  // namespace

Result<void> enter_sandbox() {
    if (::geteuid() != 0) {
        return fail("needs root: BPF and network namespaces");
    }
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) {
        return fail_errno(errno, "unshare the mount and network namespaces");
    }
    if (::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return fail_errno(errno, "make the mounts private");
    }
    std::error_code error;
    std::filesystem::create_directories(scratch_path, error);
    if (error) {
        return fail_errno(error.value(), "create {}", scratch_path);
    }
    if (::mount("tmpfs", scratch_path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") != 0) {
        return fail_errno(errno, "mount a tmpfs on {}", scratch_path);
    }
    return {};
}

std::filesystem::path scratch_dir() {
    return scratch_path;
}

}  // namespace podlane::prog
