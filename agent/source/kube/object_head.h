// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/text/document.h"

namespace podlane {

// What the protocol needs to know of an object, a list or a Status, besides what podlane reads of Nodes and Pods.
// Fields that are absent, or of another type, are empty.
struct ObjectHead {
    std::string kind;
    std::string name;
    std::string name_space;
    std::string resource_version;  // opaque
    std::string continue_token;    // of a list that has more pages
    // Null is an empty list of some servers.
    enum class Items : std::uint8_t { absent, null, list } items = Items::absent;
    // Of a Status.
    std::string reason;
    std::string message;
    std::string code;  // as an HTTP status, in digits

    bool operator==(const ObjectHead&) const = default;
};

// Picks an ObjectHead out of one document's events.
class ObjectHeadReader final : public DocumentSink {
public:
    explicit ObjectHeadReader(ObjectHead& head) : head_(head) {}

    void begin_document(unsigned /*line*/) override { depth_ = 0; }
    void end_document() override {}
    void begin_map(unsigned /*line*/) override { begin(); }
    void end_map() override { --depth_; }
    void begin_list(unsigned /*line*/) override;
    void end_list() override { --depth_; }
    void key(std::string_view text, unsigned line) override;
    void scalar(ScalarKind kind, std::string_view text, unsigned line) override;

private:
    void begin();

    ObjectHead& head_;
    unsigned depth_ = 0;
    bool in_metadata_ = false;
    bool at_items_ = false;          // the last key was the root's `items`
    std::string* target_ = nullptr;  // of the value that the last key announced
};

}  // namespace podlane
