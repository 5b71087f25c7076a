// SPDX-License-Identifier: Apache-2.0
#include <iterator>
#include <string>

#include <nlohmann/json.hpp>

#include "agent/text/document.h"
#include "agent/text/printable.h"

namespace podlane {
namespace {

using Json = nlohmann::json;

// What nlohmann's parser reads from: all copies share the input's one position, so that a parser which stops after
// a value leaves the input right behind it.
class InputIterator {
public:
    // NOLINTBEGIN(readability-identifier-naming): std::iterator_traits wants these names.
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = char;
    // NOLINTEND(readability-identifier-naming)

    InputIterator() = default;  // the end
    explicit InputIterator(TextInput& input) : input_(&input) {}

    char operator*() const { return input_->peek(); }
    InputIterator& operator++() {
        input_->skip();
        return *this;
    }
    bool operator==(const InputIterator& /*end*/) const { return !input_->more(); }

private:
    TextInput* input_ = nullptr;
};

// "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while ...": the library's own
// line is that of one value, ours that of the file.
std::string reason_of(std::string_view message) {
    const auto column = message.find("column ");
    const auto colon = column == std::string_view::npos ? column : message.find(": ", column);
    return printable(colon == std::string_view::npos ? message : message.substr(colon + 2));
}

class EventForwarder : public nlohmann::json_sax<Json> {
public:
    EventForwarder(TextInput& input, DocumentSink& sink) : input_(input), sink_(sink) {}

    bool null() override { return scalar(ScalarKind::null, "null"); }
    bool boolean(bool value) override { return scalar(ScalarKind::boolean, value ? "true" : "false"); }
    bool number_integer(number_integer_t value) override { return scalar(ScalarKind::number, fmt::to_string(value)); }
    bool number_unsigned(number_unsigned_t value) override { return scalar(ScalarKind::number, fmt::to_string(value)); }
    bool number_float(number_float_t /*value*/, const string_t& text) override {
        return scalar(ScalarKind::number, text);
    }
    bool string(string_t& value) override { return scalar(ScalarKind::text, value); }
    bool binary(binary_t& /*value*/) override { return true; }  // JSON text has none
    bool start_object(std::size_t /*size*/) override {
        sink_.begin_map(input_.line());
        return true;
    }
    bool end_object() override {
        sink_.end_map();
        return true;
    }
    bool start_array(std::size_t /*size*/) override {
        sink_.begin_list(input_.line());
        return true;
    }
    bool end_array() override {
        sink_.end_list();
        return true;
    }
    bool key(string_t& text) override {
        sink_.key(text, input_.line());
        return true;
    }
    bool parse_error(std::size_t /*offset*/, const std::string& /*token*/, const Json::exception& error) override {
        error_ = reason_of(error.what());
        return false;
    }

    [[nodiscard]] const std::string& error() const { return error_; }

private:
    bool scalar(ScalarKind kind, std::string_view text) {
        sink_.scalar(kind, text, input_.line());
        return true;
    }

    TextInput& input_;
    DocumentSink& sink_;
    std::string error_;
};

bool skip_white_space(TextInput& input) {
    while (input.more()) {
        const char c = input.peek();
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            return true;
        }
        input.skip();
    }
    return false;
}

}  // namespace

Result<void> read_json(TextInput& input, std::string_view name, DocumentSink& sink) {
    EventForwarder forwarder(input, sink);
    while (skip_white_space(input)) {
        sink.begin_document(input.line());
        const bool good =
            Json::sax_parse(InputIterator(input), InputIterator(), &forwarder, Json::input_format_t::json, false);
        if (input.error() != 0) {
            break;
        }
        if (!good) {
            return fail("{}:{}: not valid JSON: {}", name, input.line(), forwarder.error());
        }
        sink.end_document();
    }
    if (input.error() != 0) {
        return fail_errno(input.error(), "read {}", name);
    }
    return {};
}

}  // namespace podlane
