// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/object_fields.h"
#include "agent/source/object_reader.h"
#include "agent/text/document.h"

namespace podlane {

// The state machine between a document's events and objects, the same for every format. It follows the few paths
// that podlane reads and counts brackets through everything else.
class ObjectExtractor final : public DocumentSink {
public:
    explicit ObjectExtractor(const ReadOptions& options) : options_(options) {}

    void begin_document(unsigned line) override;
    void end_document() override;
    void begin_map(unsigned line) override;
    void end_map() override { end(); }
    void begin_list(unsigned line) override;
    void end_list() override { end(); }
    void key(std::string_view text, unsigned line) override;
    void scalar(ScalarKind kind, std::string_view text, unsigned line) override;

    // After the last event: what was found, or the first thing that makes the whole text bad.
    [[nodiscard]] Result<ReadObjects> finish();

private:
    // How much there was before the document.
    struct Mark {
        std::size_t nodes = 0;
        std::size_t pods = 0;
        std::size_t warnings = 0;
    };

    [[nodiscard]] RawObject& raw() { return in_item_ ? item_ : root_; }
    [[nodiscard]] const ObjectField* current_field() const;
    void begin(ExpectedForm expect, unsigned line);
    void enter(ObjectPlace place, unsigned line);
    void end();
    void take_text(const ObjectField& field, std::string_view text);
    void wrong_type(const ObjectField& field, std::string_view found, unsigned line);
    void broken(unsigned line, std::string_view message);

    void finish_item();
    void place(RawObject& object, std::string_view kind);
    void add_node(RawObject& object);
    void add_pod(RawObject& object);
    // True when the object had to be left out, with a warning.
    [[nodiscard]] bool refuse(const RawObject& object, FieldOf of, std::string_view what);
    [[nodiscard]] std::string origin(const RawObject& object) const;

    const ReadOptions& options_;
    ReadObjects result_;
    std::optional<Error> error_;

    std::vector<ObjectPlace> places_;
    const ObjectField* field_ = nullptr;  // what the last key announced; null: nothing that is read
    std::string annotation_;              // its name, where the field is an annotation
    unsigned skipping_ = 0;               // open brackets inside something that is not read

    std::size_t documents_ = 0;
    std::size_t finished_documents_ = 0;
    Mark document_start_;
    RawObject root_;
    RawObject item_;
    bool in_item_ = false;
    bool has_items_ = false;
    std::size_t item_count_ = 0;
    std::vector<RawObject> kindless_;  // items that come before the kind of their list
};

}  // namespace podlane
