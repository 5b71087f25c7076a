// SPDX-License-Identifier: Apache-2.0
#include "agent/reconcile/sysctl_record.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "maps/base/fd.h"

namespace podlane {
namespace {

Result<void> write_durably(const std::string& path, const std::string& text) {
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!file.valid()) {
        return fail_errno(errno, "create {}", path);
    }
    const ssize_t written = ::write(file.get(), text.data(), text.size());
    if (written < 0) {
        return fail_errno(errno, "write {}", path);
    }
    if (static_cast<std::size_t>(written) != text.size()) {
        return fail_errno(ENOSPC, "write {}", path);
    }
    if (::fsync(file.get()) != 0) {
        return fail_errno(errno, "write {}", path);
    }
    return {};
}

}  // namespace

Result<std::map<std::string, std::string>> SysctlRecord::load() const {
    std::ifstream file(path_);
    if (!file) {
        if (errno == ENOENT) {
            return std::map<std::string, std::string>{};
        }
        return fail_errno(errno, "read {}", path_);
    }
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return fail("read {}: it is not a JSON object", path_);
    }
    std::map<std::string, std::string> values;
    for (const auto& [key, value] : json.items()) {
        if (!value.is_string()) {
            return fail("read {}: the value of {} is not a string", path_, key);
        }
        values.emplace(key, value.get<std::string>());
    }
    return values;
}

Result<void> SysctlRecord::keep(const std::string& key, const std::string& value) {
    auto values = load();
    if (!values) {
        return std::unexpected(values.error());
    }
    values->insert(remembered_.begin(), remembered_.end());
    if (!values->emplace(key, value).second) {
        return {};
    }
    if (auto written = write(*values); !written) {
        return written;
    }
    remembered_ = std::move(*values);
    return {};
}

Result<void> SysctlRecord::forget(const std::string& key) {
    auto values = load();
    if (!values) {
        return std::unexpected(values.error());
    }
    values->insert(remembered_.begin(), remembered_.end());
    if (values->erase(key) == 0) {
        return {};
    }
    if (auto written = write(*values); !written) {
        return written;
    }
    remembered_ = std::move(*values);
    return {};
}

Result<void> SysctlRecord::remember() {
    auto values = load();
    if (!values) {
        return std::unexpected(values.error());
    }
    remembered_ = std::move(*values);
    return {};
}

Result<void> SysctlRecord::restore() const {
    const auto values = load();
    if (!values) {
        return std::unexpected(values.error());
    }
    return *values == remembered_ ? Result<void>() : write(remembered_);
}

Result<void> SysctlRecord::write(const std::map<std::string, std::string>& values) const {
    const auto staging = path_ + ".new";
    if (const auto written = write_durably(staging, nlohmann::json(values).dump(2) + "\n"); !written) {
        ::unlink(staging.c_str());
        return written;
    }
    if (std::rename(staging.c_str(), path_.c_str()) != 0) {
        return fail_errno(errno, "rename {} to {}", staging, path_);
    }
    return {};
}

Result<void> SysctlRecord::discard() const {
    if (::unlink(path_.c_str()) != 0 && errno != ENOENT) {
        return fail_errno(errno, "remove {}", path_);
    }
    return {};
}

}  // namespace podlane
