// SPDX-License-Identifier: Apache-2.0
#include "agent/source/kube/json_splitter.h"

#include <algorithm>

namespace podlane {
namespace {

// etcd takes no object over 1.5 MiB by default; a list's metadata is tiny.
constexpr std::size_t largest_object = 16UL * 1024 * 1024;
constexpr std::size_t largest_envelope = 1024UL * 1024;

constexpr std::string_view items_key = "items";
constexpr std::string_view white_space = " \t\r\n";

}  // namespace

Result<void> JsonSplitter::feed(std::string_view bytes, const TakeObject& take) {
    while (!bytes.empty()) {
        if (in_string_) {
            const auto end = escaped_ ? 0 : std::min(bytes.find_first_of("\"\\"), bytes.size());
            const auto length = std::min(end + 1, bytes.size());
            if (depth_ == 1 && last_string_.size() <= items_key.size()) {
                // With what an escape begins, so that a key with one in it is not taken for another.
                const bool closes = !escaped_ && end < bytes.size() && bytes[end] == '"';
                last_string_ += bytes.substr(0, std::min(closes ? end : length, items_key.size() + 1));
            }
            if (auto kept = keep(bytes.substr(0, length)); !kept) {
                return kept;
            }
            if (end < bytes.size()) {
                in_string_ = escaped_ || bytes[end] != '"';
                escaped_ = !escaped_ && bytes[end] == '\\';
            }
            bytes.remove_prefix(length);
            continue;
        }
        if (auto taken = structural(bytes.front(), take); !taken) {
            return taken;
        }
        bytes.remove_prefix(1);
    }
    return {};
}

Result<void> JsonSplitter::structural(char c, const TakeObject& take) {
    const bool is_space = white_space.contains(c);
    if (depth_ == 0 && (is_space || c != '{' || ended_)) {
        return is_space ? Result<void>() : fail("not a Kubernetes object: unexpected '{}'", c);
    }
    if (c == '}' || c == ']') {
        return close(c, take);
    }
    if (between_items() && c != '{') {
        if (!is_space && (c != ',' || between_ != Between::comma_or_end)) {
            return fail("not a list of Kubernetes objects: unexpected '{}' in items", c);
        }
        between_ = is_space ? between_ : Between::element;
        return {};
    }
    if (c == '{' || c == '[') {
        return open(c);
    }
    if (c == '"') {
        in_string_ = true;
        last_string_.clear();
    }
    after_key_ = c == ':' || (after_key_ && is_space);
    return keep(std::string_view(&c, 1));
}

Result<void> JsonSplitter::open(char c) {
    if (between_items() && between_ != Between::element) {
        return fail("not a list of Kubernetes objects: no comma between items");
    }
    const bool cuts_here = cut_ == Cut::documents ? depth_ == 0 : between_items();
    in_object_ = in_object_ || cuts_here;
    if (auto kept = keep(std::string_view(&c, 1)); !kept) {
        return kept;
    }
    if (cut_ == Cut::items && depth_ == 1 && c == '[' && after_key_ && last_string_ == items_key) {
        in_items_ = true;
        saw_items_ = true;
        between_ = Between::element;
    }
    after_key_ = false;
    ++depth_;
    return {};
}

Result<void> JsonSplitter::close(char c, const TakeObject& take) {
    const bool ends_items = between_items();
    if (ends_items && c != ']') {
        return fail("not a list of Kubernetes objects: unexpected '{}' in items", c);
    }
    if (auto kept = keep(std::string_view(&c, 1)); !kept) {
        return kept;
    }
    --depth_;
    in_items_ = in_items_ && !ends_items;
    if (in_object_ && depth_ == (cut_ == Cut::documents ? 0U : 2U)) {
        in_object_ = false;
        between_ = Between::comma_or_end;
        auto taken = take(object_);
        object_.clear();
        return taken;
    }
    ended_ = cut_ == Cut::items && depth_ == 0;
    return {};
}

Result<void> JsonSplitter::keep(std::string_view bytes) {
    auto& text = in_object_ ? object_ : envelope_;
    text += bytes;
    if (text.size() > (in_object_ ? largest_object : largest_envelope)) {
        return fail("not a Kubernetes object: it is larger than {} bytes", text.size() - bytes.size());
    }
    return {};
}

}  // namespace podlane
