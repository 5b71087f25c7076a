// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include <nlohmann/json.hpp>

#include "agent/ctl/command.h"
#include "maps/catalog.h"

namespace podlane::ctl {

enum class Decoding { named, raw };

// Key and value are objects either way: fields by name, or {"bytes": hex} (a raw per-CPU value: {"cpus": [hex]}).
struct DecodedEntry {
    Json key;
    Json value;
};
[[nodiscard]] DecodedEntry decode(const CatalogMap& info, ConstBytes key, ConstBytes stored, Decoding decoding);

// Prints maps one after the other, entry by entry as they come: begin_map, entry..., end_map, ..., end.
class DumpWriter {
public:
    DumpWriter() = default;
    DumpWriter(const DumpWriter&) = delete;
    DumpWriter& operator=(const DumpWriter&) = delete;
    virtual ~DumpWriter() = default;
    virtual void begin_map(const CatalogMap& info, std::size_t entries) = 0;
    virtual void entry(const DecodedEntry& entry) = 0;
    virtual void end_map() = 0;
    virtual void end() {}
};

// In the format that the context asks for; the context must outlive the writer.
[[nodiscard]] std::unique_ptr<DumpWriter> dump_writer(const Context& context, Decoding decoding);

}  // namespace podlane::ctl
