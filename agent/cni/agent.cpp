// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/agent.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <memory>

#include <nlohmann/json.hpp>

#include "maps/base/fd.h"

namespace podlane::cni {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds agent_timeout{5};
constexpr int status_ok = 200;
constexpr int status_not_found = 404;
constexpr int status_unavailable = 503;

json parse_json(std::string_view text) {
    return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

// The agent's own words, where it gave any.
std::string error_text(const HttpResponse& response) {
    const auto body = parse_json(response.body);
    const auto found = body.is_object() ? body.find("error") : body.end();
    if (body.is_object() && found != body.end() && found->is_string()) {
        return found->get<std::string>();
    }
    return fmt::format("HTTP status {}", response.status);
}

std::unexpected<Failure> refused(std::string_view what, const HttpResponse& response) {
    const Code code = response.status == status_unavailable ? Code::try_again_later : Code::attachment_failed;
    return refuse(code, "podlane-agent: {}: {}", what, error_text(response));
}

Outcome<std::vector<Endpoint>> parse_endpoints(std::string_view text) {
    const auto list = parse_json(text);
    if (!list.is_array()) {
        return refuse(Code::decoding_failure, "podlane-agent: its list of endpoints is not a JSON array");
    }
    std::vector<Endpoint> endpoints;
    for (const auto& entry : list) {
        auto endpoint = Endpoint::from_json(entry);
        if (!endpoint) {
            return refuse(Code::decoding_failure, "podlane-agent: {}", endpoint.error().message);
        }
        endpoints.push_back(std::move(*endpoint));
    }
    return endpoints;
}

Result<std::string> read_file(const std::string& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) {
        return fail_errno(errno, "open {}", path);
    }
    std::string text;
    std::array<char, 4096> chunk;
    for (;;) {
        const ssize_t count = ::read(file.get(), chunk.data(), chunk.size());
        if (count < 0) {
            return fail_errno(errno, "read {}", path);
        }
        if (count == 0) {
            return text;
        }
        text.append(chunk.data(), static_cast<std::size_t>(count));
    }
}

std::string text_of(const json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Outcome<std::vector<Ipv4Prefix>> parse_prefixes(const json& list, const char* key) {
    std::vector<Ipv4Prefix> prefixes;
    for (const auto& entry : list) {
        const auto text = entry.is_string() ? entry.get<std::string>() : entry.dump();
        const auto prefix = Ipv4Prefix::parse(text);
        if (!prefix) {
            return refuse(Code::decoding_failure, "podlane-agent: {}: {}", key, prefix.error().message);
        }
        prefixes.push_back(*prefix);
    }
    return prefixes;
}

Outcome<MacvlanNetwork> parse_macvlan_network(const json& entry) {
    MacvlanNetwork network{text_of(entry, "name"), text_of(entry, "master"), text_of(entry, "mode"), {}, {}};
    if (const auto text = text_of(entry, "hostAddress"); !text.empty()) {
        const auto address = Ipv4Address::parse(text);
        if (!address) {
            return refuse(Code::decoding_failure, "podlane-agent: macvlan: {}", address.error().message);
        }
        network.host_address = *address;
    }
    const auto routes = entry.is_object() ? entry.find("routes") : entry.end();
    if (network.master.empty() || routes == entry.end() || !routes->is_array()) {
        return refuse(Code::decoding_failure, "podlane-agent: macvlan: {} lacks master or routes", entry.dump());
    }
    auto prefixes = parse_prefixes(*routes, "macvlan: routes");
    if (!prefixes) {
        return std::unexpected(prefixes.error());
    }
    network.routes = std::move(*prefixes);
    return network;
}

// An agent without any has no such key.
Outcome<std::vector<MacvlanNetwork>> parse_macvlan_networks(const json& body) {
    std::vector<MacvlanNetwork> networks;
    const auto list = body.find("macvlan");
    if (list == body.end()) {
        return networks;
    }
    for (const auto& entry : *list) {
        auto network = parse_macvlan_network(entry);
        if (!network) {
            return std::unexpected(network.error());
        }
        networks.push_back(std::move(*network));
    }
    return networks;
}

}  // namespace

Outcome<NodeNetwork> parse_node_network(std::string_view json_text) {
    const auto body = parse_json(json_text);
    const auto cidrs = body.is_object() ? body.find("podCIDRs") : body.end();
    const auto mtu = body.is_object() ? body.find("mtu") : body.end();
    if (!body.is_object() || cidrs == body.end() || !cidrs->is_array() || mtu == body.end() ||
        !mtu->is_number_unsigned()) {
        return refuse(Code::decoding_failure, "podlane-agent: its answer about the network lacks podCIDRs or mtu");
    }
    auto prefixes = parse_prefixes(*cidrs, "podCIDRs");
    auto macvlans = parse_macvlan_networks(body);
    if (!prefixes || !macvlans) {
        return std::unexpected(prefixes ? macvlans.error() : prefixes.error());
    }
    if (prefixes->empty()) {
        return refuse(Code::try_again_later, "podlane-agent: this node has no podCIDR yet");
    }
    return NodeNetwork{std::move(*prefixes), mtu->get<unsigned>(), std::move(*macvlans)};
}

Outcome<HttpResponse> SocketAgent::call(const HttpRequest& request) {
    auto response = http_request(run_dir_ + "/agent.sock", request, agent_timeout);
    if (!response) {
        return refuse(Code::try_again_later, "podlane-agent does not answer: {}", response.error().message);
    }
    return *response;
}

Outcome<NodeNetwork> SocketAgent::network() {
    const auto response = call({"GET", "/v1/cni/network", {}});
    if (!response) {
        return std::unexpected(response.error());
    }
    if (response->status != status_ok) {
        return refused("network", *response);
    }
    return parse_node_network(response->body);
}

Outcome<std::optional<Endpoint>> SocketAgent::endpoint(const std::string& id) {
    const auto response = call({"GET", "/v1/endpoints/" + id, {}});
    if (!response) {
        return std::unexpected(response.error());
    }
    if (response->status == status_not_found) {
        return std::optional<Endpoint>();
    }
    if (response->status != status_ok) {
        return refused("endpoint " + id, *response);
    }
    auto endpoint = Endpoint::parse(response->body);
    if (!endpoint) {
        return refuse(Code::decoding_failure, "podlane-agent: {}", endpoint.error().message);
    }
    return std::optional(std::move(*endpoint));
}

Outcome<std::vector<Endpoint>> SocketAgent::endpoints() {
    const auto response = call({"GET", "/v1/endpoints", {}});
    if (!response) {
        return recorded_endpoints();
    }
    if (response->status != status_ok) {
        return refused("endpoints", *response);
    }
    return parse_endpoints(response->body);
}

Outcome<std::vector<Endpoint>> SocketAgent::recorded_endpoints() const {
    const std::string directory = run_dir_ + "/endpoints";
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), &::closedir);
    if (!entries && errno == ENOENT) {
        return std::vector<Endpoint>();
    }
    if (!entries) {
        return refuse(Code::io_failure, "open {}: {}", directory, std::generic_category().message(errno));
    }
    std::vector<Endpoint> endpoints;
    while (const dirent* const entry = ::readdir(entries.get())) {
        const std::string_view name = entry->d_name;
        if (name.starts_with('.') || !name.ends_with(".json")) {
            continue;
        }
        const auto text = read_file(fmt::format("{}/{}", directory, name));
        auto endpoint = text ? Endpoint::parse(*text) : std::unexpected(text.error());
        if (!endpoint) {
            fmt::print(stderr, "podlane: {}/{}: {}\n", directory, name, endpoint.error().message);
            continue;
        }
        endpoints.push_back(std::move(*endpoint));
    }
    return endpoints;
}

Outcome<void> SocketAgent::add_endpoint(const Endpoint& endpoint) {
    // The Pod's names come from CNI_ARGS: any bytes.
    std::string body = endpoint.to_json().dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
    const auto response = call({"PUT", "/v1/endpoints/" + endpoint.id(), std::move(body)});
    if (!response) {
        return std::unexpected(response.error());
    }
    if (response->status != status_ok) {
        return refused("endpoint " + endpoint.id(), *response);
    }
    return {};
}

Outcome<void> SocketAgent::remove_endpoint(const std::string& id) {
    const auto response = call({"DELETE", "/v1/endpoints/" + id, {}});
    if (response && (response->status == status_ok || response->status == status_not_found)) {
        return {};
    }
    const auto cause = response ? refused("endpoint " + id, *response).error().message : response.error().message;
    fmt::print(stderr, "podlane: {}; its record is removed instead\n", cause);
    const std::string record = fmt::format("{}/endpoints/{}.json", run_dir_, id);
    if (::unlink(record.c_str()) < 0 && errno != ENOENT && errno != ENOTDIR) {
        return refuse(Code::io_failure, "remove {}: {}", record, std::generic_category().message(errno));
    }
    return {};
}

}  // namespace podlane::cni
