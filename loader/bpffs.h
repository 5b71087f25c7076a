// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "maps/base/result.h"

namespace podlane {

// The directory of podlane's pins: <bpffs>/v<schema version>/{maps,links}.
class PinDirectory {
public:
    explicit PinDirectory(std::filesystem::path root);

    // Makes the directories (0700), after mounting a bpffs at the parent of the root when there is none.
    [[nodiscard]] Result<void> create() const;

    [[nodiscard]] const std::filesystem::path& root() const { return root_; }
    [[nodiscard]] std::filesystem::path map(std::string_view name) const;
    [[nodiscard]] std::filesystem::path link(std::string_view name) const;
    [[nodiscard]] std::filesystem::path links() const;

    // Every pin there is, of any schema version, as paths below root().
    [[nodiscard]] std::vector<std::filesystem::path> pins() const;
    // Removes every pin and directory below root(), root() included; attachments that only a pin held end with it.
    [[nodiscard]] Result<void> remove() const;

private:
    std::filesystem::path root_;
    std::filesystem::path version_;
};

}  // namespace podlane
