// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <future>
#include <string>
#include <string_view>
#include <utility>

#include "maps/base/fd.h"

namespace podlane::net {

// A network namespace, named under /run/netns for as long as it lives, with its loopback up. A socket belongs to the
// namespace it was made in, whichever thread uses it later: see in_namespace.
class Namespace {
public:
    // The name is `label` and a suffix that makes it unique in the machine.
    explicit Namespace(std::string_view label);
    // One that somebody else has made, a container runtime say. It stays until this is gone, its maker may end before.
    [[nodiscard]] static Namespace of_another(std::string_view name, const std::filesystem::path& path) {
        return {name, path};
    }
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;
    ~Namespace();

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] int fd() const { return fd_.get(); }
    void enter_this_thread() const;

private:
    Namespace(std::string_view name, const std::filesystem::path& path);

    std::string name_;
    std::filesystem::path path_;
    Fd fd_;
    bool named_ = true;  // by us, under /run/netns
};

// Calls `function` in a thread that has entered `ns`, and hands on what it returns or throws. /sys is not remounted.
template <typename Function>
auto in_namespace(const Namespace& ns, Function&& function) {
    return std::async(std::launch::async,
                      [&ns, &function] {
                          ns.enter_this_thread();
                          return std::forward<Function>(function)();
                      })
        .get();
}

// Writes /proc/sys/<key> of `ns`; `key` is a path: "net/ipv4/ip_forward".
void set_sysctl(const Namespace& ns, std::string_view key, std::string_view value);
[[nodiscard]] std::string get_sysctl(const Namespace& ns, std::string_view key);

}  // namespace podlane::net
