// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/map_commands.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <ostream>

#include <nlohmann/json.hpp>

#include "agent/ctl/map_entry.h"
#include "agent/ctl/output.h"
#include "maps/catalog.h"

namespace podlane::ctl {
namespace {

struct PinnedMap {
    const CatalogMap* info;
    MapHandle handle;
};

std::string known_maps() {
    std::string names;
    for (const CatalogMap& map : map_catalog()) {
        names += fmt::format("{}{}", names.empty() ? "" : ", ", map.shape.name);
    }
    return names;
}

Outcome<const CatalogMap*> known_map(const std::string& name) {
    const CatalogMap* info = find_map(name);
    if (info == nullptr) {
        return failure(ExitStatus::not_found, "there is no map \"{}\"; the maps are {}", name, known_maps());
    }
    return info;
}

Outcome<void> check_pins(const Context& context) {
    const auto directory = map_pin_directory(context.bpffs);
    std::error_code error;
    if (std::filesystem::is_directory(directory, error)) {
        return {};
    }
    if (error && error != std::errc::no_such_file_or_directory) {
        return failure(ExitStatus::error, "read {}: {}", directory.native(), error.message());
    }
    return failure(ExitStatus::not_found,
                   "no maps are pinned at {}: start podlane-agent on this node, or name its directory with --bpffs",
                   directory.native());
}

Outcome<PinnedMap> open_map(const Context& context, const CatalogMap& info) {
    if (const auto checked = check_pins(context); !checked) {
        return std::unexpected(checked.error());
    }
    auto handle = MapHandle::open(map_pin_directory(context.bpffs) / info.shape.name, info.shape, MapAccess::read_only);
    if (!handle) {
        const bool absent = handle.error().code == ENOENT;
        return failure(absent ? ExitStatus::not_found : ExitStatus::error, "{}", handle.error().message);
    }
    return PinnedMap{&info, std::move(*handle)};
}

// The named maps; without names all that are pinned, and a message for each that should be.
Outcome<std::vector<PinnedMap>> open_maps(const Context& context, const std::vector<std::string>& names) {
    std::vector<const CatalogMap*> wanted;
    for (const std::string& name : names) {
        const auto info = known_map(name);
        if (!info) {
            return std::unexpected(info.error());
        }
        wanted.push_back(*info);
    }
    if (names.empty()) {
        std::ranges::transform(map_catalog(), std::back_inserter(wanted), [](const CatalogMap& map) { return &map; });
    }
    if (const auto checked = check_pins(context); !checked) {
        return std::unexpected(checked.error());
    }
    std::vector<PinnedMap> maps;
    for (const CatalogMap* info : wanted) {
        auto map = open_map(context, *info);
        if (map) {
            maps.push_back(std::move(*map));
        } else if (names.empty() && map.error().status == ExitStatus::not_found) {
            *context.err << fmt::format("agentctl: {}\n", map.error().message);
        } else {
            return std::unexpected(map.error());
        }
    }
    return maps;
}

Outcome<RawEntries> read_entries(const PinnedMap& map) {
    auto entries = map.handle.entries();
    if (!entries) {
        return failure(ExitStatus::error, "{}", entries.error().message);
    }
    return std::move(*entries);
}

// By the keys' bytes: addresses and prefixes in the order of their numbers, and the same each time.
std::vector<std::size_t> sorted(const RawEntries& entries) {
    std::vector<std::size_t> order(entries.count);
    for (std::size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    std::ranges::sort(order, [&entries](std::size_t left, std::size_t right) {
        return std::memcmp(entries.key(left).data(), entries.key(right).data(), entries.key_size) < 0;
    });
    return order;
}

}  // namespace

Outcome<ExitStatus> map_list(const Context& context) {
    const auto maps = open_maps(context, {});
    if (!maps) {
        return std::unexpected(maps.error());
    }
    Json records = Json::array();
    for (const PinnedMap& map : *maps) {
        const MapShape& shape = map.info->shape;
        records.push_back({{"name", shape.name},
                           {"type", map_type_name(shape.type)},
                           {"keySize", shape.key_size},
                           {"valueSize", shape.value_size},
                           {"maxEntries", shape.capacity},
                           {"purpose", map.info->purpose}});
    }
    constexpr auto columns = std::to_array<Column>({{"name"},
                                                    {"type"},
                                                    {"keySize", Shown::wide_only},
                                                    {"valueSize", Shown::wide_only},
                                                    {"maxEntries"},
                                                    {"purpose"}});
    print_records(context, records, columns);
    return ExitStatus::ok;
}

Outcome<ExitStatus> map_dump(const Context& context, const std::vector<std::string>& names, Decoding decoding) {
    const auto maps = open_maps(context, names);
    if (!maps) {
        return std::unexpected(maps.error());
    }
    const auto writer = dump_writer(context, decoding);
    for (const PinnedMap& map : *maps) {
        const auto entries = read_entries(map);
        if (!entries) {
            return std::unexpected(entries.error());
        }
        writer->begin_map(*map.info, entries->count);
        for (const std::size_t i : sorted(*entries)) {
            writer->entry(decode(*map.info, entries->key(i), entries->value(i), decoding));
        }
        writer->end_map();
    }
    writer->end();
    return ExitStatus::ok;
}

Outcome<ExitStatus> map_get(const Context& context, const std::string& name, const std::string& key,
                            Decoding decoding) {
    const auto info = known_map(name);
    if (!info) {
        return std::unexpected(info.error());
    }
    const auto bytes = (*info)->parse_key(key);
    if (!bytes) {
        return failure(ExitStatus::usage, "{}: {}", name, bytes.error().message);
    }
    const auto map = open_map(context, **info);
    if (!map) {
        return std::unexpected(map.error());
    }
    std::vector<std::byte> value(map->handle.stored_value_size());
    const auto found = map->handle.lookup(*bytes, value);
    if (!found) {
        return failure(ExitStatus::error, "{}", found.error().message);
    }
    if (!*found) {
        return failure(ExitStatus::not_found, "{} has no {}", name, key);
    }
    const auto entry = decode(**info, *bytes, value, decoding);
    if (context.format == OutputFormat::json || context.format == OutputFormat::yaml) {
        print_document(context, {{"key", entry.key}, {"value", entry.value}});
        return ExitStatus::ok;
    }
    Table table({"FIELD", "VALUE"});
    for (const Json* object : {&entry.key, &entry.value}) {
        for (const auto& [field, content] : object->items()) {
            table.add({field, cell_of(content)});
        }
    }
    table.print(*context.out, context.headers);
    return ExitStatus::ok;
}

Outcome<ExitStatus> map_stats(const Context& context) {
    const auto maps = open_maps(context, {});
    if (!maps) {
        return std::unexpected(maps.error());
    }
    Json records = Json::array();
    for (const PinnedMap& map : *maps) {
        const auto entries = read_entries(map);
        if (!entries) {
            return std::unexpected(entries.error());
        }
        const auto memory = map.handle.memory();
        const MapShape& shape = map.info->shape;
        records.push_back({{"name", shape.name},
                           {"type", map_type_name(shape.type)},
                           {"entries", entries->count},
                           {"maxEntries", shape.capacity},
                           {"usedPercent", entries->count * 100 / shape.capacity},
                           {"memoryBytes", memory ? Json(*memory) : Json()}});
    }
    constexpr auto columns =
        std::to_array<Column>({{"name"}, {"type"}, {"entries"}, {"maxEntries"}, {"usedPercent"}, {"memoryBytes"}});
    print_records(context, records, columns);
    return ExitStatus::ok;
}

}  // namespace podlane::ctl
