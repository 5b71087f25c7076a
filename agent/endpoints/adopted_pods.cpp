// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/adopted_pods.h"

#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/files.h"

namespace podlane {
namespace {

using Json = nlohmann::json;

Result<AdoptedPod> parse_pod(const Json& item) {
    const auto text = [&](const char* key) {
        return item.is_object() && item.contains(key) && item[key].is_string() ? item[key].get<std::string>() : "";
    };
    const auto ip = Ipv4Address::parse(text("ip"));
    const auto mac = MacAddress::parse(text("mac"));
    if (!ip || !mac || text("network").empty()) {
        return fail("not a list of pods");
    }
    return AdoptedPod{.network = text("network"), .ip = *ip, .mac = *mac};
}

Result<std::set<AdoptedPod>> parse(const std::string& text) {
    const auto list = Json::parse(text, nullptr, false);
    if (!list.is_array()) {
        return fail("not a list of pods");
    }
    std::set<AdoptedPod> pods;
    for (const auto& item : list) {
        auto pod = parse_pod(item);
        if (!pod) {
            return std::unexpected(pod.error());
        }
        pods.insert(std::move(*pod));
    }
    return pods;
}

}  // namespace

Result<void> AdoptedPods::load() {
    pods_.clear();
    std::ifstream file(file_);
    if (!file) {
        return {};
    }
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    auto pods = parse(text);
    if (!pods) {
        return fail("{}: {}", file_.string(), pods.error().message);
    }
    pods_ = std::move(*pods);
    return {};
}

Result<void> AdoptedPods::keep(std::set<AdoptedPod> pods) {
    if (pods == pods_) {
        return {};
    }
    pods_ = std::move(pods);
    return rewrite();
}

Result<void> AdoptedPods::rewrite() const {
    if (pods_.empty()) {
        std::error_code error;
        std::filesystem::remove(file_, error);
        return error ? Result<void>(fail_errno(error.value(), "remove {}", file_.string())) : Result<void>();
    }
    Json list = Json::array();
    for (const auto& pod : pods_) {
        list.push_back({{"network", pod.network}, {"ip", pod.ip.to_string()}, {"mac", pod.mac.to_string()}});
    }
    return write_private_file(file_, list.dump(2) + "\n");
}

}  // namespace podlane
