// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "maps/base/result.h"

namespace podlane {

enum class Readers { root, everybody };  // mode 0600, 0644

// A file for other programs that is kept as it should be: written again, in one step, when somebody changes or removes
// it, and its directory made. Stays when the agent ends.
class KeptFile {
public:
    // `what` names the file in warnings. An empty path: there is none.
    KeptFile(std::string what, std::string path, Readers readers)
        : what_(std::move(what)), path_(std::move(path)), readers_(readers) {}

    // Looks. Without a text to be, and after a failure, the file stays as it is: a warning tells why, once.
    void keep(const Result<std::string>& wanted);
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    [[nodiscard]] Result<void> write(const std::string& wanted);

    std::string what_;
    std::string path_;
    Readers readers_;
    bool written_ = false;
    std::string problem_;
};

}  // namespace podlane
