// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/sandbox.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

namespace podlane::cni {

Result<Sandbox> Sandbox::open(const std::string& path) {
    Fd target(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!target.valid()) {
        return fail_errno(errno, "open the network namespace {}", path);
    }
    if (::ioctl(target.get(), NS_GET_NSTYPE) != CLONE_NEWNET) {
        return std::unexpected(Error{EINVAL, fmt::format("{} is not a network namespace", path)});
    }
    Fd own(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!own.valid()) {
        return fail_errno(errno, "open our own network namespace");
    }
    struct stat there{};
    struct stat here{};
    if (::fstat(target.get(), &there) < 0 || ::fstat(own.get(), &here) < 0) {
        return fail_errno(errno, "stat the network namespace {}", path);
    }
    if (there.st_dev == here.st_dev && there.st_ino == here.st_ino) {
        return std::unexpected(Error{EINVAL, fmt::format("{} is the host's own network namespace", path)});
    }
    return Sandbox(path, std::move(target), std::move(own));
}

}  // namespace podlane::cni
