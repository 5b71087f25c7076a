// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "agent/text/text_input.h"
#include "maps/base/result.h"

namespace podlane {

// What a plain value is, by the rules of JSON and of YAML's core schema (YAML 1.2.2, chapter 10.3): quoted is text.
enum class ScalarKind { null, boolean, number, text };

// Takes a text apart as it is read: the events of a tree in document order. Lines count from 1; views are valid
// during the call only. The reader guarantees that begin and end match and that a map's members come as a key and
// one value, but for an input that is broken the events just stop.
class DocumentSink {
public:
    DocumentSink() = default;
    DocumentSink(const DocumentSink&) = delete;
    DocumentSink& operator=(const DocumentSink&) = delete;
    virtual ~DocumentSink() = default;

    virtual void begin_document(unsigned line) = 0;
    virtual void end_document() = 0;
    virtual void begin_map(unsigned line) = 0;
    virtual void end_map() = 0;
    virtual void begin_list(unsigned line) = 0;
    virtual void end_list() = 0;
    virtual void key(std::string_view text, unsigned line) = 0;
    // A null has the text that was written: "" where the value is just missing.
    virtual void scalar(ScalarKind kind, std::string_view text, unsigned line) = 0;
};

// Any number of JSON values (RFC 8259), one after another. Errors: "<name>:<line>: not valid JSON: ...", or a
// failed read of the input.
[[nodiscard]] Result<void> read_json(TextInput& input, std::string_view name, DocumentSink& sink);

// Any number of YAML documents. Aliases are replaced by what they stand for. Refused: merge keys (`<<`), keys that
// are not plain text, aliases that blow up beyond reason. Errors as above.
[[nodiscard]] Result<void> read_yaml(TextInput& input, std::string_view name, DocumentSink& sink);

}  // namespace podlane
