// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/map_entry.h"

#include <algorithm>
#include <ostream>

#include <yaml-cpp/yaml.h>

#include "agent/ctl/output.h"

namespace podlane::ctl {
namespace {

std::string hex_of(ConstBytes bytes) {
    std::string text;
    for (const std::byte byte : bytes) {
        fmt::format_to(std::back_inserter(text), "{:02x}", std::to_integer<unsigned>(byte));
    }
    return text;
}

// Raw bytes are objects as well; a per-CPU value shows each CPU's.
Json raw_value(const CatalogMap& info, ConstBytes stored) {
    if (!is_per_cpu(info.shape.type)) {
        return {{"bytes", hex_of(stored)}};
    }
    const std::size_t slot = stored.size() / possible_cpus();
    Json cpus = Json::array();
    for (std::size_t cpu = 0; cpu < possible_cpus(); ++cpu) {
        cpus.push_back(hex_of(stored.subspan(cpu * slot, slot)));
    }
    return {{"cpus", cpus}};
}

class JsonDump final : public DumpWriter {
public:
    explicit JsonDump(std::ostream& out) : out_(out) {}
    void begin_map(const CatalogMap& info, std::size_t /*entries*/) override {
        out_ << fmt::format("{}\n  {{\"name\":\"{}\",\"type\":\"{}\",\"maxEntries\":{},\"entries\":[",
                            first_map_ ? "[" : ",", info.shape.name, map_type_name(info.shape.type),
                            info.shape.capacity);
        first_map_ = false;
        first_entry_ = true;
    }
    void entry(const DecodedEntry& entry) override {
        out_ << (first_entry_ ? "\n    {\"key\":" : ",\n    {\"key\":") << entry.key.dump()
             << ",\"value\":" << entry.value.dump() << '}';
        first_entry_ = false;
    }
    void end_map() override { out_ << (first_entry_ ? "]}" : "\n  ]}"); }
    void end() override { out_ << (first_map_ ? "[]\n" : "\n]\n"); }

private:
    std::ostream& out_;
    bool first_map_ = true;
    bool first_entry_ = true;
};

class YamlDump final : public DumpWriter {
public:
    explicit YamlDump(std::ostream& out) : out_(out), emitter_(out) { emitter_ << YAML::BeginSeq; }
    void begin_map(const CatalogMap& info, std::size_t entries) override {
        emitter_ << YAML::BeginMap;
        emitter_ << YAML::Key << "name" << YAML::Value << std::string(info.shape.name);
        emitter_ << YAML::Key << "type" << YAML::Value << map_type_name(info.shape.type);
        emitter_ << YAML::Key << "maxEntries" << YAML::Value << info.shape.capacity;
        emitter_ << YAML::Key << "entries" << YAML::Value;
        emitter_ << (entries == 0 ? YAML::Flow : YAML::Block) << YAML::BeginSeq;
    }
    void entry(const DecodedEntry& entry) override {
        emit_yaml(emitter_, {{"key", entry.key}, {"value", entry.value}});
    }
    void end_map() override { emitter_ << YAML::EndSeq << YAML::EndMap; }
    void end() override {
        emitter_ << YAML::EndSeq;
        out_ << '\n';
    }

private:
    std::ostream& out_;
    YAML::Emitter emitter_;
};

// A titled table a map; its columns are the fields of key and value.
class TableDump final : public DumpWriter {
public:
    TableDump(const Context& context, Decoding decoding) : context_(context), decoding_(decoding) {}
    void begin_map(const CatalogMap& info, std::size_t entries) override {
        if (context_.headers == Headers::shown) {
            *context_.out << fmt::format("{}{} ({}, {} of {}): {}\n", first_map_ ? "" : "\n", info.shape.name,
                                         map_type_name(info.shape.type), entries, info.shape.capacity, info.purpose);
        }
        first_map_ = false;
        table_ = Table(headers(info));
    }
    void entry(const DecodedEntry& entry) override {
        std::vector<std::string> cells;
        for (const Json* object : {&entry.key, &entry.value}) {
            std::ranges::transform(*object, std::back_inserter(cells), cell_of);
        }
        table_.add(std::move(cells));
    }
    void end_map() override { table_.print(*context_.out, context_.headers); }

private:
    // The names of the fields do not depend on the bytes: an empty map has columns as well.
    [[nodiscard]] std::vector<std::string> headers(const CatalogMap& info) const {
        if (decoding_ == Decoding::raw) {
            return {"KEY", "VALUE"};
        }
        const std::vector<std::byte> key(info.shape.key_size);
        const std::vector<std::byte> value(info.shape.value_size);
        const auto blank = decode(info, key, value, decoding_);
        std::vector<std::string> names;
        for (const Json* object : {&blank.key, &blank.value}) {
            for (const auto& field : object->items()) {
                names.push_back(header_of(field.key()));
            }
        }
        return names;
    }

    const Context& context_;
    Decoding decoding_;
    Table table_{{}};
    bool first_map_ = true;
};

}  // namespace

DecodedEntry decode(const CatalogMap& info, ConstBytes key, ConstBytes stored, Decoding decoding) {
    if (decoding == Decoding::raw) {
        return {.key = {{"bytes", hex_of(key)}}, .value = raw_value(info, stored)};
    }
    return {.key = info.key_json(key), .value = info.value_json(stored)};
}

std::unique_ptr<DumpWriter> dump_writer(const Context& context, Decoding decoding) {
    switch (context.format) {
        case OutputFormat::json:
            return std::make_unique<JsonDump>(*context.out);
        case OutputFormat::yaml:
            return std::make_unique<YamlDump>(*context.out);
        case OutputFormat::table:
        case OutputFormat::wide:
            break;
    }
    return std::make_unique<TableDump>(context, decoding);
}

}  // namespace podlane::ctl
