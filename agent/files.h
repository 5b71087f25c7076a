// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "maps/base/result.h"

namespace podlane {

// Makes the directory and its parents; the last one gets mode 0700.
[[nodiscard]] Result<void> make_private_directory(const std::filesystem::path& path);

// Replaces the file in one step (temporary file, fsync, rename), mode 0600: a reader sees the old text or the new.
[[nodiscard]] Result<void> write_private_file(const std::filesystem::path& path, std::string_view text);
// The same for one that everybody may read: mode 0644, whatever the umask.
[[nodiscard]] Result<void> write_public_file(const std::filesystem::path& path, std::string_view text);

// The whole of a regular file; a FIFO is not waited for. An error: it is not there (ENOENT, ENOTDIR), cannot be read,
// or is larger than `most` bytes.
[[nodiscard]] Result<std::string> read_small_file(const std::string& path, std::size_t most = 1024UL * 1024);

}  // namespace podlane
