// SPDX-License-Identifier: Apache-2.0
#include "agent/source/state_cache.h"

#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "agent/files.h"
#include "agent/source/object_reader.h"

namespace podlane {
namespace {

using nlohmann::json;

// A cluster of 5,000 nodes takes some 3 MB.
constexpr std::size_t largest_state = 256UL * 1024 * 1024;
constexpr std::string_view title = "# podlane cluster state 1 crc32 ";
// All that is read of it is that there is one.
constexpr std::string_view some_time = "1970-01-01T00:00:00Z";

std::uint32_t checksum(std::string_view text) {
    return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

void add_deletion(json& object, bool deleting) {
    if (deleting) {
        object["metadata"]["deletionTimestamp"] = some_time;
    }
}

json to_json(const NodeObject& node) {
    json addresses = json::array();
    for (const auto& ip : node.internal_ips) {
        addresses.push_back({{"type", "InternalIP"}, {"address", ip}});
    }
    json object = {{"apiVersion", "v1"},
                   {"kind", "Node"},
                   {"metadata", {{"name", node.name}, {"annotations", node.annotations}}},
                   {"spec", {{"podCIDRs", node.pod_cidrs}}},
                   {"status", {{"addresses", std::move(addresses)}}}};
    add_deletion(object, node.deleting);
    return object;
}

json to_json(const PodObject& pod) {
    json ips = json::array();
    for (const auto& ip : pod.pod_ips) {
        ips.push_back({{"ip", ip}});
    }
    json object = {
        {"apiVersion", "v1"},
        {"kind", "Pod"},
        {"metadata",
         {{"name", pod.name}, {"namespace", pod.name_space}, {"uid", pod.uid}, {"annotations", pod.annotations}}},
        {"spec", {{"nodeName", pod.node_name}, {"hostNetwork", pod.host_network}}},
        {"status", {{"phase", pod.phase}, {"podIPs", std::move(ips)}}}};
    add_deletion(object, pod.deleting);
    return object;
}

std::string list_of(const ClusterObjects& objects) {
    json items = json::array();
    for (const auto& [name, node] : objects.nodes) {
        items.push_back(to_json(node));
    }
    for (const auto& [name, pod] : objects.pods) {
        items.push_back(to_json(pod));
    }
    const json list = {{"apiVersion", "v1"}, {"kind", "List"}, {"items", std::move(items)}};
    return list.dump(0, ' ', false, json::error_handler_t::replace) + '\n';
}

// "# node n1 of https://10.96.0.1:443 at 2026-11-22T10:00:00Z": the second line. Its words have no spaces in them.
std::string describe(const SavedState& state) {
    return fmt::format("# node {} of {} at ", state.node_name, state.server);
}

// Of a line of that form; empty: it is none, or another node's.
std::string server_in(std::string_view line, const std::string& node_name) {
    const auto begin = fmt::format("# node {} of ", node_name);
    return line.starts_with(begin) ? std::string(line.substr(begin.size(), line.find(' ', begin.size()) - begin.size()))
                                   : std::string();
}

Result<ClusterObjects> read_list(std::string_view text, const std::string& path, const std::string& node_name,
                                 const std::string& origin) {
    auto read = read_objects(text, {.name = path, .node_name = node_name, .format = TextFormat::json});
    if (!read) {
        return std::unexpected(read.error());
    }
    if (!read->warnings.empty()) {
        return fail("{}", read->warnings.front().to_string());  // what we wrote ourselves has none
    }
    ClusterObjects objects;
    for (auto& node : read->nodes) {
        node.origin = origin;
        objects.nodes.insert_or_assign(node.name, std::move(node));
    }
    for (auto& pod : read->pods) {
        pod.origin = origin;
        objects.pods.insert_or_assign(pod.name_space + '/' + pod.name, std::move(pod));
    }
    return objects;
}

}  // namespace

Result<void> save_state(const std::string& path, const SavedState& state) {
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
    if (error) {
        return fail_errno(error.value(), "create the directory of {}", path);
    }
    const auto text = fmt::format("{}{}\n{}", describe(state), state.saved_at, list_of(state.objects));
    return write_private_file(path, fmt::format("{}{:08x}\n{}", title, checksum(text), text));
}

Result<SavedState> load_state(const std::string& path, const SavedState& expected, const std::string& origin) {
    return load_state(path, expected, origin, [&](std::string_view server) { return server == expected.server; });
}

Result<SavedState> load_state(const std::string& path, const SavedState& expected, const std::string& origin,
                              const std::function<bool(std::string_view server)>& is_ours) {
    const auto file = read_small_file(path, largest_state);
    if (!file) {
        return std::unexpected(file.error());
    }
    const auto end_of_title = file->find('\n');
    const auto text =
        end_of_title == std::string::npos ? std::string_view() : std::string_view(*file).substr(end_of_title + 1);
    if (file->substr(0, end_of_title) != fmt::format("{}{:08x}", title, checksum(text))) {
        return fail("{} is damaged, or no saved state: the checksum is wrong", path);
    }
    const auto end_of_description = text.find('\n');
    const auto server = server_in(text.substr(0, end_of_description), expected.node_name);
    const auto description =
        describe({.node_name = expected.node_name, .server = server, .saved_at = "", .objects = {}});
    if (!is_ours(server) || !text.starts_with(description) || end_of_description == std::string_view::npos) {
        return fail("{} is the state of another node or cluster: {}", path, text.substr(0, end_of_description));
    }
    auto objects = read_list(text.substr(end_of_description + 1), path, expected.node_name, origin);
    if (!objects) {
        return std::unexpected(objects.error());
    }
    const auto saved_at = text.substr(description.size(), end_of_description - description.size());
    return SavedState{.node_name = expected.node_name,
                      .server = server,
                      .saved_at = std::string(saved_at),
                      .objects = std::move(*objects)};
}

}  // namespace podlane
