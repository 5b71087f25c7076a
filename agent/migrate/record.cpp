// SPDX-License-Identifier: Apache-2.0
#include "agent/migrate/record.h"

#include <cerrno>

#include <nlohmann/json.hpp>

#include "agent/cni/endpoint.h"
#include "agent/files.h"

namespace podlane::migrate {
namespace {

using Json = nlohmann::json;

constexpr std::size_t largest_record = 64UL * 1024 * 1024;

Json to_json(const RecordedAgent& agent) {
    return {{"runDir", agent.run_dir},
            {"bpffs", agent.bpffs},
            {"overlayDevice", agent.overlay_device},
            {"cniConfigFile", agent.cni_config_file}};
}

Result<const Json*> member(const Json& object, const char* name, Json::value_t type) {
    const auto found = object.find(name);
    if (found == object.end()) {
        return fail("{} is missing", name);
    }
    if (found->type() != type) {
        return fail("{} is not of type {}", name, Json(type).type_name());
    }
    return &*found;
}

Result<void> take_text(const Json& object, const char* name, std::string& into) {
    const auto found = member(object, name, Json::value_t::string);
    if (!found) {
        return std::unexpected(found.error());
    }
    into = (*found)->get<std::string>();
    return {};
}

// Whether the path can only mean what the agent's configuration can say.
Result<void> check_paths(const RecordedAgent& agent) {
    for (const auto& path : {agent.run_dir, agent.bpffs}) {
        if (!path.starts_with('/')) {
            return fail("agent: \"{}\" is no absolute path", path);
        }
    }
    if (!agent.cni_config_file.empty() && !agent.cni_config_file.starts_with('/')) {
        return fail("agent.cniConfigFile: \"{}\" is no absolute path", agent.cni_config_file);
    }
    return {};
}

Result<void> take_texts(const Json& json, Record& record) {
    for (const auto& [name, into] :
         {std::pair{"node", &record.node}, {"time", &record.time}, {"bridge", &record.bridge}}) {
        if (auto taken = take_text(json, name, *into); !taken) {
            return taken;
        }
    }
    const auto agent = member(json, "agent", Json::value_t::object);
    if (!agent) {
        return std::unexpected(agent.error());
    }
    for (const auto& [name, into] : {std::pair{"runDir", &record.agent.run_dir},
                                     {"bpffs", &record.agent.bpffs},
                                     {"overlayDevice", &record.agent.overlay_device},
                                     {"cniConfigFile", &record.agent.cni_config_file}}) {
        if (const auto taken = take_text(**agent, name, *into); !taken) {
            return fail_within("agent", taken.error());
        }
    }
    return check_paths(record.agent);
}

Result<void> take_adopted(const Json& json, Record& record) {
    const auto adopted = member(json, "adopted", Json::value_t::array);
    if (!adopted) {
        return std::unexpected(adopted.error());
    }
    for (const auto& id : **adopted) {
        // As a file's name it goes into a path.
        if (!id.is_string() || id.get<std::string>().contains('/') || id.get<std::string>().starts_with('.')) {
            return fail("adopted: {} is no endpoint's ID", id.dump());
        }
        record.adopted.insert(id.get<std::string>());
    }
    return {};
}

Result<void> take_silent(const Json& json, Record& record) {
    const auto silent = member(json, "silentPeers", Json::value_t::array);
    if (!silent) {
        return std::unexpected(silent.error());
    }
    for (const auto& text : **silent) {
        const auto address = Ipv4Address::parse(text.is_string() ? text.get<std::string>() : text.dump());
        if (!address) {
            return fail_within("silentPeers", address.error());
        }
        record.silent_peers.insert(*address);
    }
    return {};
}

Result<void> take_flannels(const Json& json, Record& record) {
    const auto network = member(json, "network", Json::value_t::object);
    if (!network) {
        return std::unexpected(network.error());
    }
    auto parsed = flannel_network_from_json(**network);
    if (!parsed) {
        return fail_within("network", parsed.error());
    }
    record.network = std::move(*parsed);
    if (!json.contains("rules")) {
        return fail("rules is missing");
    }
    auto rules = netfilter::flannel_rules_from_json(json["rules"]);
    if (!rules) {
        return fail_within("rules", rules.error());
    }
    record.rules = std::move(*rules);
    return {};
}

}  // namespace

std::string difference(const FlannelNetwork& recorded, const FlannelNetwork& now) {
    const auto differ = [](std::string_view what, const Json& before, const Json& after) {
        return fmt::format("{} {} on record, {} now", what, before.dump(), after.dump());
    };
    const Json before = migrate::to_json(recorded);
    const Json after = migrate::to_json(now);
    for (const auto& [name, value] : after.at("device").items()) {
        if (const auto& old = before.at("device").at(name); old != value) {
            return differ(name, old, value);
        }
    }
    const auto& old = before.at("addresses");
    return old == after.at("addresses") ? "" : differ("addresses", old, after.at("addresses"));
}

std::string to_text(const Record& record) {
    Json silent = Json::array();
    for (const auto& address : record.silent_peers) {
        silent.push_back(address.to_string());
    }
    const Json json = {{"version", record_version},
                       {"node", record.node},
                       {"time", record.time},
                       {"bridge", record.bridge},
                       {"agent", to_json(record.agent)},
                       {"network", migrate::to_json(record.network)},
                       {"rules", netfilter::to_json(record.rules)},
                       {"adopted", record.adopted},
                       {"silentPeers", silent}};
    return json.dump(2) + "\n";
}

Result<Record> parse_record(std::string_view text) {
    const auto json = Json::parse(text, nullptr, false);
    if (!json.is_object()) {
        return fail("not a JSON object");
    }
    if (const auto version = json.find("version"); version == json.end() || *version != record_version) {
        return fail("version is {}, this agentctl knows {}", version == json.end() ? "missing" : version->dump(),
                    record_version);
    }
    Record record;
    for (const auto& take : {&take_texts, &take_adopted, &take_silent, &take_flannels}) {
        if (const auto taken = take(json, record); !taken) {
            return std::unexpected(taken.error());
        }
    }
    return record;
}

Result<std::optional<Record>> read_record(const std::filesystem::path& file) {
    const auto text = read_small_file(file, largest_record);
    if (!text && (text.error().code == ENOENT || text.error().code == ENOTDIR)) {
        return std::nullopt;
    }
    if (!text) {
        return std::unexpected(text.error());
    }
    auto record = parse_record(*text);
    if (!record) {
        return fail_within(file.string(), record.error());
    }
    return std::move(*record);
}

Result<void> write_record(const std::filesystem::path& file, const Record& record) {
    std::error_code error;
    std::filesystem::create_directories(file.parent_path(), error);
    if (error) {
        return fail_errno(error.value(), "create the directory of {}", file.string());
    }
    return write_private_file(file, to_text(record));
}

}  // namespace podlane::migrate
