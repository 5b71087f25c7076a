// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/endpoint_store.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <system_error>

#include <nlohmann/json.hpp>

#include "agent/files.h"

namespace podlane {
namespace {

constexpr std::string_view record_suffix = ".json";

Result<Endpoint> read_record(const std::filesystem::path& path) {
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file) {
        return fail("cannot be read");
    }
    return Endpoint::parse(text);
}

}  // namespace

std::filesystem::path EndpointStore::file_of(const std::string& id) const {
    return directory_ / (id + std::string(record_suffix));
}

Result<void> EndpointStore::load(std::vector<std::string>& problems) {
    std::error_code error;
    was_lost_ = !std::filesystem::exists(directory_, error);
    if (auto made = make_private_directory(directory_); !made) {
        return made;
    }
    for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
        if (entry.path().extension() != record_suffix) {
            continue;
        }
        const auto endpoint = read_record(entry.path());
        if (!endpoint) {
            problems.push_back(fmt::format("{}: {}", entry.path().string(), endpoint.error().message));
            continue;
        }
        endpoints_[endpoint->id()] = *endpoint;
    }
    if (error) {
        return fail_errno(error.value(), "read {}", directory_.string());
    }
    return {};
}

std::vector<std::string> EndpointStore::rebuild(const std::vector<netlink::Link>& links) {
    std::vector<std::string> rebuilt;
    for (const auto& link : links) {
        if (link.kind != "veth" || !link.mac) {
            continue;
        }
        auto endpoint = decode_alias(link.alias);
        if (!endpoint || endpoints_.contains(endpoint->id())) {
            continue;
        }
        endpoint->host_interface = link.name;
        endpoint->host_mac = *link.mac;
        endpoint->mtu = link.mtu;
        if (put(*endpoint)) {
            rebuilt.push_back(endpoint->id());
        }
    }
    return rebuilt;
}

Result<void> EndpointStore::rewrite() const {
    if (auto made = make_private_directory(directory_); !made) {
        return made;
    }
    for (const auto& [id, endpoint] : endpoints_) {
        if (auto written = write_private_file(file_of(id), endpoint.to_json().dump(2) + "\n"); !written) {
            return written;
        }
    }
    return {};
}

Result<void> EndpointStore::put(const Endpoint& endpoint) {
    const auto id = endpoint.id();
    const auto holder = std::ranges::find_if(
        endpoints_, [&](const auto& entry) { return entry.second.ip == endpoint.ip && entry.first != id; });
    if (holder != endpoints_.end()) {
        return fail("address {} is held by endpoint {}", endpoint.ip, holder->first);
    }
    if (auto written = write_private_file(file_of(id), endpoint.to_json().dump(2) + "\n"); !written) {
        return written;
    }
    endpoints_[id] = endpoint;
    return {};
}

Result<bool> EndpointStore::erase(const std::string& id) {
    if (endpoints_.erase(id) == 0) {
        return false;
    }
    std::error_code error;
    std::filesystem::remove(file_of(id), error);
    if (error) {
        return fail_errno(error.value(), "remove {}", file_of(id).string());
    }
    return true;
}

const Endpoint* EndpointStore::find(const std::string& id) const {
    const auto found = endpoints_.find(id);
    return found == endpoints_.end() ? nullptr : &found->second;
}

}  // namespace podlane
