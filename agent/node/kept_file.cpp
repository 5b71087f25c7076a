// SPDX-License-Identifier: Apache-2.0
#include "agent/node/kept_file.h"

#include <filesystem>
#include <system_error>

#include "agent/files.h"
#include "agent/log.h"

namespace podlane {

void KeptFile::keep(const Result<std::string>& wanted) {
    if (path_.empty()) {
        return;
    }
    const auto kept = wanted ? write(*wanted) : Result<void>(std::unexpected(wanted.error()));
    auto problem = kept ? std::string() : kept.error().message;
    if (!problem.empty() && problem != problem_) {
        log::warning("{}: {}; it is tried again", what_, problem);
    }
    problem_ = std::move(problem);
}

Result<void> KeptFile::write(const std::string& wanted) {
    const auto present = read_small_file(path_);
    if (present && *present == wanted) {
        written_ = true;
        return {};
    }
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
    if (error) {
        return fail_errno(error.value(), "create the directory of {}", path_);
    }
    if (auto done = readers_ == Readers::root ? write_private_file(path_, wanted) : write_public_file(path_, wanted);
        !done) {
        return done;
    }
    log::info("{} {}", path_, std::exchange(written_, true) ? "written again" : "written");
    return {};
}

}  // namespace podlane
