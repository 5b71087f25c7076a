// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "maps/base/fd.h"
#include "maps/base/result.h"

namespace podlane::cni {

// The container's network namespace and, to come back to, our own. The process is single-threaded: setns() moves all
// of it.
class Sandbox {
public:
    // Errors: ENOENT where nothing is at `path`; EINVAL where it is no network namespace, or our own.
    [[nodiscard]] static Result<Sandbox> open(const std::string& path);

    [[nodiscard]] int fd() const { return target_.get(); }
    [[nodiscard]] int own_fd() const { return own_.get(); }

    // Runs `action` inside. What it opens there (sockets) stays bound to the container's namespace.
    template <typename Action>
    [[nodiscard]] auto inside(Action action) const -> decltype(action()) {
        if (::setns(target_.get(), CLONE_NEWNET) < 0) {
            return fail_errno(errno, "enter the network namespace {}", path_);
        }
        auto result = action();
        if (::setns(own_.get(), CLONE_NEWNET) < 0) {
            // Going on would configure the host's devices in the container.
            std::perror("podlane: cannot leave the container's network namespace");
            std::abort();
        }
        return result;
    }

private:
    Sandbox(std::string path, Fd target, Fd own)
        : path_(std::move(path)), target_(std::move(target)), own_(std::move(own)) {}

    std::string path_;
    Fd target_;
    Fd own_;
};

}  // namespace podlane::cni
