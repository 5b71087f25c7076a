// SPDX-License-Identifier: Apache-2.0
#include "agent/ctl/output.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <ostream>

#include <yaml-cpp/yaml.h>
#include <nlohmann/json.hpp>

namespace podlane::ctl {
namespace {

constexpr std::size_t column_gap = 2;
constexpr int json_indent = 2;

// Characters, not bytes: continuation bytes of UTF-8 take no room.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

void clean(std::string& cell) {
    std::ranges::replace_if(cell, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    if (cell.empty()) {
        cell.push_back('-');
    }
}

void print_row(std::ostream& out, std::span<const std::string> cells, std::span<const std::size_t> widths) {
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        line += cells[i];
        if (i + 1 < cells.size()) {
            line.append(widths[i] - width_of(cells[i]) + column_gap, ' ');
        }
    }
    out << line << '\n';
}

// Plain YAML that every reader takes for a string: a name, or an address with its dots.
bool is_plain_string(const std::string& text) {
    constexpr auto words =
        std::to_array<std::string_view>({"true", "false", "yes", "no", "on", "off", "null", "y", "n"});
    std::string lower = text;
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const bool harmless = std::ranges::all_of(
        text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == '/'; });
    const bool looks_like_name = !text.empty() && std::isalpha(static_cast<unsigned char>(text.front())) != 0;
    const bool looks_like_address = std::ranges::count(text, '.') == 3;
    return harmless && (looks_like_name || looks_like_address) && std::ranges::find(words, lower) == words.end();
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
    cells.resize(headers_.size());
    std::ranges::for_each(cells, clean);
    rows_.push_back(std::move(cells));
}

void Table::print(std::ostream& out, Headers headers) const {
    std::vector<std::size_t> widths(headers_.size(), 0);
    const auto widen = [&widths](const std::vector<std::string>& cells) {
        for (std::size_t i = 0; i < cells.size(); ++i) {
            widths[i] = std::max(widths[i], width_of(cells[i]));
        }
    };
    std::ranges::for_each(rows_, widen);
    if (headers == Headers::shown) {
        widen(headers_);
        print_row(out, headers_, widths);
    }
    for (const auto& row : rows_) {
        print_row(out, row, widths);
    }
}

std::string header_of(std::string_view field) {
    std::string header;
    for (std::size_t i = 0; i < field.size(); ++i) {
        const auto c = static_cast<unsigned char>(field[i]);
        const bool starts_word =
            i > 0 && std::isupper(c) != 0 && std::islower(static_cast<unsigned char>(field[i - 1])) != 0;
        header += starts_word ? "-" : "";
        header += static_cast<char>(std::toupper(c));
    }
    return header;
}

void print_records(const Context& context, const Json& records, std::span<const Column> columns) {
    if (context.format == OutputFormat::json || context.format == OutputFormat::yaml) {
        print_document(context, records);
        return;
    }
    std::vector<Column> visible;
    std::ranges::copy_if(columns, std::back_inserter(visible), [&](const Column& column) {
        return column.shown == Shown::always || context.format == OutputFormat::wide;
    });
    std::vector<std::string> headers;
    std::ranges::transform(visible, std::back_inserter(headers),
                           [](const Column& column) { return header_of(column.field); });
    Table table(std::move(headers));
    for (const Json& record : records) {
        std::vector<std::string> cells;
        for (const Column& column : visible) {
            const auto field = record.find(std::string(column.field));
            cells.push_back(field == record.end() || field->is_null() ? "" : cell_of(*field));
        }
        table.add(std::move(cells));
    }
    table.print(*context.out, context.headers);
}

void print_document(const Context& context, const Json& document) {
    if (context.format != OutputFormat::yaml) {
        *context.out << document.dump(json_indent, ' ', false, Json::error_handler_t::replace) << '\n';
        return;
    }
    YAML::Emitter emitter(*context.out);
    emit_yaml(emitter, document);
    *context.out << '\n';
}

void emit_yaml(YAML::Emitter& emitter, const Json& value) {
    if (value.is_object()) {
        emitter << YAML::BeginMap;
        for (const auto& [name, field] : value.items()) {
            emitter << YAML::Key << name << YAML::Value;
            emit_yaml(emitter, field);
        }
        emitter << YAML::EndMap;
    } else if (value.is_array()) {
        emitter << (value.empty() ? YAML::Flow : YAML::Block) << YAML::BeginSeq;
        for (const Json& element : value) {
            emit_yaml(emitter, element);
        }
        emitter << YAML::EndSeq;
    } else if (value.is_string()) {
        const auto& text = value.get_ref<const std::string&>();
        emitter << (is_plain_string(text) ? YAML::Auto : YAML::DoubleQuoted) << text;
    } else if (value.is_null()) {
        emitter << YAML::Null;
    } else if (value.is_number_unsigned()) {
        emitter << value.get<std::uint64_t>();
    } else {
        emitter << value.dump();  // a number or a truth value reads the same in both
    }
}

}  // namespace podlane::ctl
