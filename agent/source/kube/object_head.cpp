// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/object_head.h"

#include <algorithm>
#include <array>

namespace podlane {
namespace {

struct HeadField {
    bool of_metadata;
    std::string_view key;
    std::string ObjectHead::* target;
};

constexpr auto fields = std::to_array<HeadField>({
    {false, "kind", &ObjectHead::kind},
    {false, "reason", &ObjectHead::reason},
    {false, "message", &ObjectHead::message},
    {false, "code", &ObjectHead::code},
    {true, "name", &ObjectHead::name},
    {true, "namespace", &ObjectHead::name_space},
    {true, "resourceVersion", &ObjectHead::resource_version},
    {true, "continue", &ObjectHead::continue_token},
});

}  // namespace

void ObjectHeadReader::begin() {
    target_ = nullptr;
    at_items_ = false;
    ++depth_;
}

void ObjectHeadReader::begin_list(unsigned /*line*/) {
    if (at_items_) {
        head_.items = ObjectHead::Items::list;
    }
    begin();
}

void ObjectHeadReader::key(std::string_view text, unsigned /*line*/) {
    target_ = nullptr;
    at_items_ = depth_ == 1 && text == "items";
    if (depth_ == 1) {
        in_metadata_ = text == "metadata";
    }
    if (depth_ > 2 || (depth_ == 2 && !in_metadata_)) {
        return;
    }
    const bool of_metadata = depth_ == 2;
    const auto* const found = std::ranges::find_if(
        fields, [&](const HeadField& field) { return field.of_metadata == of_metadata && field.key == text; });
    target_ = found == fields.end() ? nullptr : &(head_.*found->target);
}

void ObjectHeadReader::scalar(ScalarKind kind, std::string_view text, unsigned /*line*/) {
    if (target_ != nullptr && (kind == ScalarKind::text || kind == ScalarKind::number)) {
        *target_ = text;
    }
    if (at_items_ && kind == ScalarKind::null) {
        head_.items = ObjectHead::Items::null;
    }
    target_ = nullptr;
    at_items_ = false;
}

}  // namespace podlane
