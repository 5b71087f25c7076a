// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "maps/base/fd.h"

namespace podlane {
namespace {

std::string path_of(std::string_view key) {
    return fmt::format("/proc/sys/{}", key);
}

// A container's own /proc/sys cannot be written to; its manifest mounts the host's here.
std::string path_in_container(std::string_view key) {
    return fmt::format("/host/proc/sys/{}", key);
}

Result<void> write_file(const std::string& path, std::string_view value) {
    const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid() || ::write(file.get(), value.data(), value.size()) < 0) {
        return fail_errno(errno, "write {} to {}", value, path);
    }
    return {};
}

}  // namespace

Result<std::string> read_sysctl(std::string_view key) {
    const auto path = path_of(key);
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) {
        return fail_errno(errno, "read {}", path);
    }
    std::array<char, 256> text{};  // settings of podlane's are single numbers
    const ssize_t size = ::read(file.get(), text.data(), text.size());
    if (size < 0) {
        return fail_errno(errno, "read {}", path);
    }
    std::string value(text.data(), static_cast<std::size_t>(size));
    while (!value.empty() && value.back() == '\n') {
        value.pop_back();
    }
    return value;
}

Result<void> write_sysctl(std::string_view key, std::string_view value) {
    const auto written = write_file(path_of(key), value);
    if (written || written.error().code != EROFS) {
        return written;
    }
    const auto elsewhere = write_file(path_in_container(key), value);
    // Without the mount it is the first refusal that explains.
    return elsewhere || elsewhere.error().code != ENOENT ? elsewhere : written;
}

}  // namespace podlane
