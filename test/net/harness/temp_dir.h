// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string_view>

namespace podlane::net {

// A folder of its own under scratch_dir(). Goes with all it holds, file systems mounted inside included.
class TempDir {
public:
    explicit TempDir(std::string_view label);
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir();

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

// Replaces `path` by rename, so that a reader sees the old content or the new one, never a part of it.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace podlane::net
