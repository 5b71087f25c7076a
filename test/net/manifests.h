// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <yaml-cpp/yaml.h>

namespace podlane::net {

inline std::filesystem::path deploy_dir() {
    return std::filesystem::path(PODLANE_SOURCE_DIR) / "deploy";
}

// The objects of one file of deploy/.
class Manifest {
public:
    explicit Manifest(const std::string& name) : objects_(YAML::LoadAllFromFile((deploy_dir() / name).string())) {}

    [[nodiscard]] const std::vector<YAML::Node>& objects() const { return objects_; }
    // The one of that kind; raises when there is none.
    [[nodiscard]] YAML::Node of_kind(const std::string& kind) const {
        for (const auto& object : objects_) {
            if (object["kind"].as<std::string>() == kind) {
                return object;
            }
        }
        throw std::runtime_error("no " + kind);
    }
    [[nodiscard]] YAML::Node pod_spec() const { return of_kind("DaemonSet")["spec"]["template"]["spec"]; }
    [[nodiscard]] YAML::Node agent() const { return pod_spec()["containers"][0]; }
    [[nodiscard]] YAML::Node init() const { return pod_spec()["initContainers"][0]; }

private:
    std::vector<YAML::Node> objects_;
};

inline std::set<std::string> texts(const YAML::Node& list) {
    std::set<std::string> result;
    for (const auto& each : list) {
        result.insert(each.as<std::string>());
    }
    return result;
}

}  // namespace podlane::net
