// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "maps/base/result.h"

namespace podlane {

// The values that settings of the host had before podlane changed them, kept in a file (JSON, mode 0600) so that
// cleanup can put them back, in whatever process it runs. The first value of a key is the one that counts.
class SysctlRecord {
public:
    // `path`: <runDir>/sysctls.json. Reads nothing yet; the directory must exist before the first keep().
    explicit SysctlRecord(std::string path) : path_(std::move(path)) {}

    // Empty when there is no file.
    [[nodiscard]] Result<std::map<std::string, std::string>> load() const;
    // On disk when this returns. No effect for a key that is recorded already.
    [[nodiscard]] Result<void> keep(const std::string& key, const std::string& value);
    // For a key whose value has been put back. No effect for one that is not recorded.
    [[nodiscard]] Result<void> forget(const std::string& key);
    // As of the last remember(), keep() or forget().
    [[nodiscard]] const std::map<std::string, std::string>& remembered() const { return remembered_; }
    // Keeps in memory what the file holds, from now on; restore() writes it again where somebody removed the file.
    [[nodiscard]] Result<void> remember();
    [[nodiscard]] Result<void> restore() const;
    // Removes the file.
    [[nodiscard]] Result<void> discard() const;

private:
    [[nodiscard]] Result<void> write(const std::map<std::string, std::string>& values) const;

    std::string path_;
    std::map<std::string, std::string> remembered_;
};

}  // namespace podlane
