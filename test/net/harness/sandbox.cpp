// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "maps/base/fd.h"

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

// iptables' lock is one for the machine; what holds it here is none of other test processes' business.
Result<void> cover_iptables_lock() {
    constexpr const char* lock = "/run/xtables.lock";
    const auto own = std::string(scratch_path) + "/xtables.lock";
    for (const char* path : {lock, own.c_str()}) {
        if (!Fd(::open(path, O_RDONLY | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR)).valid()) {
            return fail_errno(errno, "create {}", path);
        }
    }
    if (::mount(own.c_str(), lock, nullptr, MS_BIND, nullptr) != 0) {
        return fail_errno(errno, "mount over {}", lock);
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
    return cover_iptables_lock();
}

std::filesystem::path scratch_dir() {
    return scratch_path;
}

std::filesystem::path program_dir() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

}  // namespace podlane::net
