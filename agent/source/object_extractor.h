// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/source/object_reader.h"
#include "agent/text/document.h"

namespace podlane {

// Which kinds a field is read of.
enum class FieldOf : std::uint8_t { node = 1, pod = 2, both = 3 };

// One object while it is being read: its kind may come last, or not at all.
struct RawObject {
    struct Problem {
        FieldOf of = FieldOf::both;
        std::string field;
        std::string message;
    };

    explicit RawObject(unsigned first_line = 0, std::optional<std::size_t> index = std::nullopt)
        : line(first_line), item(index) {}

    unsigned line;
    std::optional<std::size_t> item;  // index in its list
    std::string api_version;
    std::string kind;
    std::string name;
    std::string name_space;
    std::string uid;
    std::string deletion_timestamp;
    std::map<std::string, std::string> annotations;
    std::string pod_cidr;
    std::vector<std::string> pod_cidrs;
    std::string node_name;
    std::string host_network;  // "true" or "false"
    std::string phase;
    std::string pod_ip;
    std::vector<std::string> pod_ips;
    std::vector<std::string> internal_ips;
    std::string address_type;  // of the address that is being read
    std::string address;
    std::vector<Problem> problems;  // wrong types
};

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

    // Where in an object the reader stands.
    enum class Place : std::uint8_t {
        root, items, item, metadata, annotations, spec, pod_cidrs, status, addresses, address, pod_ips, pod_ip
    };
    enum class Expect : std::uint8_t { text, flag, map, list };
    struct Field;

private:
    // How much there was before the document.
    struct Mark {
        std::size_t nodes = 0;
        std::size_t pods = 0;
        std::size_t warnings = 0;
    };

    [[nodiscard]] RawObject& raw() { return in_item_ ? item_ : root_; }
    [[nodiscard]] const Field* current_field() const;
    void begin(Expect expect, unsigned line);
    void enter(Place place, unsigned line);
    void end();
    void take_text(const Field& field, std::string_view text);
    void wrong_type(const Field& field, std::string_view found, unsigned line);
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

    std::vector<Place> places_;
    const Field* field_ = nullptr;  // what the last key announced; null: nothing that is read
    std::string annotation_;        // its name, where the field is an annotation
    unsigned skipping_ = 0;         // open brackets inside something that is not read

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
