// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "agent/ctl/command.h"
#include "maps/format.h"

// NOLINTNEXTLINE(readability-identifier-naming): yaml-cpp chose the name
namespace YAML {
class Emitter;
}

namespace podlane::ctl {

// Columns of text, aligned with two blanks between them. An empty cell is "-", so that columns can be counted; what
// would move a terminal's cursor is shown as "?".
class Table {
public:
    explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
    // As many cells as there are headers.
    void add(std::vector<std::string> cells);
    void print(std::ostream& out, Headers headers) const;

private:
    std::vector<std::string> headers_;
    std::vector<std::vector<std::string>> rows_;
};

// "podCIDRs" -> "POD-CIDRS", "nextHop" -> "NEXT-HOP".
[[nodiscard]] std::string header_of(std::string_view field);

enum class Shown { always, wide_only };
struct Column {
    std::string_view field;  // of the JSON object
    Shown shown = Shown::always;
};

// An array of objects in the format that was asked for: the same data as a table (a row an object, a column a field)
// and as JSON or YAML (everything).
void print_records(const Context& context, const Json& records, std::span<const Column> columns);
// One object, as JSON or YAML.
void print_document(const Context& context, const Json& document);

// Emits what JSON means, quoting the strings that YAML would take for something else: "true", "1e3", "0e:61:06:ff".
void emit_yaml(YAML::Emitter& emitter, const Json& value);

}  // namespace podlane::ctl
