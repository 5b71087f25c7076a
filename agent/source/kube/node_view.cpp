// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/node_view.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace podlane {
namespace {

using nlohmann::json;

std::string text_at(const json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Of strings; a Node has no others.
Annotations read_annotations(const json& node) {
    const auto at = json::json_pointer("/metadata/annotations");
    Annotations result;
    if (node.contains(at) && node.at(at).is_object()) {
        for (const auto& [key, value] : node.at(at).items()) {
            if (value.is_string()) {
                result.emplace(key, value.get<std::string>());
            }
        }
    }
    return result;
}

std::vector<std::string> read_taints(const json& node) {
    const auto at = json::json_pointer("/spec/taints");
    std::vector<std::string> keys;
    for (const auto& taint : node.contains(at) ? node.at(at) : json::array()) {
        keys.push_back(taint.is_object() ? text_at(taint, "key") : std::string());
    }
    return keys;
}

}  // namespace

std::optional<NodeView> read_node_view(const std::string& node_list) {
    const auto list = json::parse(node_list, nullptr, false);
    const auto first = json::json_pointer("/items/0");
    if (!list.is_object() || !list.contains(first) || !list.at(first).is_object()) {
        return std::nullopt;
    }
    const auto& node = list.at(first);
    const auto conditions = json::json_pointer("/status/conditions");
    NodeView result;
    for (const auto& one : node.contains(conditions) ? node.at(conditions) : json::array()) {
        if (one.is_object() && text_at(one, "type") == network_condition) {
            result.status = text_at(one, "status");
            result.reason = text_at(one, "reason");
        }
    }
    result.annotations = read_annotations(node);
    result.taints = read_taints(node);
    return result;
}

// From the last one on, so that the others keep their places.
std::string untaint_patch(const std::vector<std::string>& taints, std::string_view key) {
    auto patch = json::array();
    for (auto i = taints.size(); i-- > 0;) {
        if (!key.empty() && taints[i] == key) {
            const auto path = fmt::format("/spec/taints/{}", i);
            patch.push_back({{"op", "test"}, {"path", path + "/key"}, {"value", key}});
            patch.push_back({{"op", "remove"}, {"path", path}});
        }
    }
    return patch.empty() ? std::string() : patch.dump();
}

Annotations differing_annotations(const Annotations& wanted, const Annotations& present) {
    Annotations result;
    for (const auto& [key, value] : wanted) {
        const auto found = present.find(key);
        if (found == present.end()) {
            result.emplace(key, "");
        } else if (found->second != value) {
            result.insert(*found);
        }
    }
    return result;
}

}  // namespace podlane
