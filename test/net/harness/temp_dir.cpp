// SPDX-License-Identifier: Apache-2.0
#include "test/net/harness/temp_dir.h"

#include <sys/mount.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <ranges>
#include <string>
#include <system_error>
#include <vector>

#include "test/net/harness/error.h"
#include "test/net/harness/sandbox.h"

namespace podlane::net {
namespace {

// Mount points at or below `path`, innermost last (the order of mountinfo).
std::vector<std::string> mounts_below(const std::filesystem::path& path) {
    std::vector<std::string> found;
    std::ifstream mounts("/proc/self/mountinfo");
    const std::string prefix = path.string() + "/";
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream fields(line);
        std::string id, parent, device, root, point;
        fields >> id >> parent >> device >> root >> point;
        if ((point + "/").starts_with(prefix)) {
            found.push_back(point);
        }
    }
    return found;
}

}  // namespace

TempDir::TempDir(std::string_view label) {
    std::string pattern = (scratch_dir() / label).string() + "-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) {
        raise_errno("create {}", pattern);
    }
    path_ = pattern;
}

TempDir::~TempDir() {
    const auto mounts = mounts_below(path_);
    for (const auto& point : std::ranges::reverse_view(mounts)) {
        ::umount2(point.c_str(), MNT_DETACH);
    }
    std::error_code error;
    std::filesystem::remove_all(path_, error);
    if (error) {
        std::cerr << "remove " << path_ << ": " << error.message() << '\n';
    }
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
    const std::filesystem::path next = path.string() + ".next";
    std::ofstream file(next, std::ios::binary | std::ios::trunc);
    file << content;
    file.close();
    if (!file) {
        raise_errno("write {}", next.string());
    }
    std::filesystem::rename(next, path);
}

}  // namespace podlane::net
