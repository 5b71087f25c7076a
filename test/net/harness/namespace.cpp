// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iostream>

#include "test/net/harness/error.h"
#include "test/net/harness/process.h"

namespace podlane::net {
namespace {

std::string unique_name(std::string_view label) {
    static std::atomic<unsigned> next{0};
    return fmt::format("{}-{}-{}", label, ::getpid(), next++);
}

void bind_new_namespace(const std::filesystem::path& path) {
    if (::unshare(CLONE_NEWNET) != 0) {
        raise_errno("unshare the network namespace");
    }
    if (::mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
        raise_errno("bind a network namespace to {}", path.string());
    }
}

}  // namespace

Namespace::Namespace(std::string_view label)
    : name_(unique_name(label)), path_(std::filesystem::path("/run/netns") / name_) {
    const Fd file(::open(path_.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
    if (!file.valid()) {
        raise_errno("create {}", path_.string());
    }
    std::async(std::launch::async, [this] { bind_new_namespace(path_); }).get();
    fd_.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd_.valid()) {
        raise_errno("open {}", path_.string());
    }
    ip(*this, "link set lo up");
}

Namespace::Namespace(std::string_view name, const std::filesystem::path& path)
    : name_(name), path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), named_(false) {
    if (!fd_.valid()) {
        raise_errno("open {}", path_.string());
    }
}

Namespace::~Namespace() {
    fd_.reset();
    if (!named_) {
        return;
    }
    if (::umount2(path_.c_str(), MNT_DETACH) != 0 || ::unlink(path_.c_str()) != 0) {
        std::cerr << "remove " << path_ << ": " << std::generic_category().message(errno) << '\n';
    }
}

void Namespace::enter_this_thread() const {
    if (::setns(fd_.get(), CLONE_NEWNET) != 0) {
        raise_errno("enter {}", name_);
    }
}

void set_sysctl(const Namespace& ns, std::string_view key, std::string_view value) {
    in_namespace(ns, [&] {
        std::ofstream file(fmt::format("/proc/sys/{}", key));
        file << value << std::flush;
        if (!file) {
            raise_errno("write {} to sysctl {} of {}", value, key, ns.name());
        }
    });
}

std::string get_sysctl(const Namespace& ns, std::string_view key) {
    return in_namespace(ns, [&] {
        std::ifstream file(fmt::format("/proc/sys/{}", key));
        std::string value;
        if (!std::getline(file, value)) {
            raise_errno("read sysctl {} of {}", key, ns.name());
        }
        return value;
    });
}

}  // namespace podlane::net
