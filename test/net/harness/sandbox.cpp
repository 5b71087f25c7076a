// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/sandbox.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace podlane::net {
namespace {

constexpr const char* scratch_path = "/run/podlane-net-test";

Result<void> cover_with_tmpfs(const char* path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) {
        return fail_errno(error.value(), "create {}", path);
    }
    if (::mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0) {
        return fail_errno(errno, "mount a tmpfs on {}", path);
    }
    return {};
}

}  // namespace

Result<void> enter_sandbox() {
    if (::geteuid() != 0) {
        return fail("needs root: network namespaces and BPF");
    }
    if (::unshare(CLONE_NEWNS) != 0) {
        return fail_errno(errno, "unshare the mount namespace");
    }
    if (::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return fail_errno(errno, "make the mounts private");
    }
    for (const char* path : {"/run/netns", "/var/lib/cni", scratch_path}) {
        if (auto covered = cover_with_tmpfs(path); !covered) {
            return covered;
        }
    }
    return {};
}

std::filesystem::path scratch_dir() {
    return scratch_path;
}

std::filesystem::path program_dir() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

}  // namespace podlane::net
