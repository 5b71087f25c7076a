// SPDX-License-Identifier: Apache-2.0
#include "agent/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>
#include <system_error>

#include "maps/base/fd.h"

namespace podlane {
namespace {

Result<void> write_all(int fd, std::string_view text, const std::string& name) {
    while (!text.empty()) {
        const auto written = write(fd, text.data(), text.size());
        if (written < 0) {
            return fail_errno(errno, "write {}", name);
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    if (fsync(fd) != 0) {
        return fail_errno(errno, "write {}", name);
    }
    return {};
}

Result<void> replace_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
    const std::string temporary = path.string() + ".tmp";
    const Fd file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!file.valid()) {
        return fail_errno(errno, "create {}", temporary);
    }
    // The file may be left over, from whomever.
    if (fchmod(file.get(), mode) != 0) {
        return fail_errno(errno, "set the mode of {}", temporary);
    }
    if (auto written = write_all(file.get(), text, temporary); !written) {
        unlink(temporary.c_str());
        return written;
    }
    if (rename(temporary.c_str(), path.c_str()) != 0) {
        const int error = errno;
        unlink(temporary.c_str());
        return fail_errno(error, "rename {} to {}", temporary, path.string());
    }
    return {};
}

}  // namespace

Result<void> make_private_directory(const std::filesystem::path& path) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) {
        return fail_errno(error.value(), "create directory {}", path.string());
    }
    if (chmod(path.c_str(), S_IRWXU) != 0) {
        return fail_errno(errno, "set the mode of {}", path.string());
    }
    return {};
}

Result<void> write_private_file(const std::filesystem::path& path, std::string_view text) {
    return replace_file(path, text, S_IRUSR | S_IWUSR);
}

Result<void> write_public_file(const std::filesystem::path& path, std::string_view text) {
    return replace_file(path, text, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH);
}

Result<std::string> read_small_file(const std::string& path, std::size_t most) {
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file.valid()) {
        return fail_errno(errno, "read {}", path);
    }
    struct stat status{};
    if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return fail("read {}: not a regular file", path);
    }
    std::string text;
    std::array<char, 16UL * 1024> block{};
    for (;;) {
        const auto size = read(file.get(), block.data(), block.size());
        if (size < 0) {
            return fail_errno(errno, "read {}", path);
        }
        if (size == 0) {
            return text;
        }
        text.append(block.data(), static_cast<std::size_t>(size));
        if (text.size() > most) {
            return fail("read {}: larger than {} bytes", path, most);
        }
    }
}

}  // namespace podlane
