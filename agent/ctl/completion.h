// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace podlane::ctl {

// A completion script for bash, made from the command tree: subcommands and options of each, map names after
// `map dump` and `map get`, formats after -o.
[[nodiscard]] std::string bash_completion(const CLI::App& app);

}  // namespace podlane::ctl
