// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "test/net/harness/namespace.h"
#include "test/net/harness/process.h"
#include "test/net/harness/temp_dir.h"

namespace podlane::net {

// A program of Debian's package prometheus, of PATH or as scripts/deps.sh leaves it. Empty: there is none.
[[nodiscard]] std::string prometheus_program(const std::string& name);

// Debian's Prometheus in a namespace of a test. It reads all targets of a job named "podlane", and evaluates all rules,
// once a second. Its data go with it.
class Prometheus {
public:
    // `targets`: "192.168.0.1:9479". It answers when this returns; nothing has been read yet.
    Prometheus(const Namespace& ns, const std::vector<std::string>& targets,
               const std::vector<std::filesystem::path>& rule_files);

    // What its HTTP API has: api("rules"). Raises, with what it says, when it refuses.
    using Parameters = std::map<std::string, std::string>;
    [[nodiscard]] nlohmann::json api(const std::string& what, const Parameters& parameters = {}) const;
    // The series that an expression gives now, in an array.
    [[nodiscard]] nlohmann::json query(const std::string& expression) const;

private:
    const Namespace& ns_;
    TempDir files_;
    std::unique_ptr<Process> process_;
};

}  // namespace podlane::net
