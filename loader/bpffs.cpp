// SPDX-License-Identifier: Apache-2.0
#include "loader/bpffs.h"

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <system_error>

#include "maps/schema/version.h"

namespace podlane {
namespace {

bool is_bpffs(const std::filesystem::path& path) {
    struct statfs info{};
    return statfs(path.c_str(), &info) == 0 && info.f_type == BPF_FS_MAGIC;
}

Result<void> make_directory(const std::filesystem::path& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) {
        return fail_errno(error.value(), "create directory {}", path.string());
    }
    return {};
}

}  // namespace

PinDirectory::PinDirectory(std::filesystem::path root)
    : root_(std::move(root)), version_(root_ / fmt::format("v{}", PODLANE_SCHEMA_VERSION)) {}

Result<void> PinDirectory::create() const {
    const auto mount_point = root_.parent_path();
    if (auto made = make_directory(mount_point); !made) {
        return made;
    }
    if (!is_bpffs(mount_point) && !is_bpffs(root_)) {
        if (mount("bpf", mount_point.c_str(), "bpf", 0, "mode=0700") != 0) {
            return fail_errno(errno, "mount a bpffs at {}", mount_point.string());
        }
    }
    for (const auto& directory : {version_ / "maps", version_ / "links"}) {
        if (auto made = make_directory(directory); !made) {
            return made;
        }
    }
    if (!is_bpffs(version_)) {
        return fail("{} is not on a bpffs", root_.string());
    }
    chmod(root_.c_str(), S_IRWXU);
    return {};
}

std::filesystem::path PinDirectory::map(std::string_view name) const {
    return version_ / "maps" / name;
}

std::filesystem::path PinDirectory::links() const {
    return version_ / "links";
}

std::filesystem::path PinDirectory::link(std::string_view name) const {
    return links() / name;
}

std::vector<std::filesystem::path> PinDirectory::pins() const {
    std::vector<std::filesystem::path> found;
    std::error_code error;
    for (auto it = std::filesystem::recursive_directory_iterator(root_, error);
         !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
        if (!it->is_directory(error)) {
            found.push_back(it->path());
        }
    }
    return found;
}

Result<void> PinDirectory::remove() const {
    std::error_code error;
    std::filesystem::remove_all(root_, error);
    if (error) {
        return fail_errno(error.value(), "remove {}", root_.string());
    }
    return {};
}

}  // namespace podlane
